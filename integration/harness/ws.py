# SPDX-License-Identifier: Apache-2.0
"""WebSocket clients. `Client` is python3-websockets on a thread of its own, used from plain test
code; `RawClient` speaks frames byte by byte, right or wrong."""
import asyncio
import base64
import json
import os
import struct
import threading
import time

import websockets

from .http import Raw, quote
from .wait import wait_for

PROTOCOL = "ringhop.v1"

_loop = None


def _loop_start():
    """The event loop that all clients share, on its own thread."""
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        threading.Thread(target=_loop.run_forever, daemon=True, name="websockets").start()
    return _loop


def run(coroutine, bound=30.0):
    return asyncio.run_coroutine_threadsafe(coroutine, _loop_start()).result(bound)


async def _open(url, protocol, **options):
    return await websockets.connect(
        url, subprotocols=[protocol] if protocol else None, max_size=2**24, ping_interval=None,
        max_queue=None, close_timeout=5, **options)


class Client:
    """A connection. What it hears is in `events` (parsed JSON, in order); `close_code` is set when
    it is over."""

    def __init__(self, url, protocol=PROTOCOL, bound=30.0, headers=None, **options):
        self.url = url
        self.events = []
        self.close_code = None
        self.close_reason = None
        self.closed_at = None
        self._socket = run(_open(url, protocol, open_timeout=bound, extra_headers=headers,
                                 **options), bound + 5)
        self._reader = asyncio.run_coroutine_threadsafe(self._read(), _loop_start())

    async def _read(self):
        try:
            async for text in self._socket:
                self.events.append(json.loads(text))
        except websockets.ConnectionClosed:
            pass
        self.closed_at = time.monotonic()
        self.close_reason = self._socket.close_reason
        self.close_code = self._socket.close_code

    @property
    def subprotocol(self):
        return self._socket.subprotocol

    @property
    def headers(self):
        return self._socket.response_headers

    @property
    def port(self):
        """The port it ended up at, after any redirects."""
        return self._socket.remote_address[1]

    def of_type(self, kind):
        return [event for event in self.events if event["type"] == kind]

    def wait_event(self, kind, count=1, bound=10.0):
        """The `count`-th event of that type."""
        def check():
            found = self.of_type(kind)
            assert len(found) >= count, f"{self.events[-5:]} close {self.close_code}"
            return found[count - 1]
        return wait_for(check, bound, f"event {kind} number {count}")

    def welcome(self):
        return self.wait_event("welcome")

    def messages(self):
        return self.of_type("message")

    def wait_messages(self, count, bound=10.0):
        self.wait_event("message", count, bound)
        return self.messages()

    def send(self, event):
        run(self._socket.send(event if isinstance(event, (str, bytes)) else json.dumps(event)))

    def wait_closed(self, bound=10.0):
        wait_for(lambda: self.close_code is not None, bound, f"close; heard {self.events[-5:]}")
        return self.close_code

    def is_open(self):
        return self.close_code is None

    def close(self):
        run(self._socket.close())


