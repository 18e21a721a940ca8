# SPDX-License-Identifier: Apache-2.0
"""A node carries the connections of its clients to the owner of their channel: they never notice where
that is."""
import json
import pathlib
import struct
import subprocess
import threading
import time

import pytest

from harness.events import CurlEvents, NpmEvents
from harness.http import Raw, quote, request
from harness.wait import stays, wait_for
from harness.ws import Client, RawClient


def events_url(node, key, **query):
    text = "&".join(f"{name}={value}" for name, value in {"route": "relay", **query}.items())
    return f"{node.url}/v1/channels/{quote(key)}/events?{text}"


def relayed(node, key, **query):
    return Client(node.ws_url(key, route="relay", **query))


def seqs(client):
    return [message["seq"] for message in client.messages()]


class Publishing:
    """Publishes to the keys, one after the other, through a node that lives, until it is left; what was
    acknowledged is in `last`. A publish that fails is tried again with its id."""

    def __init__(self, node, keys, every=0.005):
        self.last = dict.fromkeys(keys, 0)
        self._node, self._keys, self._every = node, keys, every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self):
        number = 0
        while not self._done.is_set():
            key = self._keys[number % len(self._keys)]
            answer = self._publish(key, f"p{number}")
            self.last[key] = max(self.last[key], answer["seq"])
            number += 1
            self._done.wait(self._every)

    def _publish(self, key, message_id):
        def tried():
            answer = self._node.publish(key, message_id, message_id=message_id)
            assert answer.status == 201, answer
            return answer.json()
        return wait_for(tried, 60, "a publish goes through")


def check_whole(client, last, bound=30):
    """Everything up to `last`, once and in order; nothing but messages after one welcome."""
    wait_for(lambda: client.messages() and client.messages()[-1]["seq"] >= last, bound,
             f"all messages up to {last}; heard {client.messages()[-2:]}")
    assert seqs(client) == list(range(1, len(seqs(client)) + 1))


def check_unnoticed(client):
    """A WebSocket that was never told anything but a welcome and messages."""
    assert client.is_open()
    assert {event["type"] for event in client.events} == {"welcome", "message"}
    assert len(client.of_type("welcome")) == 1


# --- nothing happens -----------------------------------------------------------------------------

def test_a_websocket_is_served_by_whichever_node_it_reached(steady, key):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    owner.publish(key, "before")
    client = relayed(wrong, key)
    welcome = client.welcome()
    assert welcome["node"] == wrong.id and welcome["channel"] == key
    assert welcome["seq"] == 1 and welcome["recovered"] is True
    owner.publish(key, "one")
    client.send({"type": "publish", "id": "a", "data": "two"})
    client.send({"type": "ping"})
    assert [message["data"] for message in client.wait_messages(2)] == ["one", "two"]
    assert client.wait_event("ack") == {"type": "ack", "id": "a", "seq": 3}
    client.wait_event("pong")
    assert owner.channel(key)["connections"] == 1
    assert wrong.metrics()["ringhop_relayed_connections"] == 1
    assert owner.metrics()["ringhop_remote_connections"] == 1
    assert (wrong.status()["relayed"], owner.status()["remote"]) == (1, 1)
    client.close()
    wait_for(lambda: owner.channel(key)["connections"] == 0, 5, "the owner knows that it went")
    assert wrong.status()["relayed"] == 0 and owner.status()["remote"] == 0


def test_a_position_is_resumed_or_told_to_be_lost_as_at_the_owner(steady, key):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    first = owner.publish(key, "1").json()
    for number in range(2, 6):
        owner.publish(key, str(number))
    client = relayed(wrong, key, after=f"{first['incarnation']}:2")
    assert client.welcome()["recovered"] is True and client.welcome()["seq"] == 2
    client.wait_messages(3)
    assert seqs(client) == [3, 4, 5]
    foreign = relayed(wrong, key, after=f"{'f' * 16}:2")
    assert foreign.welcome()["recovered"] is False
    foreign.wait_messages(5)
    assert seqs(foreign) == [1, 2, 3, 4, 5]
    client.close()
    foreign.close()


def test_events_are_relayed_to_curl_and_to_npm(steady, key):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    incarnation = owner.publish(key, "1").json()["incarnation"]
    with CurlEvents(events_url(wrong, key, after=0)) as curl, \
            NpmEvents(events_url(wrong, key, after=0)) as npm:
        npm.wait_for("welcome")
        owner.publish(key, "2")
        assert [event["id"] for event in curl.wait_for("message", 2)] == \
            [f"{incarnation}:1", f"{incarnation}:2"]
        npm.wait_for("message", 2)
        assert seqs(curl) == seqs(npm) == [1, 2]
        assert json.loads(curl.of("welcome")[0]["data"])["node"] == wrong.id


def test_polls_are_relayed_to_curl(steady, key):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    base = f"{wrong.url}/v1/channels/{quote(key)}/messages?route=relay"

    def curl(query, *arguments):
        done = subprocess.run(["curl", "-s", "--max-time", "60", "-w", "\n%{http_code}", *arguments,
                               base + query], capture_output=True, text=True, check=True, timeout=90)
        body, _, status = done.stdout.rpartition("\n")
        assert status == "200", done.stdout
        return json.loads(body)
    assert curl("&after=0") == {"channel": key, "incarnation": None, "recovered": True,
                                "messages": [], "position": "0", "more": False}
    for number in range(1, 6):
        owner.publish(key, str(number))
    page = curl("&after=0&limit=2")
    assert [message["seq"] for message in page["messages"]] == [1, 2] and page["more"] is True
    rest = curl(f"&after={page['position']}")
    assert [message["seq"] for message in rest["messages"]] == [3, 4, 5] and rest["more"] is False
    assert curl(f"&after={rest['position']}&wait=1")["messages"] == []


