# SPDX-License-Identifier: Apache-2.0
"""A node that stood still does not take what waited in its sockets: nobody can say how old it is."""
import threading
import time

from harness.http import Raw, quote
from harness.wait import wait_for
from harness.ws import Client


def post(node, key, text, message_id):
    head = (f"POST /v1/channels/{quote(key)}/messages HTTP/1.1\r\nHost: {node.host}\r\n"
            f"Idempotency-Key: {message_id}\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(text)}\r\n\r\n")
    return (head + text).encode()


def test_a_node_that_stood_still_drops_what_it_has_not_read(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, nodes=2, session_timeout="30s")
    node, other = cluster["n1"], cluster["n2"]
    key = cluster.key_owned_by(node)
    listener = Client(node.ws_url(key))
    listener.welcome()
    talker = Client(node.ws_url(key))
    talker.welcome()
    with Raw(node.client_port) as idle, Raw(node.client_port) as busy:
        busy.send(post(node, key, "first", "a"))
        assert busy.response().status == 201
        idle.send(post(node, key, "second", "b"))
        assert idle.response().status == 201
        node.pause()
        stopped = time.monotonic()
        busy.send(post(node, key, "stale", "c"))
        talker.send({"type": "publish", "id": "d", "data": "stale"})
        forwarded = []
        forward = threading.Thread(
            target=lambda: forwarded.append(other.publish(key, "stale", message_id="e")))
        forward.start()
        with Raw(node.client_port) as late:         # accepted by the kernel
            late.send(post(node, key, "stale", "f"))
            time.sleep(max(0.0, stopped + 10.5 - time.monotonic()))
            node.resume()
            assert busy.ends() and late.ends()
        talker.wait_closed()
        forward.join()
        assert forwarded[0].status == 504 and forwarded[0].code == "unknown_outcome"
        idle.send(post(node, key, "third", "g"))    # it was silent, so it stands
        answer = idle.response()
        assert answer.status == 201 and answer.json()["seq"] == 3
    assert [m["data"] for m in listener.wait_messages(3)] == ["first", "second", "third"]
    assert listener.is_open()
    assert "stood_still" in node.log()
    wait_for(lambda: other.publish(key, "fourth", message_id="h").status == 201, 10, "links again")
    assert node.channel(key)["last_seq"] == 4
    listener.close()


def test_a_short_pause_costs_nothing(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, nodes=1, session_timeout="30s")
    node = cluster["n1"]
    with Raw(node.client_port) as busy:
        busy.send(post(node, "k", "first", "a"))
        assert busy.response().status == 201
        node.pause()
        busy.send(post(node, "k", "second", "b"))
        time.sleep(1)
        node.resume()
        assert busy.response().json()["seq"] == 2
