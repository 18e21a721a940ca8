# SPDX-License-Identifier: Apache-2.0
"""The HTTP server of a node on its own, with the handler of tests/http_server.c: limits of time and
number, pipelining, slow readers, the closing handshake, the ordered end."""
import base64
import json
import re
import socket
import struct
import time

import pytest

from harness import http_vectors
from harness.node import program
from harness.process import Process
from harness.wait import stays, wait_for

HANDSHAKE = (b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(b"0" * 16)
             + b"\r\n\r\n")


class Server:
    def __init__(self, folder, files_max=None, **limits):
        command = [program("http-server"), "0"] + [f"{k}={v}" for k, v in limits.items()]
        if files_max:
            command = ["/bin/sh", "-c", f'ulimit -n {files_max}; exec "$@"', "sh"] + command
        self.process = Process(command, folder / "log")
        self.port = int(wait_for(lambda: re.search(r"^(\d+)$", self.process.log(), re.M),
                                 what="the port").group(1))

    def connect(self, receive_buffer=None):
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", self.port))
        return Connection(sock)

    def stats(self):
        with self.connect() as connection:
            return json.loads(connection.get("/stats")[2])


class Connection:
    """Raw bytes out, parsed responses and frames in."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def _fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def read(self, size):
        while len(self.buffer) < size:
            self._fill()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def head(self):
        while b"\r\n\r\n" not in self.buffer:
            self._fill()
        text, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = text.decode().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
        return int(lines[0].split()[1]), headers

    def response(self, head=False):
        status, headers = self.head()
        length = 0 if head or status < 200 else int(headers.get("content-length", 0))
        return status, headers, self.read(length)

    def get(self, path):
        self.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        return self.response()

    def closed(self):
        """Whether the server has closed, having sent nothing else."""
        if self.buffer:
            return False
        try:
            return self.sock.recv(1) == b""
        except ConnectionError:
            return True

    def upgrade(self):
        self.send(HANDSHAKE)
        assert self.head()[0] == 101
        return self

    def send_frame(self, opcode, payload=b"", fin=True, mask=True):
        size = len(payload)
        head = bytes([opcode | (0x80 if fin else 0)])
        bit = 0x80 if mask else 0
        head += bytes([bit | size]) if size < 126 else bytes([bit | 126]) + struct.pack(">H", size)
        self.send(head + (b"\0\0\0\0" if mask else b"") + payload)

    def frame(self):
        first, size = self.read(2)
        if size == 126:
            size, = struct.unpack(">H", self.read(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.read(8))
        return first & 15, self.read(size)

    def close_code(self):
        """Reads up to the close frame."""
        while True:
            opcode, payload = self.frame()
            if opcode == 8:
                return struct.unpack(">H", payload[:2])[0]


@pytest.fixture
def start(tmp_path):
    servers = []

    def make(**limits):
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        servers.append(Server(folder, **limits))
        return servers[-1]

    yield make
    for server in servers:
        if server.process.running():
            server.process.kill()


# ---- Requests ----

def test_pipelined_requests_are_answered_in_order(start):
    with start().connect() as connection:
        paths = ["/hello", "/later", "/nothing", "/later", "/redirect"] * 40
        connection.send(b"".join(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % p.encode() for p in paths))
        statuses = [connection.response()[0] for _ in paths]
        assert statuses == [200, 200, 404, 200, 307] * 40


def test_nothing_is_done_behind_a_change_that_failed(start):
    server = start()
    post, fail, read = (b"%s HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" % line
                        for line in (b"POST /echo", b"POST /fail", b"GET /fail"))
    before = server.stats()["requests"]
    with server.connect() as connection:
        connection.send(post + read + post + fail + post * 100)
        answers = [connection.response() for _ in range(4)]
        assert [answer[0] for answer in answers] == [200, 503, 200, 503]
        assert answers[3][1]["connection"] == "close"
        assert connection.closed()
    assert server.stats()["requests"] - before == 5      # with this one


def test_a_request_may_come_byte_by_byte(start):
    with start().connect() as connection:
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc":
            connection.send(bytes([byte]))
        assert connection.response()[2] == b"abc"


def test_a_head_request_gets_the_length_without_the_body(start):
    with start().connect() as connection:
        connection.send(b"HEAD /hello HTTP/1.1\r\nHost: h\r\n\r\n")
        status, headers, _ = connection.response(head=True)
        assert (status, headers["content-length"]) == (200, "5")
        assert connection.get("/hello")[2] == b"hello"


def test_the_connection_closes_when_the_client_says_so(start):
    server = start()
    for request, closes in [(b"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", True),
                            (b"GET /hello HTTP/1.0\r\n\r\n", True),
                            (b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False)]:
        with server.connect() as connection:
            connection.send(request)
            assert connection.response()[2] == b"hello"
            if closes:
                assert connection.closed()
            else:
                assert connection.get("/hello")[2] == b"hello"


def test_a_client_that_sends_no_more_still_gets_its_answer(start):
    with start().connect() as connection:
        connection.send(b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n")
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.response()[2] == b"hello"
        assert connection.closed()


def test_a_client_that_expects_it_is_told_to_continue(start):
    with start().connect() as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                        b"Content-Length: 4\r\n\r\n")
        assert connection.head()[0] == 100
        connection.send(b"body")
        assert connection.response()[2] == b"body"


def test_a_bad_request_gets_a_problem_and_the_end(start):
    server = start()
    with server.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\nGET /hello HTTP/1.1\r\n")
        status, headers, body = connection.response()
        assert (status, headers["connection"]) == (400, "close")
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(body)["code"] == "bad_host"
        assert connection.closed()
    assert server.stats()["bad_requests"] == 1


def test_whoever_sends_too_much_still_reads_the_answer(start):
    with start(body_bytes=1000).connect() as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n")
        connection.send(b"x" * 500000)
        status, _, body = connection.response()
        assert (status, json.loads(body)["code"]) == (413, "too_large")
        stays(lambda: connection.send(b"still sending") is None, 0.2)   # no reset
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.closed()


def test_no_header_of_a_stranger_gets_out(start):
    with start().connect() as connection:
        status, headers, _ = connection.get("/inject")
        assert status == 500 and "set-cookie" not in headers


def test_an_aborted_request_ends_without_an_answer(start):
    with start().connect() as connection:
        connection.send(b"GET /drop HTTP/1.1\r\nHost: h\r\n\r\n")
        assert connection.closed()


def test_the_handler_hears_once_that_a_waiting_client_is_gone(start):
    server = start()
    for reset in (False, True):
        connection = server.connect()
        connection.send(b"GET /never HTTP/1.1\r\nHost: h\r\n\r\nGET /hello HTTP/1.1\r\n")
        requests = server.stats()["requests"]
        wait_for(lambda: server.stats()["connections"] == 2)
        if reset:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sock.close()
        assert requests > 0
        wait_for(lambda: server.stats()["closed_requests"] == 1 + reset)


def test_a_slow_reader_of_many_large_answers_costs_no_memory(start):
    server = start()
    with server.connect(receive_buffer=65536) as connection:
        before = server.process.rss_bytes()
        connection.send(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n" * 100)
        wait_for(lambda: server.stats()["requests"] > 2)
        assert server.process.rss_bytes() - before < 16 << 20
        for _ in range(100):
            assert len(connection.response()[2]) == 1 << 20


# ---- Limits of time and number ----

def test_a_head_must_come_in_time_however_it_trickles(start):
    server = start(head_timeout=300)
    with server.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        connection.sock.settimeout(0.05)
        while time.monotonic() - began < 5:
            try:
                status, _, body = connection.response()
                break
            except socket.timeout:
                connection.send(b"X: y\r\n")
        assert (status, json.loads(body)["code"]) == (408, "request_timeout")
        assert 0.25 < time.monotonic() - began < 2
    assert server.stats()["timeouts"] == 1


def test_a_body_must_come_in_time(start):
    with start(body_timeout=300).connect() as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab")
        assert connection.response()[0] == 408
        assert connection.closed()


def test_an_idle_connection_is_closed_without_a_word(start):
    server = start(idle_timeout=300)
    with server.connect() as fresh, server.connect() as used:
        assert used.get("/hello")[0] == 200
        assert fresh.closed() and used.closed()


def test_a_request_that_waits_for_its_answer_is_not_idle(start):
    server = start(idle_timeout=200, head_timeout=200, body_timeout=200)
    with server.connect() as connection:
        connection.send(b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n")
        connection.sock.settimeout(1)
        with pytest.raises(socket.timeout):
            connection.sock.recv(1)


def test_one_connection_too_many_is_turned_away(start):
    server = start(connections=2)
    with server.connect() as first, server.connect() as second:
        assert first.get("/hello")[0] == second.get("/hello")[0] == 200
        with server.connect() as third:
            assert third.response()[0] == 503
            assert third.closed()
        assert json.loads(first.get("/stats")[2])["refused"] == 1

    def accepted_again():
        with server.connect() as again:
            return again.get("/hello")[0] == 200

    wait_for(accepted_again)


def test_without_file_descriptors_clients_wait_and_nothing_spins(start):
    server = start(files_max=32)
    connections = [server.connect() for _ in range(60)]
    wait_for(lambda: json.loads(connections[0].get("/stats")[2])["connections"] > 15)
    before = server.process.cpu_seconds()
    stays(lambda: server.process.running(), 0.5)
    assert server.process.cpu_seconds() - before < 0.2
    for connection in connections[:40]:
        connection.sock.close()
    assert all(c.get("/hello")[0] == 200 for c in connections[40:])


# ---- WebSockets ----

def test_messages_come_back_also_those_behind_the_handshake(start):
    with start().connect() as connection:
        connection.send(b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n" + HANDSHAKE
                        + b"\x81\x82\0\0\0\0hi")
        assert connection.response()[0] == 200
        status, headers = connection.head()
        assert (status, headers["upgrade"].lower()) == (101, "websocket")
        assert connection.frame() == (1, b"hi")
        connection.send_frame(2, b"\xff" * 300)
        assert connection.frame() == (2, b"\xff" * 300)


@pytest.mark.parametrize("old, new, status", [
    (b"Version: 13", b"Version: 12", 426), (b"Key: ", b"Key: x", 400),
    (b"Connection: Upgrade", b"Connection: close", 400), (b"GET", b"POST", 400),
    (b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\nx", 400),
])
def test_a_handshake_that_is_not_one_is_refused(start, old, new, status):
    with start().connect() as connection:
        connection.send(HANDSHAKE.replace(old, new))
        got, headers, _ = connection.response()
        assert got == status
        assert status != 426 or headers["sec-websocket-version"] == "13"


def test_an_upgrade_to_something_else_is_a_plain_request(start):
    with start().connect() as connection:
        connection.send(b"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        assert connection.response()[2] == b"hello"


def test_the_client_closes_and_hears_its_own_code(start):
    server = start()
    with server.connect() as connection:
        connection.upgrade().send_frame(8, struct.pack(">H", 3001) + b"bye")
        assert connection.close_code() == 3001
        assert connection.closed()
    wait_for(lambda: server.stats()["closed_websockets"] == 1)
    assert server.stats()["last_code"] == 3001


def test_the_server_closes_and_waits_for_the_answer(start):
    server = start()
    with server.connect() as connection:
        connection.upgrade().send_frame(1, b"close")
        assert connection.close_code() == 4000
        assert server.stats()["closed_websockets"] == 0
        connection.send_frame(1, b"still sent before the close was seen")
        connection.send_frame(8, struct.pack(">H", 4000))
        assert connection.closed()
    assert server.stats()["last_code"] == 4000


def test_nothing_follows_the_close_frame(start):
    with start().connect() as connection:
        connection.upgrade()
        connection.send(b"\x89\x81\0\0\0\0p" + b"\x81\x85\0\0\0\0close" + b"\x89\x80\0\0\0\0")
        assert connection.frame() == (10, b"p")
        assert connection.frame()[0] == 8
        connection.send_frame(8)
        assert connection.closed()


def test_a_close_that_is_not_answered_ends_after_a_time(start):
    server = start(close_timeout=300)
    with server.connect() as connection:
        connection.upgrade().send_frame(1, b"close")
        assert connection.close_code() == 4000
        assert connection.closed()
    stats = server.stats()
    assert (stats["close_timeouts"], stats["last_code"], stats["websockets"]) == (1, 1006, 0)


def test_an_aborted_websocket_is_just_gone(start):
    server = start()
    with server.connect() as connection:
        connection.upgrade().send_frame(1, b"abort")
        assert connection.closed()
    assert server.stats()["last_code"] == 1006


def test_a_client_that_vanishes_is_noticed(start):
    server = start()
    with server.connect() as connection:
        connection.upgrade()
        wait_for(lambda: server.stats()["websockets"] == 1)
    wait_for(lambda: server.stats()["closed_websockets"] == 1)
    assert server.stats()["last_code"] == 1006


@pytest.mark.parametrize("send, code", [
    (lambda c: c.send_frame(1, b"unmasked", mask=False), 1002),
    (lambda c: c.send_frame(3), 1002),
    (lambda c: c.send_frame(0, b"continues nothing"), 1002),
    (lambda c: c.send_frame(1, b"\xff"), 1007),
    (lambda c: c.send_frame(2, b"x" * 1001), 1009),
])
def test_a_broken_protocol_is_answered_with_its_code(start, send, code):
    server = start(message_bytes=1000)
    with server.connect() as connection:
        send(connection.upgrade())
        connection.send(b"x" * 100000)
        assert connection.close_code() == code
        assert connection.closed()
    stats = server.stats()
    assert (stats["protocol_errors"], stats["last_code"]) == (1, code)


def stall(server, connection):
    """Lets the server send more than the client's side takes, and waits until nothing moves."""
    connection.upgrade().send_frame(1, b"stream")
    seen = []

    def nothing_moves():
        seen.append(server.stats()["drained"])
        return len(seen) > 3 and seen[-1] == seen[-4]

    wait_for(nothing_moves, every=0.05)


