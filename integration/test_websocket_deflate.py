# SPDX-License-Identifier: Apache-2.0
"""Compressed WebSocket messages (permessage-deflate, RFC 7692), through `ws-echo` as in
test_websocket_conformance.py: frames made by hand, and python3-websockets with every parameter."""
import asyncio
import itertools
import random
import socket

import pytest
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from harness.echo import (BINARY, CLOSE, CONTINUATION, PING, PONG, RSV1, TEXT, Client, Echo,
                          close_frame, deflate, frame)

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
TAKEN = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
LIMIT = 300000
SIZES = [16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072]


def words(size, seed=1):
    """Text that compresses as text does."""
    chosen = random.Random(seed)
    some = ["".join(chosen.choices("abcdefghijklmnopqrstuvwxyzäé€", k=chosen.randint(2, 9)))
            for _ in range(200)]
    return " ".join(chosen.choices(some, k=size // 3)).encode()[:size].decode(errors="ignore").encode()


def noise(size):
    return random.Random(size).randbytes(size)


@pytest.fixture(scope="module")
def echo():
    server = Echo("--message-bytes", str(LIMIT), "--deflate", "15")
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def narrow_echo():
    """Its windows are 2^9 at most."""
    server = Echo("--message-bytes", str(LIMIT), "--deflate", "9")
    yield server
    assert server.stop() == 0


@pytest.fixture
def client(echo):
    with Client(echo, [OFFER]) as connected:
        assert connected.extensions == f"{TAKEN}; client_max_window_bits=15"
        yield connected


def deflated(opcode, payload, **options):
    return frame(opcode, deflate(payload), rsv=RSV1, **options)


def in_fragments(opcode, data, size):
    """The frames of one compressed message; the first one says that it is."""
    pieces = [data[at:at + size] for at in range(0, len(data), size)]
    return b"".join(
        frame(CONTINUATION if number else opcode, piece, fin=number == len(pieces) - 1,
              rsv=0 if number else RSV1)
        for number, piece in enumerate(pieces))


# ---- Negotiation ----

@pytest.mark.parametrize("offer, answer", [
    ("permessage-deflate", TAKEN),
    ("permessage-deflate; server_max_window_bits=10", f"{TAKEN}; server_max_window_bits=10"),
    ("permessage-deflate; server_max_window_bits=8, permessage-deflate", TAKEN),
    ("permessage-deflate; server_max_window_bits=8", None),
    ("permessage-deflate; server_max_window_bits=99", None),
    ("permessage-deflate; what", None),
    ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
    ("permessage-deflate;;", None),
    ("x-webkit-deflate-frame", None),
])
def test_12_an_offer_is_answered_or_declined_and_the_handshake_goes_on(echo, offer, answer):
    with Client(echo, [f"Sec-WebSocket-Extensions: {offer}"]) as client:
        assert client.status == 101
        assert client.extensions == answer
        client.send(frame(TEXT, b"a" * 100))
        client.expect(("text", b"a" * 100))
        assert client.deflated == (answer is not None)
        client.expect_clean_close()


# ---- 12: messages of all sizes ----

@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [words, noise, lambda size: b"*" * size],
                         ids=["words", "noise", "one character"])
def test_12_compressed_messages_come_back(client, make, size):
    payload = make(size)
    opcode, name = (BINARY, "binary") if make is noise else (TEXT, "text")
    data = deflate(payload)
    for _ in range(3):
        client.send(frame(opcode, data, rsv=RSV1))
        client.send(frame(opcode, payload))
        client.send(in_fragments(opcode, data, 256), chop=997)
        client.expect(*[(name, payload)] * 3)
    assert client.deflated == 0 if make is noise else size <= 64 or client.deflated == 9
    client.expect_clean_close()


def test_12_control_frames_go_between_the_fragments_and_are_not_compressed(client):
    data = deflate(b"Hello, Hello, Hello, Hello")
    client.send(frame(TEXT, data[:3], fin=False, rsv=RSV1) + frame(PING, b"p")
                + frame(CONTINUATION, b"", fin=False) + frame(PONG, b"x")
                + frame(CONTINUATION, data[3:]))
    client.expect(("pong", b"p"), ("text", b"Hello, Hello, Hello, Hello"))
    client.expect_clean_close()


@pytest.mark.parametrize("chop", [None, 1])
@pytest.mark.parametrize("data", [
    "f248cdc9c90700", "000500faff48656c6c6f00", "f348cdc9c9070000", "f248050000 00ffff cac9c90700"])
def test_12_the_examples_of_the_standard_are_understood(client, data, chop):
    """RFC 7692, 7.2.3: a block of its own codes, one that is stored, one that says that it is the
    last, two of them."""
    client.send(frame(TEXT, bytes.fromhex(data), rsv=RSV1), chop)
    client.expect(("text", b"Hello"))
    client.expect_clean_close()


def test_12_many_compressed_messages_in_one_packet_come_back_in_order(client):
    """Far more than a turn of the server's loop takes in, and other connections go on."""
    payloads = [bytes([97 + number % 26]) * 250000 for number in range(150)]
    with Client(client.server, [OFFER]) as other:
        client.send(b"".join(deflated(TEXT, payload) for payload in payloads))
        other.send(frame(PING, b"still there"))
        other.expect(("pong", b"still there"))
        client.expect(*(("text", payload) for payload in payloads))
        other.expect_clean_close()
    client.expect_clean_close()


# ---- 3, 5, 6: what is refused ----

@pytest.mark.parametrize("opcode, rsv", itertools.product([PING, PONG, CLOSE], range(1, 8)))
def test_3_a_control_frame_has_no_reserved_bit(client, opcode, rsv):
    client.send(frame(opcode, b"\x03\xe8", rsv=rsv))
    client.expect_failure(1002)


@pytest.mark.parametrize("opcode, rsv", itertools.product([TEXT, BINARY], [1, 2, 3, 5, 6, 7]))
def test_3_a_message_has_no_other_reserved_bit(client, opcode, rsv):
    client.send(frame(opcode, deflate(b"x"), rsv=rsv))
    client.expect_failure(1002)


@pytest.mark.parametrize("first", [0, RSV1])
def test_5_a_continuation_has_no_reserved_bit(client, first):
    data = deflate(b"Hello")
    client.send(frame(BINARY, data[:2], fin=False, rsv=first)
                + frame(CONTINUATION, data[2:], rsv=RSV1))
    client.expect_failure(1002)


@pytest.mark.parametrize("chop", [None, 1])
@pytest.mark.parametrize("text", [b"\xff", b"ok \xed\xa0\x80", b"cut \xe2\x82", b"\xc0\xaf", b"\xf5\x80"])
def test_6_bad_text_inside_a_compressed_message_is_refused(client, text, chop):
    client.send(deflated(TEXT, b"before") + deflated(BINARY, text))
    client.expect(("text", b"before"), ("binary", text))
    client.send(deflated(TEXT, text), chop)
    client.expect_failure(1007)


def test_6_good_text_may_be_cut_anywhere_once_it_is_compressed(client):
    text = "κόσμε ".encode() * 20
    client.send(in_fragments(TEXT, deflate(text), 1))
    client.expect(("text", text))
    client.expect_clean_close()


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff", b"\xf2\x48\xcd", b"\x00\x05\x00\x00\x00Hello",
                                  b"\xf2\x00\x11\x00\x00"],
                         ids=["nothing", "no block type", "cut", "a wrong length",
                              "the message before it"])