@pytest.mark.parametrize("after", ["", "&after=0"])
def test_a_long_poll_is_answered_by_the_next_message(steady, key, after):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    with Raw(wrong.client_port, timeout=30) as raw:
        raw.send(f"GET /v1/channels/{quote(key)}/messages?route=relay&wait=30{after} HTTP/1.1\r\n"
                 f"Host: h\r\n\r\n".encode())
        wait_for(lambda: owner.metrics()["ringhop_reads_waiting"] == 1, 10, "the poll waits")
        owner.publish(key, "it")
        answer = raw.response()
    assert [message["data"] for message in answer.json()["messages"]] == ["it"]
    assert wrong.metrics()["ringhop_relayed_connections"] == 0


def test_many_clients_of_one_node_share_what_comes_from_the_owner(steady, key):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    clients = [relayed(wrong, key) for _ in range(50)]
    for client in clients:
        client.welcome()
    before = owner.metrics()["ringhop_peer_messages_sent_total"]
    for number in range(20):
        owner.publish(key, str(number))
    for client in clients:
        client.wait_messages(20)
        assert seqs(client) == list(range(1, 21))
    sent = owner.metrics()["ringhop_peer_messages_sent_total"] - before
    assert sent < 20 * 50 / 2, "a message goes once to each node, not once to each client"
    for client in clients:
        client.close()


def test_who_asks_for_a_redirect_gets_one_where_relaying_is_the_default(shared_zookeeper,
                                                                       make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=2, settings={"route": "relay"})
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    client = Client(wrong.ws_url(key))
    assert client.welcome()["node"] == wrong.id
    redirected = Client(wrong.ws_url(key, route="redirect"))
    moved = redirected.wait_event("moved")
    assert moved["node"] == owner.id and "route=redirect" in moved["url"]
    assert wrong.poll(key, after=0).status == 200
    assert wrong.poll(key, after=0, route="redirect").status == 307
    owner.get(f"/v1/channels/{quote(key)}/state", method="PUT", body="x")
    assert wrong.get(f"/v1/channels/{quote(key)}/state").body == b"x"
    client.close()


@pytest.mark.parametrize("field", ["Origin: http://a.example", "Sec-Fetch-Mode: cors"])
def test_what_looks_like_a_browsers_eventsource_is_relayed_unless_it_says_who_it_is(steady, key, field):
    wrong = steady.wrong_node(key)
    with CurlEvents(f"{wrong.url}/v1/channels/{quote(key)}/events", "-H", field) as curl:
        assert json.loads(curl.wait_for("welcome")[0]["data"])["node"] == wrong.id
    name, _, value = field.partition(": ")
    for query in ("client=mine", "route=redirect"):
        answer = request(f"{wrong.url}/v1/channels/{quote(key)}/events?{query}",
                         headers={name: value})
        assert answer.status == 307 and query in answer.headers["location"]


def test_a_chain_of_redirects_ends_in_a_relay(steady, key):
    wrong = steady.wrong_node(key)
    epoch = wrong.ring()["epoch"]
    for query in ({"hops": 3, "epoch": epoch - 1}, {"hops": 1, "epoch": epoch}):
        client = Client(wrong.ws_url(key, **query))
        assert client.welcome()["node"] == wrong.id
        client.close()
        answer = wrong.poll(key, after=0, **query)
        assert answer.status == 200
        refused = wrong.poll(key, after=0, route="redirect", **query)
        assert refused.status == 503 and refused.code == "redirect_limit"


# --- the channel moves ---------------------------------------------------------------------------

def test_a_drain_of_the_owner_is_not_noticed(cluster, key):
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    socket = relayed(wrong, key, after=0)
    with CurlEvents(events_url(wrong, key, after=0)) as curl, \
            NpmEvents(events_url(wrong, key, after=0)) as npm:
        for client in (curl, npm):
            client.wait_for("welcome")
        with Publishing(wrong, [key]) as publishing:
            wait_for(lambda: len(socket.messages()) > 20, 10, "messages before")
            cluster.cli("drain", owner.id, "--wait")
            count = len(socket.messages())
            wait_for(lambda: len(socket.messages()) > count + 20, 20, "messages after")
        for client in (socket, curl, npm):
            check_whole(client, publishing.last[key])
        check_unnoticed(socket)
        for client in (curl, npm):
            assert len(client.of("welcome")) == 1 and client.of("moved") == []
    assert owner.channel(key)["owner"] != owner.id
    socket.close()


def test_the_death_of_the_owner_is_not_noticed(cluster, key):
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    socket = relayed(wrong, key, after=0)
    with CurlEvents(events_url(wrong, key, after=0)) as curl, \
            NpmEvents(events_url(wrong, key, after=0)) as npm:
        for client in (curl, npm):
            client.wait_for("welcome")
        with Publishing(wrong, [key]) as publishing:
            wait_for(lambda: len(socket.messages()) > 20, 10, "messages before")
            owner.kill()
            count = len(socket.messages())
            wait_for(lambda: len(socket.messages()) > count + 20, 30, "messages after")
        for client in (socket, curl, npm):
            check_whole(client, publishing.last[key])
        check_unnoticed(socket)
        for client in (curl, npm):
            assert len(client.of("welcome")) == 1 and client.of("moved") == []
    socket.close()