def test_a_slow_reader_is_closed_with_4408_and_nothing_half_sent(start):
    server = start(send_queue=100000)
    with server.connect(receive_buffer=4096) as connection:
        stall(server, connection)
        connection.send_frame(1, b"fill")
        wait_for(lambda: server.stats()["send_queue_full"] == 1)
        frames = 0
        while (frame := connection.frame())[0] == 1:
            assert frame[1] == b"x" * 1024
            frames += 1
        assert frame[0] == 8 and struct.unpack(">H", frame[1][:2]) == (4408,)
        assert 10 < frames < 2000


def test_a_close_frame_may_wait_longer_for_a_reader_than_for_an_answer(start):
    server = start(send_queue=300000, close_timeout=200, body_timeout=10000, frame_bytes=60000)
    with server.connect(receive_buffer=4096) as connection:
        stall(server, connection)
        connection.send_frame(1, b"fill")
        wait_for(lambda: server.stats()["send_queue_full"] == 1)
        stays(lambda: server.stats()["closed_websockets"] == 0, 0.6)
        assert connection.close_code() == 4408
        assert connection.closed()
    assert server.stats()["close_timeouts"] == 1


def test_what_accepts_a_websocket_is_never_dropped(start):
    with start(send_queue=100000).connect() as connection:
        connection.send(HANDSHAKE + b"\x81\x84\0\0\0\0fill")
        assert connection.head()[0] == 101
        assert connection.close_code() == 4408


