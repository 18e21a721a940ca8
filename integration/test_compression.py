# SPDX-License-Identifier: Apache-2.0
"""Nodes that compress, and clients that others wrote: python3-websockets, npm's ws, Chromium."""
import json

import pytest

from harness.echo import RSV1, deflate
from harness.wait import wait_for
from harness.ws import TEXT, Client, RawClient

COMPRESSION = "{level: 6, threshold: 200B}"
WORDS = "compressed as words are, which repeat what was said, as words are " * 10
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"


@pytest.fixture(scope="module")
def compressing(shared_zookeeper, make_steady):
    """Two nodes for all tests here."""
    return make_steady(shared_zookeeper, nodes=2, settings={"compression": COMPRESSION})


def counted(node, *names):
    metrics = node.metrics()
    return [int(metrics[f"ringhop_{name}"]) for name in names]


def test_by_default_nothing_is_compressed(steady, key):
    client = Client(steady.owner(key).ws_url(key))
    assert "Sec-WebSocket-Extensions" not in client.headers
    client.welcome()
    steady.owner(key).publish(key, WORDS)
    assert client.wait_messages(1)[0]["data"] == WORDS
    client.close()
    assert counted(steady.owner(key), "websockets_compressed_total", "messages_deflated_total") == [0, 0]


def test_a_message_to_many_is_compressed_once(compressing, key):
    owner = compressing.owner(key)
    clients = [Client(owner.ws_url(key)) for _ in range(20)]
    plain = Client(owner.ws_url(key), compression=None)
    for client in [*clients, plain]:
        client.welcome()
    names = ("messages_deflated_total", "deflate_bytes_in_total", "deflate_bytes_out_total")
    before = counted(owner, *names)
    for number in range(10):
        assert owner.publish(key, f"{number} {WORDS}").status == 201
    for client in [*clients, plain]:
        assert [m["data"] for m in client.wait_messages(10)] == [f"{n} {WORDS}" for n in range(10)]
        assert ("Sec-WebSocket-Extensions" in client.headers) == (client is not plain)
        client.close()
    messages, size, smaller = (now - then for now, then in zip(counted(owner, *names), before))
    assert messages == 10
    assert smaller < size / 4


def test_a_short_message_is_sent_as_it_is(compressing, key):
    owner = compressing.owner(key)
    with RawClient(owner, key, extra=[OFFER]) as client:
        assert client.response.headers["sec-websocket-extensions"].startswith("permessage-deflate")
        assert client.take_event()["type"] == "welcome"
        before = counted(owner, "messages_deflated_total")
        owner.publish(key, "aaaaaaaaaaaaaaaaaaaa")
        assert client.take_event()["data"] == "aaaaaaaaaaaaaaaaaaaa"
        assert counted(owner, "messages_deflated_total") == before
        owner.publish(key, "a" * 200)
        first, _ = client.raw.take(2)
        assert first == 0xc1, "final, compressed, text"
        assert counted(owner, "messages_deflated_total") == [before[0] + 1]


def test_what_a_client_publishes_compressed_is_counted_and_kept(compressing, key):
    owner = compressing.owner(key)
    publish = {"type": "publish", "id": "a", "data": WORDS}
    before = counted(owner, "inflate_bytes_in_total", "inflate_bytes_out_total")
    with RawClient(owner, key, extra=[OFFER]) as client:
        client.take_event()
        text = json.dumps(publish).encode()
        client.send(TEXT, deflate(text), rsv=RSV1)
        wait_for(lambda: owner.channel(key)["last_seq"] == 1, what="the message")
        assert owner.poll(key, after="0").json()["messages"][0]["data"] == WORDS
    after = counted(owner, "inflate_bytes_in_total", "inflate_bytes_out_total")
    assert [now - then for now, then in zip(after, before)] == [len(deflate(text)), len(text)]


def test_a_bomb_is_closed_with_1009_and_others_go_on(compressing, key):
    owner = compressing.owner(key)
    other = Client(owner.ws_url(key))
    other.welcome()
    bomb = deflate(b'{"type":"publish","data":"' + b"a" * (64 << 20))
    with RawClient(owner, key, extra=[OFFER]) as client:
        client.take_event()
        client.send(TEXT, bomb, rsv=RSV1)
        assert client.take_close() == 1009
    with RawClient(owner, key, extra=[OFFER]) as client:
        client.take_event()
        client.send(TEXT, b"\xff\xff\xff", rsv=RSV1)
        assert client.take_close() == 1007
    assert owner.channel(key)["last_seq"] == 0
    owner.publish(key, "still there")
    assert other.wait_messages(1)[0]["data"] == "still there"
    other.close()


