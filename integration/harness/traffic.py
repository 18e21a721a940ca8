# SPDX-License-Identifier: Apache-2.0
"""Publishers and subscribers that go on while a test does things to the cluster, as clients that
were written with care would: they take any node, retry with the same message id until they have an
answer, follow `moved` and redirects, and resume with their position. Everything goes into a
ledger.

All of it runs on the event loop of harness.ws, beside the test.
"""
import asyncio
import contextlib
import json
import random
import time
import urllib.parse

import websockets

from .http import quote
from .ledger import Ledger
from .wait import wait_for
from .ws import _open, run, PROTOCOL

_ERRORS = (OSError, EOFError, asyncio.TimeoutError, websockets.WebSocketException, ValueError)


class Http:
    """Requests on keep-alive connections that all clients share."""

    IDLE_S = 20.0           # a server closes them after a minute, maybe just when one is used again

    def __init__(self):
        self._idle = {}     # port: [(reader, writer, since when)]

    async def _connection(self, port):
        idle = self._idle.setdefault(port, [])
        while idle:
            reader, writer, since = idle.pop()
            if time.monotonic() - since < self.IDLE_S:
                return reader, writer
            writer.transport.abort()
        return await asyncio.open_connection("127.0.0.1", port)

    async def request(self, port, method, target, body=b"", headers=(), bound=10.0):
        """(status, {header: value}, body). A connection that is refused raises
        ConnectionRefusedError: nothing was sent."""
        reader, writer = await self._connection(port)
        try:
            async with asyncio.timeout(bound):
                lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{port}",
                         f"Content-Length: {len(body)}", *headers]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                answer = await reader.readexactly(int(fields.get("content-length", 0)))
        except BaseException:
            writer.transport.abort()
            raise
        if fields.get("connection") == "close":
            writer.close()
        else:
            self._idle[port].append((reader, writer, time.monotonic()))
        return int(head[0].split(" ")[1]), fields, answer

    def close(self):
        for idle in self._idle.values():
            for _, writer, _ in idle:
                writer.transport.abort()
        self._idle.clear()


