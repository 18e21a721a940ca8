#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""autobahn_cases.py PORT [--groups 1,2,...] [-v]

The WebSocket cases of Autobahn|Testsuite for an echo server on the loopback: groups 1 to 7, 9 and 10, and with
--groups 12,13 those of compression, which the server has to agree to. The suite itself wants Python 2; its cases are
done here with the engine that it is made of (python3-autobahn of Debian), which can send any frame. Stricter than the
suite: who has to fail a connection has to say why, with the right close code. Groups 12 and 13 have data of their own
and fewer messages. Exit code 1 if a case failed."""
import argparse
import asyncio
import collections
import json
import random
import sys
import time

import txaio
txaio.use_asyncio()
# pylint: disable=wrong-import-position
from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponseAccept

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
WAIT_S = 120
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}    # no wrong answer


class Peer(WebSocketClientProtocol):
    """One connection: what came, and how it ended."""

    def onOpen(self):
        self.events, self.more, self.ended = [], asyncio.Event(), asyncio.Event()
        self.factory.opened.set_result(self)

    def _came(self, *event):
        self.events.append(event)
        self.more.set()

    def onMessage(self, payload, isBinary):
        self._came(BINARY if isBinary else TEXT, payload)

    def onPong(self, payload):
        self._came(PONG, payload)

    def onClose(self, wasClean, code, reason):
        self.clean = wasClean
        self.ended.set()
        self.more.set()

    def frame(self, opcode, payload=b"", fin=True, rsv=0, chop=None):
        if self.transport is not None:    # else the other side was done first
            self.sendFrame(opcode=opcode, payload=payload, fin=fin, rsv=rsv, chopsize=chop)

    def fragments(self, opcode, payload, size, chop=None):
        parts = [payload[at:at + size] for at in range(0, len(payload), size)] or [b""]
        for number, part in enumerate(parts):
            self.frame(CONTINUATION if number else opcode, part, number == len(parts) - 1, chop=chop)

    async def hears(self, *events):
        while len(self.events) < len(events) and not self.ended.is_set():
            self.more.clear()
            await asyncio.wait_for(self.more.wait(), WAIT_S)
        assert self.events == list(events), f"heard {short(self.events)}, not {short(events)}"

    async def closes(self, code=1000):
        """The other side ends the connection in order, with that code."""
        await asyncio.wait_for(self.ended.wait(), WAIT_S)
        assert self.remoteCloseCode == code, f"closed with {self.remoteCloseCode}, not {code}"

    async def ends(self, *events):
        """These came, and nothing else; then we close."""
        await self.hears(*events)
        self.sendClose(1000)
        await self.closes()
        await self.hears(*events)
        assert self.clean, "not closed cleanly"

    async def fails(self, code, *events):
        """The other side fails the connection, after it answered with these."""
        await self.closes(code)
        await self.hears(*events)


def short(events):
    return [(kind, payload if len(payload) < 40 else f"{len(payload)} bytes") for kind, payload in events]


# --- the cases: NAME: a coroutine ------------------------------------------------------------------

CASES = {}      # name: (coroutine, offers of compression)


def case(name, run, offers=()):
    assert name not in CASES
    CASES[name] = (run, list(offers))


def echoed(name, opcode, payload, chop=None, fragment=None):
    async def run(peer):
        peer.fragments(opcode, payload, fragment or max(len(payload), 1), chop)
        await peer.ends((opcode, payload))
    case(name, run)


def sends(name, frames, *events, fails=None, apart=False):
    """Sends frames, each (opcode, payload, {fin, rsv, chop}); hears `events`; the end: in order, or a close code."""
    async def run(peer):
        for opcode, payload, more in frames:
            peer.frame(opcode, payload, **more)
            if apart:
                await asyncio.sleep(0.01)
        if fails is None:
            await peer.ends(*events)
        else:
            await peer.fails(fails, *events)
    case(name, run)


def group_1():
    for group, opcode, byte in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for number, (size, chop) in enumerate(((0, None), (125, None), (126, None), (127, None), (128, None),
                                               (65535, None), (65536, None), (65536, 997)), 1):
            echoed(f"1.{group}.{number}", opcode, byte * size, chop)


def group_2():
    text, binary, long = b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125
    for number, payload, chop in ((1, b"", None), (2, text, None), (3, binary, None), (4, long, None), (6, long, 1)):
        sends(f"2.{number}", [(PING, payload, {"chop": chop})], (PONG, payload))
    sends("2.5", [(PING, b"\xfe" * 126, {})], fails=1002)
    sends("2.7", [(PONG, b"", {})])
    sends("2.8", [(PONG, b"unsolicited", {})])
    sends("2.9", [(PONG, b"unsolicited", {}), (PING, b"ping", {})], (PONG, b"ping"))
    for number, chop in ((10, None), (11, 1)):
        payloads = [f"payload-{index}".encode() for index in range(10)]
        sends(f"2.{number}", [(PING, payload, {"chop": chop}) for payload in payloads],
              *[(PONG, payload) for payload in payloads])


def group_3():
    text, heard = b"Hello, world!", (TEXT, b"Hello, world!")
    sends("3.1", [(TEXT, text, {"rsv": 1})], fails=1002)
    for number, rsv, chop, apart in ((2, 2, None, False), (3, 3, None, True), (4, 4, 1, False)):
        sends(f"3.{number}", [(TEXT, text, {"chop": chop}), (TEXT, text, {"rsv": rsv, "chop": chop}),
                              (PING, b"", {"chop": chop})], heard, fails=1002, apart=apart)
    sends("3.5", [(BINARY, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", {"rsv": 5})], fails=1002)
    sends("3.6", [(PING, text, {"rsv": 6})], fails=1002)
    sends("3.7", [(CLOSE, b"\x03\xe8", {"rsv": 7})], fails=1002)


def group_4():
    text, heard = b"Hello, world!", (TEXT, b"Hello, world!")
    for group, first in ((1, 3), (2, 11)):
        sends(f"4.{group}.1", [(first, b"", {})], fails=1002)
        sends(f"4.{group}.2", [(first + 1, b"reserved opcode payload", {})], fails=1002)
        for number, payload, chop in ((3, b"", None), (4, text, None), (5, text, 1)):
            sends(f"4.{group}.{number}", [(TEXT, text, {"chop": chop}), (first + number - 1, payload, {"chop": chop}),
                                          (PING, b"", {"chop": chop})], heard, fails=1002)


def group_5():
    one, two, whole = b"fragment1", b"fragment2", (TEXT, b"fragment1fragment2")
    sends("5.1", [(PING, one, {"fin": False}), (CONTINUATION, two, {})], fails=1002)
    sends("5.2", [(PONG, one, {"fin": False}), (CONTINUATION, two, {})], fails=1002)
    ways = ((None, False), (None, True), (1, False))    # all at once, frame by frame, byte by byte
    for number, (chop, apart) in enumerate(ways):
        sends(f"5.{3 + number}", [(TEXT, one, {"fin": False, "chop": chop}), (CONTINUATION, two, {"chop": chop})],
              whole, apart=apart)
        sends(f"5.{6 + number}", [(TEXT, one, {"fin": False, "chop": chop}), (PING, b"ping", {"chop": chop}),
                                  (CONTINUATION, two, {"chop": chop})], (PONG, b"ping"), whole, apart=apart)
        for first, fin in ((9, True), (12, False)):
            sends(f"5.{first + number}", [(CONTINUATION, b"non-continuation payload", {"fin": fin, "chop": chop}),
                                          (TEXT, b"Hello, world!", {"chop": chop})], fails=1002, apart=apart)
    sends("5.15", [(TEXT, one, {"fin": False}), (CONTINUATION, two, {}), (CONTINUATION, b"fragment3", {"fin": False}),
                   (TEXT, b"fragment4", {})], whole, fails=1002)
    for number, fin in ((16, False), (17, True)):
        sends(f"5.{number}", 2 * [(CONTINUATION, one, {"fin": fin}), (TEXT, two, {"fin": False}),
                                  (CONTINUATION, b"fragment3", {})], fails=1002)
    sends("5.18", [(TEXT, one, {"fin": False}), (TEXT, two, {})], fails=1002)
    for number, pause in ((19, 0.3), (20, 0.0)):
        async def run(peer, pause=pause):
            peer.frame(TEXT, b"fragment1", False)
            peer.frame(CONTINUATION, b"fragment2", False)
            peer.frame(PING, b"pongme 1!")
            await peer.hears((PONG, b"pongme 1!"))
            await asyncio.sleep(pause)
            peer.frame(CONTINUATION, b"fragment3", False)
            peer.frame(CONTINUATION, b"fragment4", False)
            peer.frame(PING, b"pongme 2!")
            peer.frame(CONTINUATION, b"fragment5")
            await peer.ends((PONG, b"pongme 1!"), (PONG, b"pongme 2!"),
                            (TEXT, b"fragment1fragment2fragment3fragment4fragment5"))
        case(f"5.{number}", run)


GREEK = "\u03ba\u1f79\u03c3\u03bc\u03b5".encode()
LATIN = "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!".encode()

# Of group 6: what follows a number, and whether it is text.
SEQUENCES = {
    5: [(f"hello{sign}world".encode(), True) for sign in ("$", "\u00a2", "\u20ac", "\U00024b62")] + [(GREEK, True)],
    6: [(GREEK[:size], size in (2, 5, 7, 9, 11)) for size in range(1, 12)],
    7: [(b"\x00", True), (b"\xc2\x80", True), (b"\xe0\xa0\x80", True), (b"\xf0\x90\x80\x80", True)],
    8: [(b"\xf8\x88\x80\x80\x80", False), (b"\xfc\x84\x80\x80\x80\x80", False)],
    9: [(b"\x7f", True), (b"\xdf\xbf", True), (b"\xef\xbf\xbf", True), (b"\xf4\x8f\xbf\xbf", True)],
    10: [(b"\xf7\xbf\xbf\xbf", False), (b"\xfb\xbf\xbf\xbf\xbf", False), (b"\xfd\xbf\xbf\xbf\xbf\xbf", False)],
    11: [(b"\xed\x9f\xbf", True), (b"\xee\x80\x80", True), (b"\xef\xbf\xbd", True), (b"\xf4\x8f\xbf\xbf", True),
         (b"\xf4\x90\x80\x80", False)],
    12: [((b"\x80\xbf" * 4)[start:start + size], False)
         for start, size in ((0, 1), (1, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6))] + [(bytes(range(0x80, 0xc0)), False)],
    13: [(b"".join(bytes([byte, 32]) for byte in range(*span)), False)
         for span in ((0xc0, 0xe0), (0xe0, 0xf0), (0xf0, 0xf8), (0xf8, 0xfc), (0xfc, 0xfe))],
    14: [(sequence, False) for sequence in (
        b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80", b"\xdf", b"\xef\xbf",
        b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf")],
    16: [(b"\xfe", False), (b"\xff", False), (b"\xfe\xfe\xff\xff", False)],
    17: [(sequence, False) for sequence in (
        b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf")],
    18: [(sequence, False) for sequence in (
        b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf")],
    19: [(sequence, False) for sequence in (
        b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80")],
    20: [(b"\xed" + rest, False) for rest in (b"\xa0\x80", b"\xad\xbf", b"\xae\x80", b"\xaf\xbf", b"\xb0\x80",
                                               b"\xbe\x80", b"\xbf\xbf")],
    21: [(b"\xed" + high + b"\xed" + low, False) for high in (b"\xa0\x80", b"\xad\xbf", b"\xae\x80", b"\xaf\xbf")
         for low in (b"\xb0\x80", b"\xbf\xbf")],
    22: [(chr(plane << 16 | last).encode(), True) for plane in range(17) for last in (0xfffe, 0xffff)],
    23: [(chr(code).encode(), True) for code in range(0xfff9, 0x10000)],
}
SEQUENCES[15] = [(b"".join(sequence for sequence, _ in SEQUENCES[14]), False)]


def group_6():
    sends("6.1.1", [(TEXT, b"", {})], (TEXT, b""))
    for number, middle in ((2, b""), (3, b"middle frame payload")):
        sends(f"6.1.{number}", [(TEXT, b"", {"fin": False}), (CONTINUATION, middle, {"fin": False}),
                                (CONTINUATION, b"", {})], (TEXT, middle))
    for number, payload, size in ((1, LATIN, None), (2, LATIN, 12), (3, LATIN, 1), (4, GREEK, 1)):
        echoed(f"6.2.{number}", TEXT, payload, fragment=size)
    bad = GREEK + b"\xed\xa0\x80edited"
    sends("6.3.1", [(TEXT, bad, {})], fails=1007)

    async def by_bytes(peer):
        peer.fragments(TEXT, bad, 1)
        await peer.fails(1007)
    case("6.3.2", by_bytes)

    # It fails with the first byte that cannot be right: the rest of the message is never sent.
    for number, parts, at_once in ((1, (GREEK, b"\xf4\x90\x80\x80"), False), (2, (GREEK + b"\xf4", b"\x90"), False),
                                   (3, (GREEK, b"\xf4\x90\x80\x80"), True), (4, (GREEK + b"\xf4", b"\x90"), True)):
        async def run(peer, parts=parts, at_once=at_once):
            if at_once:
                peer.beginMessage(isBinary=False)
                peer.beginMessageFrame(len(b"".join(parts)) + len(b"edited"))
                for part in parts:
                    peer.sendMessageFrameData(part)
                    await asyncio.sleep(0.05)
            else:
                peer.frame(TEXT, parts[0], False)
                await asyncio.sleep(0.05)
                peer.frame(CONTINUATION, parts[1], False)
            await peer.fails(1007)
        case(f"6.4.{number}", run)
    for number, sequences in SEQUENCES.items():
        for index, (sequence, is_text) in enumerate(sequences, 1):
            if is_text:
                echoed(f"6.{number}.{index}", TEXT, sequence)
            else:
                sends(f"6.{number}.{index}", [(TEXT, sequence, {})], fails=1007)


def closing(name, frames, code=1000, *events):
    """Close frames of ours; the other side's has that code (None: it has none)."""
    async def run(peer):
        for opcode, payload, more in frames:
            peer.frame(opcode, payload, **more)
        await peer.closes(code)
        await peer.hears(*events)
    case(name, run)


