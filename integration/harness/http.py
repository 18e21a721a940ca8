# SPDX-License-Identifier: Apache-2.0
"""HTTP as the tests need it: one request, every detail of the answer, nothing followed unasked."""
import json
import socket
import urllib.parse
from dataclasses import dataclass, field


@dataclass
class Response:
    status: int
    reason: str
    headers: dict = field(default_factory=dict)   # names in lower case; of doubles the last
    body: bytes = b""

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The stable code of a problem document."""
        assert self.headers["content-type"].startswith("application/problem+json"), self
        return self.json()["code"]


def quote(key):
    return urllib.parse.quote(key, safe="")


class Raw:
    """A TCP connection on which a test says exactly what it wants."""

    def __init__(self, port, timeout=10.0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.settimeout(timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def fill(self):
        """Reads once; False at the end of the stream (a reset counts as one)."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        self.buffer += data
        return bool(data)

    def take(self, size):
        while len(self.buffer) < size:
            if not self.fill():
                raise EOFError(f"the stream ended; wanted {size}, have {self.buffer!r}")
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def until(self, marker):
        """Everything up to and with `marker`."""
        while marker not in self.buffer:
            if not self.fill():
                raise EOFError(f"the stream ended before {marker!r}: {self.buffer!r}")
        return self.take(self.buffer.index(marker) + len(marker))

    def rest(self):
        """Everything up to the end of the stream."""
        while self.fill():
            pass
        return self.take(len(self.buffer))

    def take_line(self):
        while b"\r\n" not in self.buffer:
            if not self.fill():
                raise EOFError(f"the stream ended within a line: {self.buffer!r}")
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line.decode("latin-1")

    def ends(self):
        """Whether nothing more comes and the peer closes (waits at most the time-out)."""
        while self.fill():
            pass
        return not self.buffer

    def response(self, method="GET"):
        version, status, reason = (self.take_line().split(" ", 2) + [""])[:3]
        assert version == "HTTP/1.1", version
        answer = Response(int(status), reason)
        while line := self.take_line():
            name, _, value = line.partition(":")
            answer.headers[name.lower()] = value.strip()
        if method == "HEAD" or answer.status in (101, 204, 304):
            return answer
        if answer.headers.get("transfer-encoding") == "chunked":
            while size := int(self.take_line().split(";")[0], 16):
                answer.body += self.take(size)
                self.take(2)
            self.take_line()
        elif "content-length" in answer.headers:
            answer.body = self.take(int(answer.headers["content-length"]))
        else:
            while self.fill():
                pass
            answer.body, self.buffer = self.buffer, b""
        return answer


def request(url, method="GET", body=None, headers=None, follow=0, timeout=30.0):
    """One request; up to `follow` redirects are followed (the method and the body stay)."""
    parts = urllib.parse.urlsplit(url)
    target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    if isinstance(body, str):
        body = body.encode()
    fields = {"Host": parts.netloc, "Connection": "close", "User-Agent": "integration"}
    if body is not None:
        fields["Content-Length"] = str(len(body))
    for name, value in (headers or {}).items():
        if value is None:
            fields.pop(name, None)
        else:
            fields[name] = value
    head = f"{method} {target} HTTP/1.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    with Raw(parts.port, timeout) as raw:
        raw.send(head.encode("utf-8") + (body or b""))
        answer = raw.response(method)
    if follow and answer.status in (307, 308):
        location = urllib.parse.urljoin(url, answer.headers["location"])
        return request(location, method, body, headers, follow - 1, timeout)
    return answer
