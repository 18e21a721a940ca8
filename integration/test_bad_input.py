# SPDX-License-Identifier: Apache-2.0
"""Whatever a stranger sends is answered or closed; the node goes on."""
import json
import os
import struct
import time

import pytest

from harness.http import Raw, quote
from harness.wait import wait_for
from harness.ws import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Client, RawClient)


@pytest.fixture(autouse=True)
def all_survive(steady):
    """No test of this file may end a node."""
    yield
    assert len(steady.running()) == 3
    assert steady["n1"].publish("alive", "x").status == 201


# --- keys ----------------------------------------------------------------------------------------

BAD_KEYS = ["", "%00", "a%0Ab", "%7F", "%C2%85", "%", "%4", "%zz", "%ff", "%C0%AF", "%ED%A0%80",
            "%F4%90%80%80", "a" * 513]


@pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: key[:20])
def test_a_bad_key_is_refused_everywhere(steady, key):
    node = steady["n1"]
    for path in (f"/v1/channels/{key}/messages", f"/v1/channels/{key}", f"/v1/where?key={key}",
                 f"/v1/channels/{key}/ws"):
        answer = node.get(path)
        assert answer.status in (400, 404), (path, answer)
        if key:
            assert answer.code == "bad_key"
    assert node.get(f"/v1/channels/{key}/messages", method="POST", body="x").status in (400, 404)


@pytest.mark.parametrize("key", ["a", "a" * 512, "ü/€/\U0001f600", "..", ".", "a b", "a+b",
                                 "%41", "?&=#", "a%2Fb", "~*'()!"], ids=lambda key: key[:20])
def test_an_odd_key_is_a_key(steady, key):
    owner = steady.owner(key)
    key_of = owner.where(key)
    assert key_of["key"] == key and key_of["node"] == owner.id
    assert steady.wrong_node(key).publish(key, "x").status == 201
    client = Client(steady.wrong_node(key).ws_url(key))
    there = Client(client.wait_event("moved")["url"])
    assert there.welcome()["channel"] == key
    there.close()


def test_two_spellings_of_a_key_are_one_channel(steady):
    first = steady["n1"].get("/v1/channels/spell%3A%61/messages", method="POST", body="x").json()
    second = steady["n1"].get("/v1/channels/spell:a/messages", method="POST", body="x").json()
    assert (first["seq"], second["seq"]) == (1, 2)


# --- HTTP ----------------------------------------------------------------------------------------

def test_an_oversized_body_is_413_and_changes_nothing(steady, key):
    limit = 64 * 1024
    for node in steady.running():
        assert node.publish(key, "x" * (limit + 1)).status == 413
    assert steady["n1"].channel(key)["incarnation"] is None
    assert steady["n1"].publish(key, "x" * limit).status == 201


def test_an_oversized_length_is_413_before_the_body(steady, key):
    with Raw(steady["n1"].client_port) as raw:
        raw.send(f"POST /v1/channels/{quote(key)}/messages HTTP/1.1\r\nHost: x\r\n"
                 "Content-Length: 99999999999\r\n\r\n".encode())
        assert raw.response().status == 413
        assert raw.ends()


def test_an_oversized_chunked_body_is_413(steady, key):
    with Raw(steady["n1"].client_port) as raw:
        raw.send(f"POST /v1/channels/{quote(key)}/messages HTTP/1.1\r\nHost: x\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        try:
            for _ in range(6):
                raw.send(chunk)
        except ConnectionError:
            pass
        assert raw.response().status == 413


@pytest.mark.parametrize("head", [
    "X: " + "y" * 20000,
    "\r\n".join(f"X-{number}: y" for number in range(200)),
], ids=["size", "count"])
def test_oversized_headers_are_431(steady, head):
    with Raw(steady["n1"].client_port) as raw:
        raw.send(f"GET /v1/ring HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
        assert raw.response().status == 431
        assert raw.ends()


def test_an_oversized_target_is_refused(steady):
    answer = steady["n1"].get("/v1/where?key=" + "a" * 20000)
    assert answer.status in (414, 431)


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/", 404), ("GET", "/v1", 404), ("GET", "/v1/channels", 404),
    ("GET", "/v1/channels/k/nonsense", 404), ("DELETE", "/v1/channels/k/messages", 405),
    ("POST", "/v1/ring", 405), ("BREW", "/v1/ring", (400, 405, 501)), ("GET", "/v1/where", 400),
    ("GET", "/v1/channels/k/ws", 426), ("PUT", "/v1/channels/k", 405),
    ("POST", "/v1/channels/k/state", 405),
    ("POST", "/v1/channels/k/events", 405), ("GET", "/v1/channels/k/events?after=x", 400),
])
def test_what_is_not_there_is_said_with_a_problem(steady, method, path, status):
    answer = steady["n1"].get(path, method=method)
    assert answer.status in (status if isinstance(status, tuple) else (status,))
    assert answer.code
    assert answer.json()["status"] == answer.status
    if status == 405:
        assert "GET" in answer.headers["allow"]


