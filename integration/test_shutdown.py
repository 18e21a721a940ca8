# SPDX-License-Identifier: Apache-2.0
"""How a node ends: what waits is answered, what comes too late is turned away, nothing hangs."""
import signal
import threading
import time

import pytest

from harness.http import Raw
from harness.wait import wait_for
from harness.ws import Client, RawClient


@pytest.fixture
def lonely(shared_zookeeper, make_cluster):
    """A node without others: nobody takes over its channels."""
    return make_cluster(shared_zookeeper, nodes=1)["n1"]


def stopping(node, state):
    return lambda: f"stopping state={state}" in node.log()


def test_a_poll_that_waits_is_answered(lonely, key):
    answers = []
    poll = threading.Thread(target=lambda: answers.append(lonely.poll(key, wait=60)))
    poll.start()
    wait_for(lambda: lonely.metrics()["ringhop_reads_waiting"] == 1, 5, "the poll waits")
    started = time.monotonic()
    assert lonely.stop() == 0
    assert time.monotonic() - started < 4
    poll.join(5)
    assert answers[0].status == 503 and answers[0].code == "shutting_down"
    assert answers[0].headers["retry-after"]


def test_a_request_that_arrives_too_late_is_turned_away(lonely, key):
    """Its first bytes came in time, so the connection is still there when the rest comes."""
    mute = RawClient(lonely, key)           # never answers the close frame: the node waits for it
    with Raw(lonely.client_port) as late, Raw(lonely.client_port) as poll:
        handshake = (f"GET /v1/channels/{key}/ws HTTP/1.1\r\nHost: {lonely.host}\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode()
        wait = f"GET /v1/channels/{key}/messages?wait=60 HTTP/1.1\r\nHost: {lonely.host}\r\n\r\n"
        late.send(handshake[:40])
        poll.send(wait.encode()[:40])
        wait_for(lambda: lonely.metrics()["ringhop_connections"] == 3, 5, "all connected")
        lonely.process.signal(signal.SIGTERM)
        wait_for(stopping(lonely, "closing"), 5, "closing")
        late.send(handshake[40:])
        poll.send(wait.encode()[40:])
        assert late.response().code == "shutting_down"
        assert poll.response().code == "shutting_down"
    assert lonely.process.wait() == 0
    mute.raw.close()


def test_more_signals_than_one_end_it_at_once(cluster):
    """Two of them in one turn of the loop, when the first of both has ended it already."""
    node = cluster["n1"]
    client = Client(node.ws_url(cluster.key_owned_by(node)))
    client.welcome()
    node.process.signal(signal.SIGTERM)
    wait_for(stopping(node, "lingering"), 5, "lingering")
    node.pause()
    node.process.signal(signal.SIGTERM)
    node.process.signal(signal.SIGINT)
    node.resume()
    assert node.process.wait() == 0
    client.wait_closed()