def group_7():
    text, bye = b"Hello World!", (CLOSE, b"\x03\xe8", {})
    closing("7.1.1", [(TEXT, text, {}), bye], 1000, (TEXT, text))
    closing("7.1.2", [bye, bye])
    closing("7.1.3", [bye, (PING, b"", {})])
    closing("7.1.4", [bye, (TEXT, text, {})])
    closing("7.1.5", [(TEXT, b"fragment1", {"fin": False}), bye, (CONTINUATION, b"fragment2", {})])
    closing("7.1.6", [(TEXT, b"BAsd7&jh23" * 26214, {}), (TEXT, text, {}), bye, (PING, b"", {})], 1000,
            (TEXT, b"BAsd7&jh23" * 26214), (TEXT, text))
    closing("7.3.1", [(CLOSE, b"", {})], None)
    closing("7.3.2", [(CLOSE, b"a", {})], 1002)
    closing("7.3.3", [bye])
    closing("7.3.4", [(CLOSE, b"\x03\xe8" + b"Hello World!", {})])
    closing("7.3.5", [(CLOSE, b"\x03\xe8" + b"*" * 123, {})])
    closing("7.3.6", [(CLOSE, b"\x03\xe8" + b"*" * 124, {})], 1002)
    closing("7.5.1", [(CLOSE, b"\x03\xe8" + GREEK + b"\xed\xa0\x80edited", {})], 1007)
    for number, code in enumerate((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999), 1):
        closing(f"7.7.{number}", [(CLOSE, code.to_bytes(2, "big"), {})], code)
    for number, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1):
        closing(f"7.9.{number}", [(CLOSE, code.to_bytes(2, "big"), {})], 1002)
    for number, code in ((1, 5000), (2, 65535)):
        closing(f"7.13.{number}", [(CLOSE, code.to_bytes(2, "big"), {})], 1002)


