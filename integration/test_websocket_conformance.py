# SPDX-License-Identifier: Apache-2.0
"""The node's WebSocket code against RFC 6455, through `ws-echo`: that code with an echo above it.

Frames are made by hand, so that wrong ones can be made. The groups are those of the Autobahn
Testsuite, which docs/conformance.md says how to run as a whole.
"""
import base64
import hashlib
import itertools
import pathlib
import socket
import subprocess

import pytest

from harness.echo import (BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, TIMEOUT_S, Client, Echo,
                          close_frame, frame)

SMALL_LIMIT = 1000
VECTORS = pathlib.Path(__file__).parent / "vectors"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@pytest.fixture(scope="module")
def echo():
    server = Echo()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def small_echo():
    server = Echo("--message-bytes", str(SMALL_LIMIT))
    yield server
    assert server.stop() == 0


@pytest.fixture
def client(echo):
    with Client(echo) as connected:
        assert connected.status == 101
        yield connected


def test_the_cases_of_the_testsuite_pass(echo):
    """All but group 9, which takes minutes; `vectors/autobahn_cases.py --groups 9` by hand."""
    done = subprocess.run([VECTORS / "autobahn_cases.py", str(echo.port), "--groups", "1,2,3,4,5,6,7,10"],
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "247 cases, 0 failed" in done.stdout


# ---- Handshake ----

def test_the_handshake_is_answered_and_extensions_are_declined(echo):
    offers = ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
              "Sec-WebSocket-Protocol: chat, ringhop.v1"]
    with Client(echo, offers) as client:
        assert client.status == 101
        digest = hashlib.sha1((KEY + GUID).encode()).digest()
        assert client.headers["sec-websocket-accept"] == base64.b64encode(digest).decode()
        assert client.headers["upgrade"].lower() == "websocket"
        assert client.headers["connection"].lower() == "upgrade"
        assert client.headers["sec-websocket-protocol"] == "ringhop.v1"
        assert "sec-websocket-extensions" not in client.headers
        client.expect_clean_close()


def test_no_subprotocol_is_named_that_was_not_offered(client):
    assert "sec-websocket-protocol" not in client.headers


@pytest.mark.parametrize("status, headers", [
    (426, ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 8",
           f"Sec-WebSocket-Key: {KEY}"]),
    (400, ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]),
    (400, ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: c2hvcnQ="]),
    (400, ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}"]),
    (400, ["Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"]),
])
def test_a_wrong_handshake_is_refused(echo, status, headers):
    with Client(echo, headers, upgrade=False) as client:
        assert client.status == status
        if status == 426:
            assert client.headers["sec-websocket-version"] == "13"


def test_frames_behind_the_handshake_in_one_packet_are_read(echo):
    with socket.create_connection(("127.0.0.1", echo.port), TIMEOUT_S) as raw:
        raw.sendall((f"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n").encode()
                    + frame(TEXT, b"early") + close_frame(1000))
        answer = b""
        while data := raw.recv(65536):
            answer += data
    assert answer.endswith(b"\r\n\r\n\x81\x05early\x88\x02\x03\xe8")


# ---- 1: framing ----

@pytest.mark.parametrize("chop", [None, 997])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536])
def test_1_messages_of_every_header_size_come_back(client, size, chop):
    client.send(frame(TEXT, b"*" * size), chop)
    client.expect(("text", b"*" * size))
    client.send(frame(BINARY, b"\xfe" * size), chop)
    client.expect(("binary", b"\xfe" * size))
    client.expect_clean_close()


def test_1_a_frame_without_mask_is_refused(client):
    client.send(frame(TEXT, b"x", mask=b""))
    client.expect_failure(1002)


@pytest.mark.parametrize("head", [b"\xfe\x00\x05", b"\xff\x00\x00\x00\x00\x00\x00\x01\x00",
                                  b"\xff\x80\x00\x00\x00\x00\x00\x00\x05"])
def test_1_a_length_that_is_not_minimal_or_not_positive_is_refused(client, head):
    client.send(b"\x81" + head + b"\0\0\0\0hello")
    client.expect_failure(1002)


# ---- 2: pings and pongs ----

@pytest.mark.parametrize("chop", [None, 1])
@pytest.mark.parametrize("payload", [b"", b"hello", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125])
def test_2_a_ping_is_answered_with_its_payload(client, payload, chop):
    client.send(frame(PING, payload), chop)
    client.expect(("pong", payload))
    client.expect_clean_close()


def test_2_a_ping_longer_than_125_bytes_is_refused(client):
    client.send(frame(PING, b"\xfe" * 126))
    client.expect_failure(1002)