def test_6_what_cannot_be_inflated_is_refused(client, data):
    client.send(deflated(TEXT, b"Hello"))
    client.expect(("text", b"Hello"))
    client.send(frame(BINARY, data, rsv=RSV1))
    client.expect_failure(1007)


# ---- 9: limits ----

def test_9_the_limit_is_that_of_the_inflated_message(echo):
    for payload in (b"*" * LIMIT, words(LIMIT), noise(LIMIT)):
        with Client(echo, [OFFER]) as client:
            client.send(deflated(BINARY, payload))
            client.expect(("binary", payload))
            client.send(deflated(BINARY, payload + b"*"))
            client.expect_failure(1009)


@pytest.mark.parametrize("size", [256, 70000])
def test_9_a_bomb_is_refused_and_takes_no_memory(echo, size):
    """200 MiB of zeros in 200 KiB, in one frame or in many: the end comes at the limit, when the
    message is whole, or before that when it is longer than any compressor makes what is allowed."""
    bomb = deflate(bytes(1 << 20)) * 200
    assert len(bomb) < LIMIT
    before = memory_peak(echo)
    for _ in range(5):
        with Client(echo, [OFFER]) as client:
            client.send(in_fragments(BINARY, bomb, size))
            client.expect_failure(1009)
        with Client(echo, [OFFER]) as client:
            client.send(in_fragments(BINARY, bomb * 5, size))
            client.expect_failure(1009)
    assert memory_peak(echo) - before < 16 << 20


def memory_peak(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


# ---- 13: every parameter, with a client that others wrote ----

async def talk(port, factory, payloads):
    async with websockets.connect(f"ws://127.0.0.1:{port}/", extensions=[factory], compression=None,
                                  max_size=None) as connection:
        negotiated = [extension.name for extension in connection.extensions]
        for payload in payloads:
            await connection.send(payload)
        received = [await connection.recv() for _ in payloads]
        assert received == payloads
    assert connection.close_code == 1000
    return negotiated


@pytest.mark.parametrize("client_window", [None, True, 8, 9, 15])
@pytest.mark.parametrize("server_window", [None, 9, 15])
@pytest.mark.parametrize("server_alone, client_alone", itertools.product([False, True], repeat=2))
def test_13_python_websockets_agrees_on_every_parameter(echo, narrow_echo, server_alone, client_alone,
                                                        server_window, client_window):
    factory = ClientPerMessageDeflateFactory(server_alone, client_alone, server_window, client_window)
    payloads = [words(size).decode() for size in SIZES] + [noise(5000), b"*" * 100000] * 3
    for server in (echo, narrow_echo):
        if client_window == 8:  # zlib cannot; the client only asks whether it may
            factory.client_max_window_bits = True
        assert asyncio.run(talk(server.port, factory, payloads)) == ["permessage-deflate"]


def test_13_a_client_that_wants_the_smallest_window_of_all_is_declined_and_goes_on(echo):
    factory = ClientPerMessageDeflateFactory(False, False, 8, None)
    assert asyncio.run(talk(echo.port, factory, ["Hello " * 100])) == []


# ---- End ----

def test_the_socket_of_a_client_that_leaves_within_a_compressed_message_is_freed(echo):
    for _ in range(20):
        with Client(echo, [OFFER]) as client:
            client.send(in_fragments(TEXT, deflate(words(2000)), 100)[:300])
            client.socket.shutdown(socket.SHUT_RDWR)
    with Client(echo, [OFFER]) as client:
        client.send(deflated(TEXT, b"next") + close_frame(1000))
        client.expect(("text", b"next"), ("close", 1000), ("end",))