def group_9():
    kib = 1024
    for group, opcode, byte in ((0, TEXT, b"*"), (1, BINARY, b"\xfe")):
        for number, size in enumerate((64, 256, 1024, 4096, 8192, 16384), 1):
            echoed(f"9.{1 + group}.{number}", opcode, byte * (size * kib))
        for number, size in enumerate((64, 256, kib, 4 * kib, 16 * kib, 64 * kib, 256 * kib, 1024 * kib, 4096 * kib), 1):
            echoed(f"9.{3 + group}.{number}", opcode, byte * (4096 * kib), fragment=size)
        for number, size in enumerate((64, 128, 256, 512, 1024, 2048), 1):
            echoed(f"9.{5 + group}.{number}", opcode, byte * (1024 * kib), chop=size)
        for number, size in enumerate((0, 16, 64, 256, 1024, 4096), 1):
            async def run(peer, opcode=opcode, payload=byte * size):
                for count in range(1, 1001):
                    peer.frame(opcode, payload)
                    await peer.hears(*[(opcode, payload)] * count)
                await peer.ends(*[(opcode, payload)] * 1000)
            case(f"9.{7 + group}.{number}", run)


def group_10():
    async def run(peer):
        peer.sendMessage(b"*" * 65536, fragmentSize=1300)
        await peer.ends((TEXT, b"*" * 65536))
    case("10.1.1", run)


