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
