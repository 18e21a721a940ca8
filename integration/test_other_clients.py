# SPDX-License-Identifier: Apache-2.0
"""Clients that we did not write, at the wrong node and through a move; the table of docs/clients.md
says what they do. `scripts/client-table` writes it."""
import contextlib
import json
import os
import subprocess
from dataclasses import dataclass

import pytest

from harness.http import quote
from harness.node import ROOT
from harness.other_clients import (FOLDER, CurlStream, Firefox, NpmSocket, NpmStream, Pages,
                                   build_c, build_go, compiled, python)
from harness.wait import wait_for
from harness.ws import PROTOCOL

PAGE = ROOT / "docs" / "clients.md"
BEGIN, END = "<!-- begin of the table of scripts/client-table -->\n", "<!-- end of it -->\n"
BOUND_S = 40


def of_package(name):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], text=True,
                          capture_output=True)
    version = done.stdout.partition(":")[2] or done.stdout
    return version.partition("+")[0].partition("-")[0].partition("~")[0] or "?"


def of_npm(driver):
    package = json.loads((FOLDER.parent / driver / "package.json").read_text())
    version, = package["dependencies"].values()
    return version


@dataclass
class Row:
    """A client. Sockets are there twice, without our subprotocol and with it; streams once."""
    name: str
    version: str
    key: str
    plain: object = None
    ringhop: object = None
    stream: object = None

    @property
    def listener(self):
        """The one that goes through the move."""
        return self.stream or self.ringhop


def of_type(client, kind):
    return [event for event in list(client.events) if event["type"] == kind]


def wait_until(row, client, condition, what):
    def check():
        assert condition(), f"{client.events[-4:]} {client.trouble[-4:]}"
        return True
    wait_for(check, BOUND_S, f"{row.name}: {what}")


def at_the_wrong_node(row, owner, wrong):
    """What came of it, once something has."""
    client = row.stream or row.plain
    wait_until(row, client, lambda: of_type(client, "welcome") or client.trouble,
               "a welcome, or trouble")
    if welcomes := of_type(client, "welcome"):
        assert welcomes[0]["node"] in (owner.id, wrong.id)
        return "follows the 307" if welcomes[0]["node"] == owner.id else "is relayed"
    status = [line for line in client.trouble if line.startswith("status")]
    return f"its program sees the {status[0].split()[1]}" if status else "fails without a reason"


def told_where(row, owner):
    client = row.ringhop
    if client is None:
        return "-"
    wait_until(row, client, lambda: of_type(client, "welcome"), "a welcome")
    moved = of_type(client, "moved")
    assert len(moved) == 1 and moved[0]["node"] == owner.id and "seq" not in moved[0]
    return "told `moved`, goes there"


def through_the_move(row, owner, messages):
    """After the channel has left its owner, and a message more."""
    client = row.listener
    wait_until(row, client, lambda: len(of_type(client, "message")) >= messages, "all messages")
    assert [event["seq"] for event in of_type(client, "message")] == list(range(1, messages + 1))
    welcomes = of_type(client, "welcome")
    moved = [event for event in of_type(client, "moved") if "seq" in event]
    assert len(moved) <= 1 and len(welcomes) == 1 + len(moved)
    assert all(event["recovered"] for event in welcomes)
    if not moved:
        return "notices nothing"
    assert moved[0]["node"] == welcomes[1]["node"] != owner.id
    return "told `moved`, goes there, misses nothing"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """(name, version, how it is opened) of every client that is a program with sockets."""
    folder = tmp_path_factory.mktemp("clients")
    return [
        ("Python `websockets`", of_package("python3-websockets"), python("websockets")),
        ("Python `websocket-client`", of_package("python3-websocket"), python("websocket")),
        ("Python `aiohttp`", of_package("python3-aiohttp"), python("aiohttp")),
        ("Go `nhooyr.io/websocket`", of_package("golang-nhooyr-websocket-dev"),
         compiled(build_go("nhooyr", folder))),
        ("Go `gorilla/websocket`", of_package("golang-github-gorilla-websocket-dev"),
         compiled(build_go("gorilla", folder))),
        ("`libwebsockets`", of_package("libwebsockets-dev"),
         compiled(build_c("lws", folder, "-lwebsockets"))),
    ]