# --- compression: (size of a message, of a fragment or 0)

SIZES = [*((1 << power, 0) for power in (4, 6, 8, 10, 12, 13, 14, 15, 16, 17)),
         *((1 << power, 256) for power in (13, 14, 15, 16, 17)), (131072, 1024), (131072, 4096), (131072, 32768)]
MESSAGES = 20


def texts():
    """JSON, pixels, words, HTML, and JSON backwards: some 200 KB of each."""
    dice = random.Random(7)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz\u00e4\u00f6\u00e9", k=dice.randint(2, 9)))
             for _ in range(3000)]
    rows = [{"id": number, "name": dice.choice(words), "tags": dice.choices(words, k=3), "v": dice.random()}
            for number in range(2500)]
    text = json.dumps(rows, ensure_ascii=False)
    pixels = bytes(min(255, max(0, int(dice.gauss(128, 18)))) for _ in range(200000))
    html = "".join(f"<div class='{dice.choice(words)}'><a href='/{number}'>{dice.choice(words)}</a></div>\n"
                   for number in range(4000))
    return [text, pixels, " ".join(dice.choices(words, k=30000)), html, text[::-1]]


def compressed(name, data, size, fragment, offers):
    async def run(peer):
        assert peer._perMessageCompress is not None, "no compression was agreed on"
        events = []
        for number in range(MESSAGES):
            at = number * size % (len(data) - size)
            part = data[at:at + size]
            payload = part if isinstance(part, bytes) else part.encode()
            peer.sendMessage(payload, isBinary=isinstance(part, bytes), fragmentSize=fragment or None)
            events.append((BINARY if isinstance(part, bytes) else TEXT, payload))
            await peer.hears(*events)
        await peer.ends(*events)
    case(name, run, offers)


