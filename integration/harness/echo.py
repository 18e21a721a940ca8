# SPDX-License-Identifier: Apache-2.0
"""`ws-echo`, the node's WebSocket code with an echo above it, and a client whose frames are made by
hand, so that wrong ones can be made."""
import re
import socket
import struct
import subprocess
import zlib

from .node import program

TIMEOUT_S = 20

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1 = 4
TAIL = b"\0\0\xff\xff"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Echo:
    """A running ws-echo."""

    def __init__(self, *options):
        self.process = subprocess.Popen([program("ws-echo"), "0", *options],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(re.fullmatch(r"listening on ws://127\.0\.0\.1:(\d+)/\n", line).group(1))

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(TIMEOUT_S)
        finally:
            self.process.kill()
            self.process.stdout.close()


def mask_bytes(payload, key):
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(size, "big")


def frame(opcode, payload=b"", fin=True, rsv=0, mask=b"\x37\xfa\x21\x3d", announced=None):
    """The bytes of a frame. |announced| is the length that its header claims."""
    size = len(payload) if announced is None else announced
    masked = 0x80 if mask else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if size < 126:
        head += bytes([masked | size])
    elif size < 65536:
        head += bytes([masked | 126]) + struct.pack("!H", size)
    else:
        head += bytes([masked | 127]) + struct.pack("!Q", size)
    return head + mask + (mask_bytes(payload, mask) if mask and payload else payload)


def close_frame(code, reason=b""):
    return frame(CLOSE, struct.pack("!H", code) + reason)


def deflate(payload, bits=15):
    """A payload as permessage-deflate sends it (RFC 7692, 7.2.1)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -bits)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def inflate(payload, bits=15):
    """The payload of one message, which refers to none before it."""
    decompressor = zlib.decompressobj(-bits)
    whole = decompressor.decompress(payload + TAIL)
    assert not decompressor.unused_data and not decompressor.eof
    return whole


class Client:
    """One connection. Reading gives ("text", bytes), ("pong", bytes), ("close", code) ...; after
    the server has closed the socket, ("end",)."""

    NAMES = {TEXT: "text", BINARY: "binary", PING: "ping", PONG: "pong"}

    deflated = 0    # messages that came compressed, and were inflated

    def __init__(self, server, headers=(), upgrade=True):
        self.server = server
        self.socket = socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        lines = ["GET / HTTP/1.1", f"Host: 127.0.0.1:{server.port}"]
        if upgrade:
            lines += ["Upgrade: websocket", "Connection: Upgrade",
                      "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"]
        self.socket.sendall("\r\n".join([*lines, *headers, "", ""]).encode())
        while b"\r\n\r\n" not in self.buffer:
            self._fill()
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer = bytearray(rest)
        status, *fields = head.decode().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value.strip()
                        for name, value in (line.split(":", 1) for line in fields)}

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()

    @property
    def extensions(self):
        return self.headers.get("sec-websocket-extensions")

    @property
    def window_bits(self):
        """Of what the server sends."""
        named = re.search(r"server_max_window_bits=(\d+)", self.extensions)
        return int(named.group(1)) if named else 15

    def _fill(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise EOFError
        self.buffer += data

    def _take(self, size):
        while len(self.buffer) < size:
            self._fill()
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def send(self, data, chop=None):
        """Sends, |chop| bytes at a time; what is sent after the server has closed is lost."""
        try:
            if chop is None:
                self.socket.sendall(data)
            else:
                for at in range(0, len(data), chop):
                    self.socket.sendall(data[at:at + chop])
        except (BrokenPipeError, ConnectionResetError):
            pass

    def read(self):
        try:
            first, second = self._take(2)
        except EOFError:
            return ("end",)
        compressed = first & 0x40 and self.extensions and first & 15 in (TEXT, BINARY)
        assert first & 0xf0 == (0xc0 if compressed else 0x80), "a final frame, no other reserved bit"
        assert second & 0x80 == 0, "a server frame is not masked"
        size = second
        if size == 126:
            size, = struct.unpack("!H", self._take(2))
            assert size >= 126
        elif size == 127:
            size, = struct.unpack("!Q", self._take(8))
            assert size >= 65536
        payload = self._take(size)
        if compressed:
            self.deflated += 1
            payload = inflate(payload, self.window_bits)
        if first & 15 == CLOSE:
            assert size != 1
            code = struct.unpack("!H", payload[:2])[0] if payload else None
            payload[2:].decode("utf-8")
            return ("close", code)
        return (self.NAMES[first & 15], payload)

    def expect(self, *events):
        for event in events:
            got = self.read()
            assert got == event, f"{str(got)[:200]} instead of {str(event)[:200]}"

    def expect_failure(self, code):
        self.expect(("close", code), ("end",))

    def expect_clean_close(self, code=1000):
        self.send(close_frame(code))
        self.expect(("close", code), ("end",))