class Traffic:
    """Use as a context manager, or call start() and finish(). Each key has `sockets` subscribers
    with a WebSocket and `publishers` publishers of which each sends one message after the other,
    about every `interval` seconds; every third key has a long poll too, and every fourth visitors
    who want all that the log holds and go after a while. One publisher in four uses a WebSocket.
    Every other key has a state document that is written to and watched, and half of those another
    subscriber who is relayed."""

    PUBLISH_BOUND_S = 30.0     # then a publish is given up
    ATTEMPT_BOUND_S = 2.5      # then its publisher tries another node
    SILENCE_S = 3.0            # then an impatient subscriber asks whether anybody is there

    def __init__(self, cluster, keys=24, sockets=2, publishers=2, interval=0.15, seed=0,
                 prefix="ledger"):
        self.cluster = cluster
        self.keys = [f"{prefix}:{number}" for number in range(keys)]
        self.ledger = Ledger(cluster.replicates())
        self._sockets, self._publishers, self._interval = sockets, publishers, interval
        self.rate = keys * publishers / interval    # publishes per second, when all goes well
        self._random = random.Random(seed)
        self._names = f"{seed:x}"
        self._http = Http()
        self._stop_publishing = self._stop = False
        self._publishing, self._listening = [], []
        self._under_way = set()     # ids of publishes
        self._states = {}           # key: (incarnation, version) of the last write that was answered

    # --- from the test ---------------------------------------------------------------------------

    def start(self, bound=30.0):
        """Returns when all subscribers are welcome."""
        run(self._start(), bound)
        sockets = [s for s in self.ledger.subscribers if s.name.startswith("socket")]
        wait_for(lambda: all(s.welcomes for s in sockets), bound, "welcome of all subscribers")
        run(self._start_publishing(), bound)
        return self

    def mark(self, text):
        self.ledger.mark(text)

    def published(self):
        """How many are acknowledged by now."""
        return sum(publish.acknowledged for publish in list(self.ledger.publishes.values()))

    def wait_published(self, count, bound=30.0):
        """Until that many more are acknowledged: traffic flows."""
        goal = self.published() + count
        wait_for(lambda: self.published() >= goal, bound, f"{count} more publishes acknowledged")

    def wait_answered(self):
        """Until what is under way now has come to its end."""
        before = set(self._under_way)
        wait_for(lambda: not before & self._under_way, self.PUBLISH_BOUND_S + 10,
                 "the end of all publishes that were under way")

    def finish(self, bound=20.0):
        """Ends the publishers, waits until all subscribers have everything, and returns the
        report."""
        self.mark("the end begins")
        self._stop_publishing = True
        run(asyncio.wait(self._publishing), self.PUBLISH_BOUND_S + 10)
        for task in self._publishing:
            task.result()
        final = {key: self._final(key, bound) for key in self.keys}
        for key in self._states:
            self._check_state(key, bound)
        for subscriber in self.ledger.subscribers:
            if subscriber.visitor:
                continue
            self._wait_caught_up(subscriber, final[subscriber.key], bound)
        self.close()
        for key, (incarnation, first, last, messages) in final.items():
            self.ledger.audit(key, incarnation, first, last, messages)
        return self.ledger.judge()

    def close(self):
        self._stop_publishing = self._stop = True
        run(self._close())

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def _final(self, key, bound):
        """What the log holds, asked of any node; the first of `bound` seconds that can tell."""
        def ask():
            node = self._random.choice(self.cluster.running())
            info = node.channel(key)
            messages, position, more = [], f"{info['incarnation']}:{info['first_seq'] - 1}", True
            while more:
                answer = node.get(f"/v1/channels/{quote(key)}/messages?limit=1000&after={position}",
                                  follow=3).json()
                assert answer["recovered"], answer
                messages += [(message["seq"], message["id"]) for message in answer["messages"]]
                position, more = answer["position"], answer["more"]
            return info["incarnation"], info["first_seq"], info["last_seq"], messages
        return wait_for(ask, bound, f"the log of {key}", every=0.2)

    def _check_state(self, key, bound):
        """What was answered is not followed by an older document."""
        def ask():
            node = self._random.choice(self.cluster.running())
            return node.get(f"/v1/channels/{quote(key)}/state", follow=3).headers["etag"].strip('"')
        incarnation, version = self._states[key]
        found = int(wait_for(ask, bound, f"the state of {key}", every=0.2))
        if found < version and incarnation == self.cluster.running()[0].channel(key)["incarnation"]:
            self.ledger.violation("lost", key, f"the state is version {found}, {version} was written")

    def _wait_caught_up(self, subscriber, final, bound):
        incarnation, _, last, _ = final
        want = f"{incarnation}:{last}"
        try:
            wait_for(lambda: subscriber.position == want, bound)
        except AssertionError:
            self.ledger.violation("stuck", subscriber.key, f"{subscriber.name} is at "
                                  f"{subscriber.position}, the log ends with {want}")

    # --- on the loop -----------------------------------------------------------------------------

    async def _start(self):
        for number, key in enumerate(self.keys):
            for place in range(self._sockets):
                self._listening.append(asyncio.create_task(self._socket(
                    self.ledger.subscriber(key, f"socket{place}"), patient=place % 2 == 0)))
            if number % 4 == 1:
                self._listening.append(asyncio.create_task(self._socket(
                    self.ledger.subscriber(key, "socket_relayed"), patient=True, route="relay")))
            if number % 3 == 0:
                self._listening.append(asyncio.create_task(self._poll(
                    self.ledger.subscriber(key, "poll"))))
            if number % 4 == 0:
                self._listening.append(asyncio.create_task(self._visits(key)))

    async def _start_publishing(self):
        for number, key in enumerate(self.keys):
            for place in range(self._publishers):
                by_socket = (number * self._publishers + place) % 4 == 3
                self._publishing.append(asyncio.create_task(self._publisher(
                    key, f"publisher{place}", self._SocketRoad if by_socket else self._HttpRoad)))

            if number % 2 == 1:
                self._publishing.append(asyncio.create_task(self._writer(key)))

    async def _close(self):
        waiting = self._listening + self._publishing
        while waiting:
            for task in waiting:
                task.cancel()       # wait_for() may miss one
            done, waiting = await asyncio.wait(waiting, timeout=1)
            for task in done:
                if not task.cancelled():
                    task.result()
        self._listening, self._publishing = [], []
        self._http.close()

    def _any_node(self):
        """As clients know them: every node whose process exists, well or not."""
        return self._random.choice(self.cluster.running() or list(self.cluster.nodes.values()))

    def _node_at(self, url):
        port = urllib.parse.urlsplit(url).port
        nodes = list(self.cluster.nodes.values())       # drills add and remove some
        return next((node.id for node in nodes if node.client_port == port), f":{port}")

    async def _back_off(self, attempt):
        """Nothing before the first retry, then longer and longer, with jitter."""
        if attempt > 1:
            await asyncio.sleep(min(1.0, 0.02 * 2 ** attempt) * self._random.uniform(0.5, 1.0))

    # --- publishers ------------------------------------------------------------------------------

    async def _publisher(self, key, name, make_road):
        road = make_road(self, key)
        number = 0
        try:
            await asyncio.sleep(self._interval * self._random.random())
            while not self._stop_publishing:
                number += 1
                id = f"{self._names}-{key}-{name}-{number}"
                self._under_way.add(id)
                await self._publish(road, self.ledger.publish(key, name, id))
                self._under_way.discard(id)
                await asyncio.sleep(self._interval * self._random.uniform(0.5, 1.5))
        finally:
            road.close()

    async def _publish(self, road, publish):
        """Tries until it is acknowledged. An outcome that begins with "?" may have published."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.PUBLISH_BOUND_S
        attempt = 0
        while loop.time() < end:
            attempt += 1
            node, outcome, answer = await road.publish(publish.id)
            self.ledger.attempt(publish, node, outcome)
            if outcome == "201":
                self.ledger.acknowledged(publish, node, *answer)
                return
            if outcome.startswith("4"):
                self.ledger.given_up(publish, for_good=True)
                return
            await self._back_off(attempt)
        self.ledger.given_up(publish)

    async def _writer(self, key):
        """Writes the state now and then, whatever it was; what is not answered may have been done."""
        while not self._stop_publishing:
            await asyncio.sleep(self._interval * self._random.uniform(1, 4))
            with contextlib.suppress(*_ERRORS):
                status, _, body = await self._http.request(
                    self._any_node().client_port, "PUT", f"/v1/channels/{quote(key)}/state", b"x",
                    bound=self.ATTEMPT_BOUND_S)
                if status in (200, 201):
                    answer = json.loads(body)
                    self._states[key] = (answer["incarnation"], answer["version"])

    class _HttpRoad:
        """Each publish by another node."""

        def __init__(self, traffic, key):
            self._traffic = traffic
            self._target = f"/v1/channels/{quote(key)}/messages"

        async def publish(self, message_id):
            node = self._traffic._any_node()
            try:
                status, _, body = await self._traffic._http.request(
                    node.client_port, "POST", self._target, message_id.encode(),
                    ["Content-Type: text/plain", f"Idempotency-Key: {message_id}"],
                    self._traffic.ATTEMPT_BOUND_S)
            except ConnectionRefusedError:
                return node.id, "refused", None
            except _ERRORS as error:
                return node.id, f"?{type(error).__name__}", None
            answer = json.loads(body)
            if status == 201:
                return node.id, "201", (answer["incarnation"], answer["seq"], answer["duplicate"])
            unknown = "?" if answer["code"] == "unknown_outcome" else ""
            return node.id, f"{unknown}{status} {answer['code']}", None

        def close(self):
            pass

    class _SocketRoad:
        """By a WebSocket in the channel, for as long as that lives."""

        def __init__(self, traffic, key):
            self._traffic = traffic
            self._key = key
            self._socket = None
            self._node = None
            self._incarnation = None

        async def publish(self, message_id):
            try:
                async with asyncio.timeout(self._traffic.ATTEMPT_BOUND_S):
                    if not self._socket:
                        await self._open()
                    await self._socket.send(json.dumps(
                        {"type": "publish", "id": message_id, "data": message_id}))
                    return await self._answer(message_id)
            except ConnectionRefusedError:
                return self._node, "refused", None
            except _ERRORS as error:
                self.close()
                return self._node, f"?{type(error).__name__}", None

        async def _open(self):
            node = self._traffic._any_node()
            self._node = node.id
            url = node.ws_url(self._key)
            for _ in range(5):
                socket = await _open(url, PROTOCOL)
                event = json.loads(await socket.recv())
                if event["type"] == "welcome":
                    self._node, self._incarnation = event["node"], event["incarnation"]
                    self._socket = socket
                    return
                socket.transport.abort()
                if event["type"] != "moved":
                    break
                url = event["url"]
            raise EOFError("no welcome")

        async def _answer(self, message_id):
            while True:
                event = json.loads(await self._socket.recv())
                if event["type"] == "ack" and event["id"] == message_id:
                    # An ack does not say the incarnation; after `moved` it may be another.
                    return self._node, "201", (self._incarnation, event["seq"], False)
                if event["type"] == "error" and event.get("id") == message_id:
                    unknown = "?" if event["code"] == "unknown_outcome" else ""
                    return self._node, f"{unknown}ws {event['code']}", None
                if event["type"] in ("moved", "error"):
                    self.close()
                    return self._node, f"?{event['type']}", None

        def close(self):
            if self._socket:
                self._socket.transport.abort()
                self._socket = None

    # --- subscribers -----------------------------------------------------------------------------

    async def _socket(self, subscriber, patient, **query):
        """A patient subscriber believes in its connection until that ends; the other asks when
        it has heard nothing for a while."""
        url, old, attempt = None, None, 0
        while not self._stop:
            if url is None:
                await self._back_off(attempt)
                attempt += 1
                after = {"after": subscriber.position} if subscriber.position else {}
                url = self._any_node().ws_url(subscriber.key, watch="state", **after, **query)
            node, following = self._node_at(url), None
            try:
                socket = await _open(url, PROTOCOL, open_timeout=self.ATTEMPT_BOUND_S)
                welcomes = subscriber.welcomes
                following = await self._listen(socket, node, subscriber, old, patient)
                if subscriber.welcomes > welcomes:
                    attempt, old = 0, None
                if following:
                    old = (old or []) + [socket]
            except _ERRORS as error:
                subscriber.broken(node, type(error).__name__)
            if not following and old:
                await self._let_go(old, node, subscriber)
                old = None
            url = following

    async def _listen(self, socket, node, subscriber, old, patient):
        """Until the connection ends. Returns the URL of `moved`, or None."""
        version = 0
        try:
            while True:
                event = json.loads(await self._hear(socket, patient))
                kind = event["type"]
                if kind == "message":
                    subscriber.message(node, event["seq"], event["id"])
                elif kind == "welcome":
                    subscriber.welcome(event["node"], event["incarnation"], event["seq"],
                                       event["recovered"])
                    # Only now the old connection is let go of.
                    if old:
                        await self._let_go(old, node, subscriber)
                elif kind == "state":
                    if event["version"] < version:
                        self.ledger.violation("reordered", subscriber.key, f"{subscriber.name} is "
                                              f"shown state {event['version']} after {version}")
                    version = event["version"]
                elif kind == "moved":
                    if "seq" in event:
                        subscriber.moved(node, event["node"], event["seq"])
                    return event["url"]
                elif kind == "error":
                    subscriber.tell(f"error {event['code']} from {node}")
        except websockets.ConnectionClosed as closed:
            subscriber.broken(node, str(closed.rcvd.code if closed.rcvd else "reset"))
        except asyncio.TimeoutError:
            subscriber.broken(node, "silence")
            socket.transport.abort()
        return None

    async def _hear(self, socket, patient):
        if patient:
            return await socket.recv()
        try:
            return await asyncio.wait_for(socket.recv(), self.SILENCE_S)
        except asyncio.TimeoutError:
            await socket.send('{"type":"ping"}')
            return await asyncio.wait_for(socket.recv(), self.SILENCE_S)

    async def _let_go(self, sockets, node, subscriber):
        """Closes connections that were told `moved`; nothing may have come on them since."""
        for socket in sockets:
            socket.transport.pause_reading()
            for text in list(socket.messages):
                event = json.loads(text)
                if event["type"] == "message":
                    subscriber.late(node, event["seq"])
            socket.transport.abort()

    async def _visits(self, key):
        """One visitor after the other, each a second or two, by one connection."""
        number = 0
        while not self._stop:
            await asyncio.sleep(self._random.uniform(0.2, 1.0))
            number += 1
            visitor = self.ledger.subscriber(key, f"visitor{number}")
            visitor.visitor = True
            url, socket = f"{self._any_node().ws_url(key)}?after=0", None
            with contextlib.suppress(asyncio.TimeoutError, *_ERRORS):
                async with asyncio.timeout(self._random.uniform(1.0, 2.0)):
                    for _ in range(5):
                        socket = await _open(url, PROTOCOL)
                        url = await self._listen(socket, self._node_at(url), visitor, None, True)
                        if not url or visitor.welcomes:
                            break
                        socket.transport.abort()
            if socket:
                socket.transport.abort()

    async def _poll(self, subscriber):
        attempt = 0
        while not self._stop:
            await self._back_off(attempt)
            attempt += 1
            node = self._any_node()
            target = f"/v1/channels/{quote(subscriber.key)}/messages"
            target += f"?after={subscriber.position or '0'}&wait=5&limit=100"
            port = node.client_port
            try:
                for _ in range(5):
                    status, fields, body = await self._http.request(port, "GET", target)
                    if status != 307:
                        break
                    parts = urllib.parse.urlsplit(fields["location"])
                    port, target = parts.port, f"{parts.path}?{parts.query}"
            except _ERRORS as error:
                subscriber.tell(f"poll of {self._port_node(port)}: {type(error).__name__}")
                continue
            if status == 200:
                attempt = 0
                subscriber.polled(self._port_node(port), json.loads(body))
            else:
                subscriber.tell(f"poll of {self._port_node(port)}: {status} {body[:80]}")

    def _port_node(self, port):
        return self._node_at(f"http://127.0.0.1:{port}")