class Table:
    """All clients, at one wrong node; the channels of all have one owner."""

    def __init__(self, cluster, stack):
        self.owner, self.wrong = cluster["n1"], cluster["n2"]
        self._cluster = cluster
        self._stack = stack
        self._keys = self._keys_of_owner()
        self.rows = []

    def _keys_of_owner(self):
        keys = [f"client:{number}" for number in range(400)]
        owners = self._cluster.owners(keys)
        return iter([key for key in keys if owners[key] == self.owner.id])

    def events_url(self, key):
        return f"{self.wrong.url}/v1/channels/{quote(key)}/events"

    def add_socket(self, name, version, opener):
        key = next(self._keys)
        row = Row(name, version, key, opener(self.wrong.ws_url(key), None),
                  opener(self.wrong.ws_url(key), PROTOCOL))
        self._stack.callback(row.plain.stop)
        self._stack.callback(row.ringhop.stop)
        self.rows.append(row)

    def add_stream(self, name, version, opener):
        key = next(self._keys)
        row = Row(name, version, key, stream=opener(self.events_url(key)))
        self._stack.callback(row.stream.stop)
        self.rows.append(row)

    def add_browser(self, name, version, pages, show):
        """`show(url)` opens the page in it."""
        socket_key, stream_key = next(self._keys), next(self._keys)
        socket_url = self.wrong.ws_url(socket_key)
        show(pages.page(name, plain=socket_url, ringhop=socket_url,
                        events=self.events_url(stream_key)))
        heard = [pages.heard(f"{name} {client}") for client in ("plain", "ringhop", "events")]
        self.rows.append(Row(f"{name}, `WebSocket`", version, socket_key, heard[0], heard[1]))
        self.rows.append(Row(f"{name}, `EventSource`", version, stream_key, stream=heard[2]))

    def watch(self):
        """Goes through all of it; the lines of the table."""
        first = [(at_the_wrong_node(row, self.owner, self.wrong), told_where(row, self.owner))
                 for row in self.rows]
        self._publish("before")
        for row in self.rows:
            wait_until(row, row.listener, lambda row=row: of_type(row.listener, "message"),
                       "a message")
        self._cluster.cli("drain", self.owner.id, "--wait")
        self._publish("after")
        moved = [through_the_move(row, self.owner, 2) for row in self.rows]
        lines = ["| client | tried | at the wrong node | there with `ringhop.v1` | "
                 "when its channel moves |\n", "|---|---|---|---|---|\n"]
        for row, (wrong, offered), goes in zip(self.rows, first, moved):
            lines.append(f"| {row.name} | {row.version} | {wrong} | {offered} | {goes} |\n")
        return lines

    def _publish(self, text):
        for row in self.rows:
            assert self.wrong.publish(row.key, text).status == 201


def without_versions(lines):
    """A table of clients whose versions may be newer ones."""
    return [[cell for number, cell in enumerate(line.split("|")) if number != 2] for line in lines]


def test_every_client_does_what_the_table_says(make_cluster, shared_zookeeper, programs, npm_ws,
                                               browser, tmp_path):
    with contextlib.ExitStack() as stack:
        table = Table(make_cluster(shared_zookeeper), stack)
        pages = stack.enter_context(Pages())
        table.add_browser("Firefox ESR", of_package("firefox-esr"), pages,
                          lambda url: stack.callback(Firefox(tmp_path / "firefox", url).stop))
        table.add_browser("Chromium", of_package("chromium"), pages, browser.open)
        sockets = iter(("plain", "ringhop"))
        table.add_socket("npm `ws`, with `followRedirects`", of_npm("ws_driver"),
                         lambda url, protocol: NpmSocket(npm_ws, next(sockets), url, protocol))
        for program in programs:
            table.add_socket(*program)
        table.add_stream("npm `eventsource`", of_npm("events_driver"), NpmStream)
        table.add_stream("`curl -LN`, events", of_package("curl"), CurlStream)
        seen = table.watch()
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    said, end, after = rest.partition(END)
    assert begin and end, f"{PAGE} has no place for the table"
    if "RINGHOP_WRITE_TABLE" in os.environ:
        PAGE.write_text(before + begin + "".join(seen) + end + after)
        return
    assert without_versions(said.splitlines(True)) == without_versions(seen), \
        "docs/clients.md says something else; scripts/client-table writes what was just seen"