def test_2_a_pong_nobody_asked_for_is_ignored(client):
    client.send(frame(PONG, b"unsolicited") + frame(PONG) + frame(PING, b"x"))
    client.expect(("pong", b"x"))
    client.expect_clean_close()


@pytest.mark.parametrize("chop", [None, 1])
def test_2_ten_pings_get_ten_pongs_in_order(client, chop):
    payloads = [b"payload-%d" % i for i in range(10)]
    client.send(b"".join(frame(PING, payload) for payload in payloads), chop)
    client.expect(*(("pong", payload) for payload in payloads))
    client.expect_clean_close()


def test_2_a_flood_of_pings_gets_the_last_one_answered(client):
    """Not every one of them: only the most recent need be (RFC 6455, 5.5.3)."""
    client.send(b"".join(frame(PING, b"%d" % i) for i in range(20000)))
    numbers = []
    while not numbers or numbers[-1] != 19999:
        name, payload = client.read()
        assert name == "pong"
        numbers.append(int(payload))
    assert numbers == sorted(set(numbers))
    client.expect_clean_close()


# ---- 3: reserved bits ----

@pytest.mark.parametrize("opcode, rsv", itertools.product([TEXT, BINARY, PING, CLOSE], range(1, 8)))
def test_3_a_reserved_bit_is_refused(client, opcode, rsv):
    client.send(frame(TEXT, b"before"))
    client.send(frame(opcode, b"\x03\xe8", rsv=rsv), chop=1 if rsv % 2 else None)
    client.expect(("text", b"before"))
    client.expect_failure(1002)


def test_3_a_reserved_bit_on_a_continuation_is_refused(client):
    client.send(frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", rsv=4))
    client.expect_failure(1002)


# ---- 4: opcodes ----

@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("payload", [b"", b"reserved"])
def test_4_a_reserved_opcode_is_refused(client, opcode, payload):
    client.send(frame(TEXT, b"before") + frame(opcode, payload) + frame(PING))
    client.expect(("text", b"before"))
    client.expect_failure(1002)


# ---- 5: fragments ----

@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_5_a_fragmented_control_frame_is_refused(client, opcode):
    client.send(frame(opcode, b"fragment1", fin=False) + frame(CONTINUATION, b"fragment2"))
    client.expect_failure(1002)


@pytest.mark.parametrize("chop", [None, 1])
def test_5_fragments_come_back_as_one_message(client, chop):
    client.send(frame(TEXT, b"fragment1", fin=False) + frame(CONTINUATION, b"fragment2"), chop)
    client.expect(("text", b"fragment1fragment2"))
    client.send(frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"", fin=False)
                + frame(CONTINUATION, b"x", fin=False) + frame(CONTINUATION), chop)
    client.expect(("binary", b"x"))
    client.expect_clean_close()


@pytest.mark.parametrize("chop", [None, 1])
def test_5_a_ping_between_fragments_is_answered_before_the_message(client, chop):
    client.send(frame(TEXT, b"fragment1", fin=False) + frame(PING, b"ping")
                + frame(CONTINUATION, b"fragment2"), chop)
    client.expect(("pong", b"ping"), ("text", b"fragment1fragment2"))
    client.expect_clean_close()


def test_5_a_ping_between_fragments_is_answered_at_once(client):
    client.send(frame(TEXT, b"1", fin=False) + frame(CONTINUATION, b"2", fin=False)
                + frame(PING, b"pongme 1!"))
    client.expect(("pong", b"pongme 1!"))
    client.send(frame(CONTINUATION, b"3", fin=False) + frame(PING, b"pongme 2!"))
    client.expect(("pong", b"pongme 2!"))
    client.send(frame(CONTINUATION, b"4") + frame(TEXT, b"next"))
    client.expect(("text", b"1234"), ("text", b"next"))
    client.expect_clean_close()


@pytest.mark.parametrize("fin", [True, False])
def test_5_a_continuation_of_nothing_is_refused(client, fin):
    client.send(frame(CONTINUATION, b"non-continuation", fin=fin) + frame(TEXT, b"hello"))
    client.expect_failure(1002)


def test_5_a_continuation_after_the_last_fragment_is_refused(client):
    client.send(frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b")
                + frame(CONTINUATION, b"c", fin=False) + frame(TEXT, b"d"))
    client.expect(("text", b"ab"))
    client.expect_failure(1002)


def test_5_a_new_message_inside_a_message_is_refused(client):
    client.send(frame(TEXT, b"fragment1", fin=False) + frame(TEXT, b"fragment2"))
    client.expect_failure(1002)