class Follower:
    """A whole client: follows `moved`, opens the new connection before it lets go of the old one,
    and checks that no message is missing or doubled within an incarnation. Any other end of a
    connection is a problem; with `home`, a URL without query, it is one of `breaks` instead, and
    the client resumes there."""

    def __init__(self, url, home=None):
        self.messages = []
        self.welcomes = []
        self.moves = []
        self.breaks = []        # (close code, code of the error message before it)
        self.problems = []
        self._home = home
        self._error = None
        self._seq = None
        self._incarnation = None
        self._stopping = False
        self._socket = None
        self._task = asyncio.run_coroutine_threadsafe(self._live(url), _loop_start())
        wait_for(lambda: self.welcomes or self.problems, 15, f"welcome from {url}")

    async def _live(self, url):
        old = None
        while not self._stopping:
            code = None
            try:
                socket = await _open(url, PROTOCOL)
                self._socket = socket
                if old is not None:
                    await old.close()
                moved = await self._listen(socket)
                if moved:
                    self.moves.append(moved)
                    old, url = socket, moved["url"]
                    continue
                code = socket.close_code
            except (OSError, websockets.WebSocketException) as error:
                code = repr(error)
            if self._stopping:
                return
            if not self._home:
                self.problems.append(f"ended with {code} {self._error}")
                return
            self.breaks.append((code, self._error))
            old, self._error = None, None
            url = f"{self._home}?after={self._incarnation}:{self._seq}" if self._seq is not None \
                else self._home
            await asyncio.sleep(0.05)

    async def _listen(self, socket):
        """The `moved` that ends it, or None when the connection ended otherwise."""
        try:
            async for text in socket:
                moved = self._hear(json.loads(text))
                if moved:
                    return moved
        except websockets.ConnectionClosed:
            pass
        return None

    def _hear(self, event):
        if event["type"] == "welcome":
            if event["incarnation"] == self._incarnation and event["recovered"]:
                if event["seq"] != self._seq:
                    self.problems.append(f"welcome at {event['seq']}, was at {self._seq}")
            self._incarnation, self._seq = event["incarnation"], event["seq"]
            self.welcomes.append(event)
        elif event["type"] == "message":
            if event["seq"] != self._seq + 1:
                self.problems.append(f"seq {event['seq']} after {self._seq}")
            self._seq = event["seq"]
            self.messages.append(event)
        elif event["type"] == "moved":
            return event
        elif event["type"] == "error":
            self._error = event["code"]
        return None

    def close(self):
        self._stopping = True
        if self._socket:
            run(self._socket.close())


TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0


class RawClient:
    """A WebSocket whose every bit the test decides."""

    def __init__(self, node, key, query="", protocol=PROTOCOL, extra=(), expect=101, **options):
        self.raw = Raw(node.client_port, **options)
        nonce = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET /v1/channels/{quote(key)}/ws{query} HTTP/1.1", f"Host: {node.host}",
                 "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {nonce}",
                 "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []
        lines += list(extra)
        self.raw.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.response = self.raw.response()
        assert self.response.status == expect, self.response

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.close()

    @staticmethod
    def frame(opcode, payload=b"", fin=True, rsv=0, mask=True, size=None):
        """The bytes of a frame; `size` lies about the length."""
        if isinstance(payload, str):
            payload = payload.encode()
        size = len(payload) if size is None else size
        head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
        flag = 0x80 if mask else 0
        if size < 126:
            head += bytes([flag | size])
        elif size < 65536:
            head += bytes([flag | 126]) + struct.pack(">H", size)
        else:
            head += bytes([flag | 127]) + struct.pack(">Q", size)
        if mask:
            key = os.urandom(4)
            head += key
            payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
        return head + payload

    def send(self, opcode, payload=b"", **options):
        self.raw.send(self.frame(opcode, payload, **options))

    def send_json(self, event):
        self.send(TEXT, json.dumps(event))

    def take_frame(self):
        """(opcode, payload, fin)."""
        first, second = self.raw.take(2)
        assert not second & 0x80, "a server must not mask"
        size = second & 0x7F
        if size == 126:
            size, = struct.unpack(">H", self.raw.take(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.raw.take(8))
        return first & 0x0F, self.raw.take(size), bool(first & 0x80)

    def take_event(self):
        """The next JSON message; pings are passed over."""
        while True:
            opcode, payload, _ = self.take_frame()
            if opcode == TEXT:
                return json.loads(payload)
            assert opcode in (PING, PONG), f"opcode {opcode}: {payload!r}"

    def take_rest(self):
        """All JSON messages up to the close, and its code."""
        events = []
        while True:
            opcode, payload, _ = self.take_frame()
            if opcode == TEXT:
                events.append(json.loads(payload))
            elif opcode == CLOSE:
                return events, struct.unpack(">H", payload[:2])[0]

    def take_close(self):
        """The close code, whatever came before it; None when the stream just ends."""
        try:
            while True:
                opcode, payload, _ = self.take_frame()
                if opcode == CLOSE:
                    return struct.unpack(">H", payload[:2])[0] if payload else 1005
        except EOFError:
            return None
