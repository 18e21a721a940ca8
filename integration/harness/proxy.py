# SPDX-License-Identifier: Apache-2.0
"""A TCP relay that can be cut: stands between one node and ZooKeeper, or between two nodes."""
import selectors
import socket
import threading

from .ports import free_port


class Proxy:
    """Relays connections to `target` (host, port). While cut, what is connected hears nothing more
    and new connections get no answer, as behind a firewall that drops packets."""

    def __init__(self, target_port):
        self.port = free_port()
        self._target = ("127.0.0.1", target_port)
        self._cut = False
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._other = {}
        self._closing = False
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def cut(self):
        self._cut = True

    def restore(self):
        """Ends a cut: what was connected is reset, as after any longer silence."""
        self._cut = False
        self._wake_write.send(b"r")

    def close(self):
        self._closing = True
        self._wake_write.send(b"c")
        self._thread.join(5)

    def _run(self):
        while not self._closing:
            for key, _ in self._selector.select(0.5):
                if key.fileobj is self._wake_read:
                    self._wake_read.recv(16)
                    self._drop_all()
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    self._relay(key.fileobj)
        self._drop_all()
        self._listener.close()

    def _accept(self):
        near, _ = self._listener.accept()
        if self._cut:
            self._other[near] = None
            return
        try:
            far = socket.create_connection(self._target, 2)
        except OSError:
            near.close()
            return
        self._other[near], self._other[far] = far, near
        for end in (near, far):
            end.setblocking(True)
            self._selector.register(end, selectors.EVENT_READ)

    def _relay(self, end):
        try:
            data = end.recv(65536)
        except OSError:
            data = b""
        other = self._other.get(end)
        if self._cut and data:
            return
        try:
            if data and other:
                other.sendall(data)
                return
        except OSError:
            pass
        for dead in (end, other):
            self._drop(dead)

    def _drop(self, end):
        if end is None or end not in self._other:
            return
        del self._other[end]
        try:
            self._selector.unregister(end)
        except KeyError:
            pass
        end.close()

    def _drop_all(self):
        for end in list(self._other):
            self._drop(end)