def test_a_replay_and_a_move_are_compressed_too(compressing, key):
    owner, wrong = compressing.owner(key), compressing.wrong_node(key)
    for number in range(50):
        owner.publish(key, f"{number} {WORDS}")
    moved = Client(wrong.ws_url(key, after=0)).wait_event("moved")
    client = Client(moved["url"])
    assert [m["data"] for m in client.wait_messages(50)] == [f"{n} {WORDS}" for n in range(50)]
    assert "permessage-deflate" in client.headers["Sec-WebSocket-Extensions"]
    client.close()


def test_a_relayed_connection_compresses_with_the_node_that_carries_it(compressing, key):
    owner, wrong = compressing.owner(key), compressing.wrong_node(key)
    clients = [Client(wrong.ws_url(key, route="relay")) for _ in range(5)]
    for client in clients:
        assert client.welcome()["node"] == wrong.id
    before = [counted(node, "messages_deflated_total")[0] for node in (owner, wrong)]
    for number in range(10):
        owner.publish(key, f"{number} {WORDS}")
    for client in clients:
        assert [m["data"] for m in client.wait_messages(10)] == [f"{n} {WORDS}" for n in range(10)]
        client.close()
    after = [counted(node, "messages_deflated_total")[0] for node in (owner, wrong)]
    assert after[0] == before[0]
    assert 10 <= after[1] - before[1] <= 50


def test_npm_ws_compresses_in_both_directions(compressing, key, npm_ws):
    owner = compressing.owner(key)
    npm_ws.open("a", owner.ws_url(key), deflate=True)
    npm_ws.open("b", owner.ws_url(key), deflate=False)
    npm_ws.wait_welcomed(["a", "b"])
    a, b = npm_ws.clients["a"], npm_ws.clients["b"]
    assert [client.opens[0]["extensions"] for client in (a, b)] == ["permessage-deflate", ""]
    before = counted(owner, "messages_deflated_total", "inflate_bytes_out_total")
    for number in range(20):
        npm_ws.send("a", {"type": "publish", "id": str(number), "data": f"{number} {WORDS}"})
    for client in (a, b):
        wait_for(lambda: len(client.of_type("message")) == 20, what="all messages")
        assert [m["data"] for m in client.of_type("message")] == [f"{n} {WORDS}" for n in range(20)]
    wait_for(lambda: len(a.of_type("ack")) == 20, what="all acknowledgements")
    after = counted(owner, "messages_deflated_total", "inflate_bytes_out_total")
    assert after[0] - before[0] == 20
    assert after[1] - before[1] > 20 * len(WORDS)


def test_chromium_compresses_in_both_directions(compressing, key, browser):
    owner = compressing.owner(key)
    before = counted(owner, "messages_deflated_total", "inflate_bytes_out_total")
    browser.open(f"{owner.url}/v1/ring")    # a page of this machine: another may not reach into it
    heard = browser.evaluate(f"""new Promise((resolve, reject) => {{
        const socket = new WebSocket({json.dumps(owner.ws_url(key))}, ["ringhop.v1"]);
        const data = [];
        socket.onmessage = ({{ data: text }}) => {{
            const event = JSON.parse(text);
            if (event.type === "welcome") {{
                for (let number = 0; number < 20; number++) {{
                    socket.send(JSON.stringify(
                        {{ type: "publish", data: number + " " + {json.dumps(WORDS)} }}));
                }}
            }}
            if (event.type === "message" && data.push(event.data) === 20) {{
                resolve([socket.extensions, data]);
                socket.close();
            }}
        }};
        socket.onclose = ({{ code }}) => reject(new Error(`closed with ${{code}}`));
    }})""")
    assert heard[0].startswith("permessage-deflate")
    assert heard[1] == [f"{number} {WORDS}" for number in range(20)]
    after = counted(owner, "messages_deflated_total", "inflate_bytes_out_total")
    assert after[0] - before[0] == 20
    assert after[1] - before[1] > 20 * len(WORDS)


def test_idle_connections_hold_nothing_for_it(compressing, steady, key):
    """Of a thousand connections that compress, and a thousand that do not, both had a message."""
    grown = []
    for cluster in (steady, compressing):
        owner = cluster.owner(key)
        first = [Client(owner.ws_url(key)) for _ in range(20)]
        owner.publish(key, WORDS)
        [client.wait_messages(1) for client in first]
        before = owner.process.rss_bytes()
        more = [RawClient(owner, key, extra=[OFFER]) for _ in range(1000)]
        for client in more:
            assert client.take_event()["type"] == "welcome"
        owner.publish(key, WORDS)
        for client in more:
            client.raw.take(2)
        grown.append((owner.process.rss_bytes() - before) / 1000)
        for client in more:
            client.raw.close()
        [client.close() for client in first]
    assert grown[1] < grown[0] + 1000, f"bytes for each connection: {grown}"