# ---- 6: UTF-8 ----

GOOD_TEXTS = [
    "κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "\0", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000",
    "\ufffd", "\ufffe", "\uffff", "\U00010000", "\U0001fffe", "\U0010ffff", "hello\u20acworld",
    "𤭢" * 3,
]

BAD_TEXTS = [
    b"\x80", b"\xbf", b"\x80\xbf\x80\xbf\x80\xbf", bytes(range(0x80, 0xc0)),
    b"\xc0 \xc1 \xc2 ", b"\xe0 \xe1 \xef ", b"\xf0 \xf4 \xf7 ", b"\xf8 \xfb ", b"\xfc \xfd ",
    b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xdf", b"\xef\xbf",
    b"\xf7\xbf\xbf", b"\xfe", b"\xff", b"\xfe\xfe\xff\xff",
    b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf", b"\xc1\xbf",
    b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xc0\x80", b"\xe0\x80\x80",
    b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80", b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf",
    b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf",
    "κόσμε".encode() + b"\xed\xa0\x80edited",
]


def fragments(payload, size=1):
    pieces = [payload[at:at + size] for at in range(0, len(payload), size)] or [b""]
    return b"".join(frame(TEXT if at == 0 else CONTINUATION, piece, fin=at == len(pieces) - 1)
                    for at, piece in enumerate(pieces))


@pytest.mark.parametrize("text", GOOD_TEXTS, ids=ascii)
def test_6_good_text_comes_back_however_it_is_cut(client, text):
    payload = text.encode()
    for cut in range(len(payload) + 1):
        client.send(frame(TEXT, payload[:cut], fin=False) + frame(CONTINUATION, payload[cut:]))
        client.expect(("text", payload))
    client.send(fragments(payload))
    client.send(frame(TEXT, payload), chop=1)
    client.expect(("text", payload), ("text", payload))
    client.expect_clean_close()


@pytest.mark.parametrize("payload", BAD_TEXTS, ids=repr)
def test_6_bad_text_is_refused_however_it_is_cut(echo, payload):
    for sent, chop in [(frame(TEXT, payload), None), (frame(TEXT, payload), 1),
                       (fragments(payload), None), (fragments(payload, 2), 1)]:
        with Client(echo) as client:
            client.send(frame(TEXT, b"before") + sent, chop)
            client.expect(("text", b"before"))
            client.expect_failure(1007)


def test_6_every_prefix_of_a_text_is_judged_rightly(echo):
    payload = "κόσμε".encode()
    for size in range(1, len(payload) + 1):
        with Client(echo) as client:
            client.send(frame(TEXT, payload[:size]))
            try:
                payload[:size].decode()
            except UnicodeDecodeError:
                client.expect_failure(1007)
            else:
                client.expect(("text", payload[:size]))