def test_pipelined_requests_are_answered_in_order(steady):
    with Raw(steady["n1"].client_port) as raw:
        raw.send(b"".join(b"GET /v1/where?key=p%d HTTP/1.1\r\nHost: x\r\n\r\n" % number
                          for number in range(20)))
        assert [raw.response().json()["key"] for _ in range(20)] == [f"p{n}" for n in range(20)]


def test_a_request_in_single_bytes_is_understood(steady):
    with Raw(steady["n1"].client_port) as raw:
        for byte in b"GET /v1/where?key=slow HTTP/1.1\r\nHost: x\r\n\r\n":
            raw.send(bytes([byte]))
        assert raw.response().json()["key"] == "slow"


def test_head_has_no_body(steady):
    answer = steady["n1"].get("/v1/ring", method="HEAD")
    assert answer.status == 200 and int(answer.headers["content-length"]) > 0


def test_random_bytes_are_400_or_a_close(steady):
    for _ in range(20):
        with Raw(steady["n1"].client_port, timeout=5) as raw:
            raw.send(os.urandom(500) + b"\r\n\r\n")
            try:
                assert raw.response().status in (400, 431, 501, 505)
            except EOFError:
                pass


def test_slow_senders_are_cut_off(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, nodes=1, settings={
        "limits": "{header_timeout: 500ms, body_timeout: 500ms, idle_timeout: 500ms}"})
    port = cluster["n1"].client_port
    with Raw(port) as head, Raw(port) as body, Raw(port) as idle, Raw(port) as silent:
        head.send(b"GET /v1/ring HTTP/1.1\r\nHos")
        body.send(b"POST /v1/channels/k/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        idle.send(b"GET /v1/ring HTTP/1.1\r\nHost: x\r\n\r\n")
        began = time.monotonic()
        assert idle.response().status == 200
        for raw in (head, body):
            try:
                assert raw.response().status == 408
            except EOFError:
                pass
        for raw in (head, body, idle, silent):
            assert raw.ends()
        assert time.monotonic() - began < 8


# --- WebSocket frames ----------------------------------------------------------------------------

def opened(steady, key):
    client = RawClient(steady.owner(key), key)
    assert client.take_event()["type"] == "welcome"
    return client


@pytest.mark.parametrize("frame, code", [
    (RawClient.frame(TEXT, "{}", mask=False), 1002),
    (RawClient.frame(TEXT, "{}", rsv=4), 1002),
    (RawClient.frame(TEXT, "{}", rsv=1), 1002),
    (RawClient.frame(3, "x"), 1002),
    (RawClient.frame(11, "x"), 1002),
    (RawClient.frame(PING, "x" * 126), 1002),
    (RawClient.frame(PING, "x", fin=False), 1002),
    (RawClient.frame(CONTINUATION, "x"), 1002),
    (RawClient.frame(TEXT, "{", fin=False) + RawClient.frame(TEXT, "}"), 1002),
    (RawClient.frame(CLOSE, b"\x03"), 1002),
    (RawClient.frame(CLOSE, struct.pack(">H", 1005)), 1002),
    (RawClient.frame(CLOSE, struct.pack(">H", 999)), 1002),
    (RawClient.frame(CLOSE, struct.pack(">H", 1000) + b"\xff"), (1002, 1007)),
    (RawClient.frame(TEXT, b"\xff\xfe"), 1007),
    (RawClient.frame(TEXT, b"\xc3", fin=False) + RawClient.frame(CONTINUATION, b"("), 1007),
    (RawClient.frame(TEXT, b"x" * 2000000), 1009),
    (RawClient.frame(TEXT, b"x", size=2**62), 1009),
    (RawClient.frame(TEXT, b"x", size=2**63), (1002, 1009)),
], ids=["unmasked", "rsv1", "rsv3", "opcode3", "opcode11", "long_ping", "split_ping",
        "lone_continuation", "text_in_text", "close_of_1_byte", "close_1005", "close_999",
        "close_bad_reason", "bad_utf8", "bad_utf8_across", "too_large", "absurd", "negative"])
def test_a_bad_frame_closes_with_its_code(steady, key, frame, code):
    with opened(steady, key) as client:
        try:
            client.raw.send(frame)
        except ConnectionError:
            pass
        assert client.take_close() in (code if isinstance(code, tuple) else (code,))
        assert client.raw.ends()


def test_a_binary_message_is_refused_and_ends_or_errors(steady, key):
    with opened(steady, key) as client:
        client.send(BINARY, b"\x00\x01")
        opcode, payload, _ = client.take_frame()
        assert opcode in (TEXT, CLOSE)
        if opcode == TEXT:
            assert json.loads(payload)["type"] == "error"


def test_a_message_in_many_fragments_with_pings_between(steady, key):
    with opened(steady, key) as client:
        text = json.dumps({"type": "publish", "id": "f", "data": "fragmented ü"}).encode()
        client.send(TEXT, text[:1], fin=False)
        for number in range(1, len(text)):
            client.send(PING, b"p")
            client.send(CONTINUATION, text[number:number + 1], fin=number == len(text) - 1)
        pongs, events = 0, []
        while len(events) < 2:
            opcode, payload, _ = client.take_frame()
            if opcode == PONG:
                pongs += 1
                assert payload == b"p"
            else:
                events.append(json.loads(payload))
        # Pings that come faster than pongs can be sent may share one (RFC 6455, 5.5.3).
        assert 1 <= pongs <= len(text) - 1
        assert {event["type"] for event in events} == {"ack", "message"}


def test_a_close_is_echoed(steady, key):
    with opened(steady, key) as client:
        client.send(CLOSE, struct.pack(">H", 1000) + b"bye")
        assert client.take_close() == 1000
        assert client.raw.ends()


@pytest.mark.parametrize("text, code", [
    ("", "bad_message"), ("{", "bad_message"), ("[]", "bad_message"), ("null", "bad_message"),
    ("{}", "bad_message"), ('{"type":"nonsense"}', "bad_message"), ('{"type":7}', "bad_message"),
    ('{"type":"publish"}', "bad_payload"), ('{"type":"publish","data":"a","json":1}', "bad_payload"),
    ('{"type":"publish","data":1}', "bad_payload"), ('{"type":"publish","base64":"???"}', "bad_payload"),
    ('{"type":"publish","id":7,"data":"x"}', "bad_message_id"), ('{"type":"publish","id":"","data":"x"}', "bad_message_id"),
    ('{"type":"publish","id":"' + "x" * 129 + '","data":"x"}', "bad_message_id"),
    ('{"type":"publish","data":"' + "x" * 65537 + '"}', "too_large"),
    ('{"type":"publish","data":"\\ud800"}', None), ("[" * 100000, "bad_message"),
    ('{"type":"ping","type":"ping"}', None),
], ids=lambda value: str(value)[:40])
def test_a_bad_message_is_an_error_and_the_connection_stays(steady, key, text, code):
    with opened(steady, key) as client:
        client.send(TEXT, text)
        event = client.take_event()
        if code:
            assert event["type"] == "error" and event["code"] == code, event
            assert event["message"]
        client.send_json({"type": "ping"})
        assert client.take_event()["type"] == "pong"


def test_an_error_names_the_publish_it_answers(steady, key):
    with opened(steady, key) as client:
        client.send(TEXT, '{"type":"publish","id":"mine"}')
        assert client.take_event()["id"] == "mine"


def test_unknown_fields_and_any_order_are_fine(steady, key):
    with opened(steady, key) as client:
        client.send(TEXT, '{"x":{"y":[1]},"data":"d","id":"i","type":"publish","z":null}')
        assert {client.take_event()["type"], client.take_event()["type"]} == {"ack", "message"}


@pytest.mark.parametrize("lines, status", [
    (["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"], 400),
    (["Sec-WebSocket-Version: 13"], 400),
    (["Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="], 426),
    (["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="], (400, 426)),
], ids=["short_key", "no_key", "version_8", "no_version"])
def test_a_bad_handshake_is_refused(steady, key, lines, status):
    owner = steady.owner(key)
    with Raw(owner.client_port) as raw:
        head = [f"GET /v1/channels/{quote(key)}/ws HTTP/1.1", "Host: x", "Connection: Upgrade",
                "Upgrade: websocket", *lines]
        raw.send(("\r\n".join(head) + "\r\n\r\n").encode())
        answer = raw.response()
        assert answer.status in (status if isinstance(status, tuple) else (status,))
        if answer.status == 426:
            assert answer.headers["sec-websocket-version"] == "13"


def test_a_client_that_vanishes_is_forgotten(steady, key):
    owner = steady.owner(key)
    clients = [opened(steady, key) for _ in range(5)]
    assert owner.channel(key)["connections"] == 5
    for client in clients:
        client.raw.close()
    wait_for(lambda: owner.channel(key)["connections"] == 0, 10, "no connections")


def test_garbage_at_the_peer_listener_is_refused(steady):
    node = steady["n2"]
    for data in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(200), b"\xff\xff\xff\xff" * 10, b"\0" * 64,
                 struct.pack(">I", 2**31) + b"x"):
        with Raw(node.peer_port, timeout=10) as raw:
            raw.send(data)
            assert raw.fill() or True
    assert steady.cli_json("check")["ok"] is True


def test_a_silent_client_is_found_by_the_heartbeat(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=1, settings={
        "heartbeat": "{interval: 300ms, timeout: 1s}"})
    node = cluster["n1"]
    answering = Client(node.ws_url(key))        # its library answers pings
    answering.welcome()
    with RawClient(node, key) as silent:
        assert silent.take_event()["type"] == "welcome"
        opcode, payload, _ = silent.take_frame()
        assert opcode == PING
        silent.take_close()
        wait_for(lambda: node.channel(key)["connections"] == 1, 10, "the silent one is gone")
    assert answering.is_open()
    answering.close()