def test_a_queue_that_drains_is_filled_again(start):
    server = start()
    with server.connect(receive_buffer=4096) as connection:
        connection.upgrade().send_frame(1, b"stream")
        for _ in range(2000):
            assert connection.frame() == (1, b"x" * 1024)
    assert server.stats()["drained"] > 5


def test_a_silent_websocket_is_pinged_and_dropped_if_it_stays_silent(start):
    server = start(heartbeat_interval=200, heartbeat_timeout=500)
    with server.connect() as answering, server.connect() as silent:
        answering.upgrade()
        silent.upgrade()
        for _ in range(4):
            assert answering.frame() == (9, b"")
            answering.send_frame(10)
        assert silent.frame() == (9, b"")
        assert silent.closed()
        answering.send_frame(1, b"here")
        assert answering.frame() == (1, b"here")
    stats = server.stats()
    assert (stats["heartbeat_timeouts"], stats["last_code"]) == (1, 1006)


# ---- The end ----

def test_sigterm_ends_in_order(start):
    server = start()
    with server.connect() as idle, server.connect() as half, server.connect() as upgraded:
        assert idle.get("/hello")[0] == 200
        half.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na")
        upgraded.upgrade()
        wait_for(lambda: server.stats()["connections"] == 4)
        server.process.signal(15)
        assert idle.closed()
        assert upgraded.close_code() == 1001
        with pytest.raises(OSError):
            server.connect()
        half.send(b"b")
        status, headers, body = half.response()
        assert (status, headers["connection"], body) == (200, "close", b"ab")
        half.sock.close()
        upgraded.send_frame(8, struct.pack(">H", 1001))
        assert upgraded.closed()
    assert server.process.wait() == 0


# ---- Vectors of others ----

def test_no_invalid_request_of_the_vectors_is_accepted(start):
    passed, failed, text = http_vectors.run(start().port)
    assert failed == http_vectors.STRICTER, text
    assert passed > 130