def groups_12_and_13():
    def offer(no_takeover, bits):
        return PerMessageDeflateOffer(True, True, no_takeover, bits)
    data = texts()
    for index, one in enumerate(data, 1):
        for number, (size, fragment) in enumerate(SIZES, 1):
            compressed(f"12.{index}.{number}", one, size, fragment, [offer(False, 0)])
    wanted = [[offer(*parameters)] for parameters in
              ((False, 0), (True, 0), (False, 9), (False, 15), (True, 9), (True, 15))]
    wanted.append([offer(True, 9), offer(True, 0), offer(False, 0)])
    for index, offers in enumerate(wanted, 1):
        for number, (size, fragment) in enumerate(SIZES, 1):
            compressed(f"13.{index}.{number}", data[0], size, fragment, offers)


# --- running them ----------------------------------------------------------------------------------

async def run_case(port, run, offers):
    loop = asyncio.get_running_loop()
    factory = WebSocketClientFactory(f"ws://127.0.0.1:{port}")
    factory.protocol = Peer
    factory.opened = loop.create_future()
    factory.setProtocolOptions(failByDrop=False, closeHandshakeTimeout=WAIT_S, openHandshakeTimeout=WAIT_S,
                               perMessageCompressionOffers=offers,
                               perMessageCompressionAccept=PerMessageDeflateResponseAccept)
    transport, _ = await loop.create_connection(factory, "127.0.0.1", port)
    try:
        await run(await asyncio.wait_for(factory.opened, WAIT_S))
        return None
    except (AssertionError, asyncio.TimeoutError) as error:
        return f"{type(error).__name__} {error}"
    finally:
        transport.abort()


async def run_all(port, groups, verbose):
    begun, failed, counts = time.monotonic(), {}, collections.Counter()
    for name, (run, offers) in CASES.items():
        group = name.split(".", maxsplit=1)[0]
        if group not in groups:
            continue
        problem = await run_case(port, run, offers)
        counts[group] += 1
        if problem:
            failed[name] = problem
            print(f"{name} {'informational' if name in INFORMATIONAL else 'FAILED'}: {problem}")
        elif verbose:
            print(f"{name} passed")
    wrong = set(failed) - INFORMATIONAL
    for group, count in counts.items():
        print(f"group {group}: {count} cases, {sum(name.split('.')[0] == group for name in wrong)} failed")
    print(f"{sum(counts.values())} cases, {len(wrong)} failed, in {time.monotonic() - begun:.0f} s")
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--groups", type=lambda text: text.split(","), default="1,2,3,4,5,6,7,9,10")
    parser.add_argument("-v", action="store_true", dest="verbose")
    arguments = parser.parse_args()
    for make in (group_1, group_2, group_3, group_4, group_5, group_6, group_7, group_9, group_10,
                 groups_12_and_13):
        make()
    sys.exit(0 if asyncio.run(run_all(arguments.port, arguments.groups, arguments.verbose)) else 1)


if __name__ == "__main__":
    main()