@pytest.mark.parametrize("start, rest", [
    (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", b"\xf4\x90"), (b"\xce\xba", b"\xed\xa0")])
@pytest.mark.parametrize("whole", [True, False])
def test_6_bad_text_is_refused_before_its_message_ends(client, start, rest, whole):
    """Fail fast: the fragment, or the frame, is not complete when the close frame comes."""
    if whole:
        client.send(frame(TEXT, start, announced=100))
        sent = frame(TEXT, start + rest, announced=100)
        client.send(sent[-len(rest):])
    else:
        client.send(frame(TEXT, start, fin=False))
        client.send(frame(CONTINUATION, rest, fin=False))
    client.expect_failure(1007)


def test_6_binary_messages_are_not_judged(client):
    for payload in BAD_TEXTS:
        client.send(frame(BINARY, payload))
        client.expect(("binary", payload))
    client.expect_clean_close()


# ---- 7: closing ----

def test_7_the_second_close_frame_is_not_answered(client):
    client.send(close_frame(1000) + close_frame(1000))
    client.expect(("close", 1000), ("end",))


@pytest.mark.parametrize("late", [frame(TEXT, b"late"), frame(PING, b"late"),
                                  frame(TEXT, b"late", fin=False), frame(BINARY, b"x" * 200000)],
                         ids=["text", "ping", "fragment", "long"])
def test_7_nothing_is_answered_after_the_close_frame(client, late):
    client.send(frame(TEXT, b"before") + close_frame(1000) + late)
    client.expect(("text", b"before"), ("close", 1000), ("end",))


def test_7_a_close_in_the_middle_of_a_message_ends_it(client):
    client.send(frame(TEXT, b"fragment1", fin=False) + close_frame(1000)
                + frame(CONTINUATION, b"fragment2"))
    client.expect(("close", 1000), ("end",))


def test_7_a_long_message_before_the_close_comes_back_whole(client):
    payload = b"BAsd7&jh23" * 26214
    client.send(frame(TEXT, payload) + close_frame(1000))
    client.expect(("text", payload), ("close", 1000), ("end",))


def test_7_a_close_without_code_is_answered_without_code(client):
    client.send(frame(CLOSE))
    client.expect(("close", None), ("end",))


@pytest.mark.parametrize("chop", [None, 1])
@pytest.mark.parametrize("reason", [b"", b"Hello World!", "κόσμε".encode(), b"*" * 123], ids=repr)
def test_7_a_close_with_a_reason_is_answered(client, reason, chop):
    client.send(close_frame(1000, reason), chop)
    client.expect(("close", 1000), ("end",))


@pytest.mark.parametrize("chop", [None, 1])
@pytest.mark.parametrize("code, payload", [
    (1002, b"\x03"), (1002, b"\x03\xe8" + b"*" * 124), (1007, b"\x03\xe8\xce\xba\xed\xa0\x80edited"),
    (1007, b"\x03\xe8\xe2\x82"), (1007, b"\x03\xe8\x80")], ids=repr)
def test_7_a_broken_close_frame_is_refused(client, code, payload, chop):
    client.send(frame(CLOSE, payload), chop)
    client.expect_failure(code)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013,
                                  1014, 3000, 3999, 4000, 4999])
def test_7_a_close_code_that_may_be_sent_is_echoed(client, code):
    client.expect_clean_close(code)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_7_a_close_code_that_may_not_be_sent_is_refused(client, code):
    client.send(close_frame(code))
    client.expect_failure(1002)


def test_7_the_close_frame_arrives_though_the_client_goes_on_sending(client):
    """The server must not reset a connection on which unread data waits: that would destroy the
    close frame on its way (RFC 6455, 7.1.1)."""
    client.send(frame(3, b"reserved") + frame(BINARY, b"x" * 1000000))
    client.expect_failure(1002)


# ---- 9: limits ----

@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("mebibytes", [1, 4, 16])
def test_9_long_messages_come_back(client, opcode, mebibytes):
    payload = b"*ringhop" * (mebibytes * 131072)
    client.send(frame(opcode, payload))
    client.expect((Client.NAMES[opcode], payload))
    client.expect_clean_close()


@pytest.mark.parametrize("size", [64, 1024, 65536])
def test_9_a_message_of_very_many_fragments_comes_back(client, size):
    payload = b"*" * (4 << 20)
    client.send(fragments(payload, size))
    client.expect(("text", payload))
    client.expect_clean_close()


@pytest.mark.parametrize("chop", [64, 2048])
def test_9_a_chopped_message_comes_back(client, chop):
    payload = b"\xfe*" * (1 << 19)
    client.send(frame(BINARY, payload), chop)
    client.expect(("binary", payload))
    client.expect_clean_close()


def test_9_a_thousand_round_trips_keep_order(client):
    for number in range(1000):
        client.send(frame(TEXT, b"%d" % number))
        client.expect(("text", b"%d" % number))
    client.expect_clean_close()


def test_9_a_message_at_the_limit_passes_and_one_above_it_is_refused(small_echo):
    with Client(small_echo) as client:
        client.send(frame(TEXT, b"*" * SMALL_LIMIT))
        client.expect(("text", b"*" * SMALL_LIMIT))
        client.send(frame(TEXT, b"*" * (SMALL_LIMIT + 1)))
        client.expect_failure(1009)
    with Client(small_echo) as client:
        client.send(frame(TEXT, b"*" * SMALL_LIMIT, fin=False) + frame(CONTINUATION, b"*"))
        client.expect_failure(1009)


def test_9_a_length_beyond_all_limits_is_refused_when_it_is_announced(small_echo):
    for size in (SMALL_LIMIT + 1, 1 << 20, (1 << 63) - 1):
        with Client(small_echo) as client:
            client.send(frame(BINARY, b"x", announced=size))
            client.expect_failure(1009)


# ---- 10: fragments that the client's library makes ----

def test_10_automatic_fragments_come_back(client):
    payload = b"*" * 65536
    client.send(fragments(payload, 1300))
    client.expect(("text", payload))
    client.expect_clean_close()


# ---- End ----

def test_clients_are_told_when_the_server_goes_away():
    server = Echo()
    try:
        with Client(server) as client:
            server.process.terminate()
            client.expect(("close", 1001))
            client.send(close_frame(1001))
            client.expect(("end",))
        assert server.process.wait(TIMEOUT_S) == 0
    finally:
        server.stop()
