# SPDX-License-Identifier: Apache-2.0
"""Connections that move or end while something of theirs is under way."""
import pytest

from harness.http import Raw, quote
from harness.wait import wait_for
from harness.ws import Client, RawClient


def test_a_publish_on_a_moved_connection_goes_on_to_the_new_owner(cluster):
    keys = [f"k{number}" for number in range(40)]
    before = cluster.owners(keys)
    clients = {key: Client(cluster[before[key]].ws_url(key)) for key in keys}
    cluster.add("n4")
    after = cluster.owners(keys)
    key = next(key for key in keys if after[key] == "n4")
    url = clients[key].wait_event("moved")["url"]
    follower = Client(url)
    assert follower.welcome()["node"] == "n4"
    clients[key].send({"type": "publish", "id": "late", "data": "from the old connection"})
    assert clients[key].wait_event("ack") == {"type": "ack", "id": "late", "seq": 1}
    assert follower.wait_messages(1)[0]["data"] == "from the old connection"
    assert clients[key].messages() == []
    assert clients[key].wait_closed() == 4307
    for client in [*clients.values(), follower]:
        client.close()


@pytest.fixture
def paused(cluster, key):
    """(a node, the owner of the key, which is paused): what is published there has to wait."""
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    owner.pause()
    yield wrong, owner
    owner.resume()


def pending(node, count):
    wait_for(lambda: node.metrics()["ringhop_requests_pending"] == count, 8, f"{count} pending")


def test_a_publisher_that_does_not_wait_for_its_answer_harms_nobody(paused, key):
    wrong, owner = paused
    with Raw(wrong.client_port) as raw:
        raw.send((f"POST /v1/channels/{quote(key)}/messages HTTP/1.1\r\nHost: {wrong.host}\r\n"
                  "Idempotency-Key: a\r\nContent-Length: 1\r\n\r\nx").encode())
        pending(wrong, 1)
    owner.resume()
    pending(wrong, 0)
    answer = wrong.publish(key, "x", message_id="a")
    assert answer.json()["duplicate"] is True and answer.json()["seq"] == 1


def test_a_websocket_that_ends_before_its_acks_harms_nobody(cluster):
    """Its channel moves to a node that does not answer, so its publishes wait; then it goes."""
    keys = [f"k{number}" for number in range(40)]
    before = cluster.owners(keys)
    clients = {key: RawClient(cluster[before[key]], key) for key in keys}
    fourth = cluster.add("n4")
    cluster.wait_settled()
    key = next(key for key, owner in cluster.owners(keys).items() if owner == "n4")
    node = cluster[before[key]]
    cluster.wait_whole()
    fourth.pause()
    for number in range(50):
        clients[key].send_json({"type": "publish", "id": f"m{number}", "data": "x"})
    pending(node, 50)
    for client in clients.values():
        client.raw.close()
    wait_for(lambda: node.metrics()["ringhop_streams"] == 0, 5, "streams gone")
    fourth.resume()
    pending(node, 0)
    assert fourth.channel(key)["last_seq"] == 50
    assert node.running()


def test_a_poll_whose_client_is_gone_is_forgotten(cluster, key):
    owner = cluster.owner(key)
    with Raw(owner.client_port) as raw:
        raw.send((f"GET /v1/channels/{quote(key)}/messages?wait=60 HTTP/1.1\r\n"
                  f"Host: {owner.host}\r\n\r\n").encode())
        wait_for(lambda: owner.metrics()["ringhop_reads_waiting"] == 1, 5, "the poll waits")
        assert owner.channel(key)["connections"] == 1
    wait_for(lambda: owner.metrics()["ringhop_reads_waiting"] == 0, 5, "the poll is gone")
    assert owner.metrics()["ringhop_channels"] == 0
