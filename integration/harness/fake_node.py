# SPDX-License-Identifier: Apache-2.0
"""A node that does what a test says, to see what a client makes of it."""
import asyncio
import http
import json
import threading
import urllib.parse

import websockets

INCARNATION = "c0ffee0123456789"


class FakeNode:
    """Accepts WebSockets and plays one script per connection; the last one is played again and again.

    A script is an async function of the connection, or (status, headers, body) for an answer to the
    handshake. `requests` has the parsed path and query of each handshake.
    """

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.requests = []
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_forever()

    async def _serve(self):
        self._server = await websockets.serve(
            self._connected, "127.0.0.1", 0, subprotocols=["ringhop.v1"],
            process_request=self._asked, ping_interval=None)
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()

    async def _asked(self, path, headers):
        parts = urllib.parse.urlsplit(path)
        self.requests.append((urllib.parse.unquote(parts.path),
                              dict(urllib.parse.parse_qsl(parts.query))))
        script = self._script()
        if callable(script):
            return None
        status, answer_headers, body = script
        return http.HTTPStatus(status), answer_headers, body.encode()

    def _script(self):
        return self.scripts[min(len(self.requests), len(self.scripts)) - 1]

    async def _connected(self, connection):
        await self._script()(connection)

    @property
    def afters(self):
        """The position that each handshake asked for."""
        return [query.get("after") for _, query in self.requests]

    @property
    def ws(self):
        return f"ws://127.0.0.1:{self.port}"

    def config(self, **settings):
        """A config file with this node alone, and a ZooKeeper that is not there."""
        lines = ["cluster: fake", 'zookeeper: {servers: "127.0.0.1:1"}',
                 *[f"{name}: {value}" for name, value in settings.items()],
                 f'nodes: [{{id: n1, listen: "127.0.0.1:{self.port}", peer: "127.0.0.1:2", '
                 'admin: "127.0.0.1:3"}]']
        return "\n".join(lines) + "\n"

    def close(self):
        async def stop():
            self._server.close()
            await self._server.wait_closed()
        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


def welcome(seq=0, recovered=True, incarnation=INCARNATION):
    return json.dumps({"type": "welcome", "channel": "k", "node": "n1", "epoch": 1,
                       "incarnation": incarnation, "seq": seq, "recovered": recovered})


def message(seq, **payload):
    payload = payload or {"data": f"m{seq}"}
    return json.dumps({"type": "message", "seq": seq, "id": f"i{seq}", "time": 1764000000123,
                       **payload})


def play(*steps, code=None, stay=False):
    """A script: sends texts, then closes with `code`, drops the connection, or stays."""
    async def script(connection):
        for step in steps:
            await connection.send(step)
        if stay:
            await connection.wait_closed()
        elif code:
            await connection.close(code)
        else:
            connection.transport.abort()
    return script
