# SPDX-License-Identifier: Apache-2.0
"""A publish through any node reaches the owner's clients, once, in order, as it was sent."""
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.wait import wait_for
from harness.ws import Client, Follower, RawClient


def test_through_the_wrong_node_over_http(steady, key):
    owner = steady.owner(key)
    client = Client(owner.ws_url(key))
    welcome = client.welcome()
    for number, node in enumerate(steady.running(), 1):
        answer = node.publish(key, f"via {node.id}")
        assert answer.status == 201
        assert answer.json() == {"seq": number, "incarnation": welcome["incarnation"],
                                 "node": owner.id, "connections": 1, "duplicate": False}
    assert [m["data"] for m in client.wait_messages(3)] == ["via n1", "via n2", "via n3"]
    assert [m["seq"] for m in client.messages()] == [1, 2, 3]
    client.close()


def test_over_a_websocket_is_acknowledged_and_heard_by_all(steady, key):
    owner = steady.owner(key)
    sender, other = Client(owner.ws_url(key)), Client(owner.ws_url(key))
    sender.welcome(), other.welcome()
    sender.send({"type": "publish", "id": "a", "data": "hi"})
    assert sender.wait_event("ack") == {"type": "ack", "id": "a", "seq": 1}
    for client in (sender, other):
        message = client.wait_messages(1)[0]
        assert message["data"] == "hi" and message["id"] == "a" and message["seq"] == 1
        client.close()


def test_many_publishers_at_all_nodes_leave_no_gap_and_no_double(steady, key):
    client = Follower(steady["n1"].ws_url(key))
    nodes = steady.running()

    def publish(number):
        return nodes[number % 3].publish(key, str(number)).json()["seq"]
    with ThreadPoolExecutor(8) as pool:
        seqs = list(pool.map(publish, range(120)))
    assert sorted(seqs) == list(range(1, 121))
    wait_for(lambda: len(client.messages) == 120, what="120 messages")
    assert {int(m["data"]): m["seq"] for m in client.messages} == dict(enumerate(seqs))
    assert client.problems == []
    client.close()


def test_is_idempotent_through_any_node(steady, key):
    client = Client(steady.owner(key).ws_url(key))
    client.welcome()
    first = steady["n1"].publish(key, "once", message_id="id-1").json()
    assert first["duplicate"] is False
    for node in steady.running():
        again = node.publish(key, "twice", message_id="id-1")
        assert again.status == 201
        assert again.json()["duplicate"] is True
        assert again.json()["seq"] == first["seq"]
    client.send({"type": "publish", "id": "id-1", "data": "thrice"})
    assert client.wait_event("ack")["seq"] == first["seq"]
    steady["n2"].publish(key, "last")
    assert [m["data"] for m in client.wait_messages(2)] == ["once", "last"]
    client.close()


def test_without_an_id_two_publishes_are_two_messages(steady, key):
    seqs = [steady["n1"].publish(key, "same").json()["seq"] for _ in range(2)]
    assert seqs == [1, 2]


@pytest.mark.parametrize("content_type, body, member, value", [
    ("text/plain", "plain ünïcode \u0001 \" \\ \U0001f600", "data", None),
    ("text/plain; charset=utf-8", "", "data", ""),
    ("application/json", '{"b":1,  "a":[1.50,"\\u00e9"],"big":123456789012345678901234567890}',
     "json", None),
    ("application/json", "  null ", "json", "null"),
    ("application/json; charset=utf-8", '"text"', "json", None),
    ("application/octet-stream", b"\x00\xff\xfe", "base64", "AP/+"),
    ("image/png", b"\x89PNG\r\n", "base64", "iVBORw0K"),
    ("application/x-www-form-urlencoded", "hello from curl -d", "data", None),
], ids=["text", "empty_text", "json", "json_null", "json_text", "binary", "image", "form"])
def test_keeps_the_kind_of_payload(steady, key, content_type, body, member, value):
    owner, wrong = steady.owner(key), steady.wrong_node(key)
    with RawClient(owner, key) as client:
        client.take_event()
        assert wrong.publish(key, body, content_type).status == 201
        _, text, _ = client.take_frame()
    event = json.loads(text)
    assert {"json", "data", "base64"} & set(event) == {member}
    if member == "json":  # byte for byte, so the text itself is looked at
        raw = (value or body).strip()
        assert f'"json":{raw}'.encode() in text
    else:
        assert event[member] == (body if value is None else value)
    polled = owner.poll(key, after=0).json()["messages"][0]
    assert polled[member] == event[member]


@pytest.mark.parametrize("content_type, body", [
    ("application/json", "{"), ("application/json", ""), ("application/json", "{} {}"),
    ("application/json", '{"a":"\ud800"}'.encode("utf-8", "surrogatepass")),
    ("application/json", "NaN"), ("text/plain", b"\xff\xfe"),
    ("application/json", "[" * 5000 + "]" * 5000),
], ids=["cut", "empty", "two", "surrogate", "nan", "text_not_utf8", "deep"])
def test_refuses_a_broken_payload_and_changes_nothing(steady, key, content_type, body):
    for node in steady.running():
        answer = node.publish(key, body, content_type)
        assert answer.status == 400, answer
        assert answer.code
    assert steady["n1"].channel(key)["incarnation"] is None


def test_over_a_websocket_keeps_the_kind_of_payload(steady, key):
    with RawClient(steady.owner(key), key) as client:
        client.take_event()
        for number, payload in enumerate(['"json":{"x": 1.0}', '"data":"t\\u00e9xt"',
                                          '"base64":"AP/+"'], 1):
            client.send(1, f'{{"type":"publish","id":"p{number}",{payload}}}')
            heard = [client.take_frame()[1] for _ in range(2)]
            assert any(json.loads(text)["type"] == "ack" for text in heard)
            message = next(text for text in heard if json.loads(text)["type"] == "message")
            want = payload.replace("\\u00e9", "é")
            assert want.encode() in message.replace(b"\\u00e9", "é".encode())


@pytest.mark.parametrize("message_id", ["x" * 129, "tab\there", "é"],
                         ids=["long", "control", "not_ascii"])
def test_refuses_a_bad_message_id(steady, key, message_id):
    answer = steady["n1"].publish(key, "x", message_id=message_id)
    assert answer.status == 400
    assert answer.code == "bad_message_id"


def test_a_forwarded_publish_waits_for_no_reader(steady, key):
    """Publishing needs no connection: a channel is created by it."""
    answer = steady.wrong_node(key).publish(key, "x")
    assert answer.status == 201
    assert answer.json()["connections"] == 0
    info = steady.wrong_node(key).channel(key)
    assert info == {"key": key, "epoch": info["epoch"], "owner": steady.owner(key).id,
                    "replicas": info["replicas"], "incarnation": answer.json()["incarnation"],
                    "first_seq": 1, "last_seq": 1, "connections": 0}
    assert len(info["replicas"]) == 1
