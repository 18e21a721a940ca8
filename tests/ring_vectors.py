#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ring once more, in plain Python, from docs/ring.md alone.

    ring_vectors.py check FILE    recompute every answer in FILE; exit 1 when one differs
    ring_vectors.py write         print the golden vectors anew

It shares no code with ring/ and needs no module beside the standard library: XXH3 is written out
below. So the vectors say that two implementations agree, and this file says that docs/ring.md is
enough to write one.
"""

import bisect
import sys
import urllib.parse

MASK32 = 0xFFFFFFFF
MASK64 = 0xFFFFFFFFFFFFFFFF

# ------------------------------------------------- XXH3, 64 bits, with a seed (xxHash 0.8)

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def u32(data, at):
    return int.from_bytes(data[at : at + 4], "little")


def u64(data, at):
    return int.from_bytes(data[at : at + 8], "little")


def swap32(x):
    return int.from_bytes(x.to_bytes(4, "little"), "big")


def swap64(x):
    return int.from_bytes(x.to_bytes(8, "little"), "big")


def rotate64(x, bits):
    return ((x << bits) | (x >> (64 - bits))) & MASK64


def fold(a, b):
    product = a * b
    return (product & MASK64) ^ (product >> 64)


def avalanche(h):
    h ^= h >> 37
    h = h * 0x165667919E3779F9 & MASK64
    return h ^ (h >> 32)


def avalanche_xxh64(h):
    h ^= h >> 33
    h = h * P64_2 & MASK64
    h ^= h >> 29
    h = h * P64_3 & MASK64
    return h ^ (h >> 32)


def mix16(data, at, secret_at, seed):
    low = u64(data, at) ^ ((u64(SECRET, secret_at) + seed) & MASK64)
    high = u64(data, at + 8) ^ ((u64(SECRET, secret_at + 8) - seed) & MASK64)
    return fold(low, high)


def xxh3_0_to_16(data, seed):
    size = len(data)
    if size > 8:
        low = u64(data, 0) ^ (((u64(SECRET, 24) ^ u64(SECRET, 32)) + seed) & MASK64)
        high = u64(data, size - 8) ^ (((u64(SECRET, 40) ^ u64(SECRET, 48)) - seed) & MASK64)
        return avalanche((size + swap64(low) + high + fold(low, high)) & MASK64)
    if size >= 4:
        seed ^= swap32(seed & MASK32) << 32
        flip = ((u64(SECRET, 8) ^ u64(SECRET, 16)) - seed) & MASK64
        h = (u32(data, size - 4) + (u32(data, 0) << 32)) ^ flip
        h ^= rotate64(h, 49) ^ rotate64(h, 24)
        h = h * 0x9FB21C651E98DF25 & MASK64
        h ^= (h >> 35) + size
        h = h * 0x9FB21C651E98DF25 & MASK64
        return h ^ (h >> 28)
    if size > 0:
        combined = (data[0] << 16) | (data[size >> 1] << 24) | data[size - 1] | (size << 8)
        flip = ((u32(SECRET, 0) ^ u32(SECRET, 4)) + seed) & MASK64
        return avalanche_xxh64(combined ^ flip)
    return avalanche_xxh64(seed ^ u64(SECRET, 56) ^ u64(SECRET, 64))


def xxh3_17_to_128(data, seed):
    size = len(data)
    acc = size * P64_1
    for i in range((size - 1) // 32, -1, -1):
        acc += mix16(data, 16 * i, 32 * i, seed)
        acc += mix16(data, size - 16 * (i + 1), 32 * i + 16, seed)
    return avalanche(acc & MASK64)


def xxh3_129_to_240(data, seed):
    size = len(data)
    acc = size * P64_1
    for i in range(8):
        acc += mix16(data, 16 * i, 16 * i, seed)
    acc = avalanche(acc & MASK64)
    for i in range(8, size // 16):
        acc += mix16(data, 16 * i, 16 * (i - 8) + 3, seed)
    acc += mix16(data, size - 16, 136 - 17, seed)
    return avalanche(acc & MASK64)


def xxh3_long(data, seed):
    size = len(data)
    secret = b"".join(
        ((u64(SECRET, i) + (seed if i % 16 == 0 else -seed)) & MASK64).to_bytes(8, "little")
        for i in range(0, 192, 8)
    )
    acc = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]

    def accumulate(at, secret_at):
        for i in range(8):
            value = u64(data, at + 8 * i)
            key = value ^ u64(secret, secret_at + 8 * i)
            acc[i ^ 1] = (acc[i ^ 1] + value) & MASK64
            acc[i] = (acc[i] + (key & MASK32) * (key >> 32)) & MASK64

    stripes = (size - 1) // 64  # whole ones; the last 64 bytes are one more, of their own
    for stripe in range(stripes):
        accumulate(64 * stripe, 8 * (stripe % 16))
        if stripe % 16 == 15:
            for i in range(8):
                acc[i] = (acc[i] ^ (acc[i] >> 47) ^ u64(secret, 128 + 8 * i)) * P32_1 & MASK64
    accumulate(size - 64, 192 - 64 - 7)
    h = size * P64_1
    for i in range(4):
        h += fold(acc[2 * i] ^ u64(secret, 11 + 16 * i), acc[2 * i + 1] ^ u64(secret, 19 + 16 * i))
    return avalanche(h & MASK64)


def xxh3(data, seed=0):
    if len(data) <= 16:
        return xxh3_0_to_16(data, seed)
    if len(data) <= 128:
        return xxh3_17_to_128(data, seed)
    if len(data) <= 240:
        return xxh3_129_to_240(data, seed)
    return xxh3_long(data, seed)


# ------------------------------------------------------------------------------- the ring


class Ring:
    """members: list of (id, weight in thousandths, zone)."""

    def __init__(self, seed, vnodes, members):
        self.seed = seed
        self.vnodes = vnodes
        self.members = sorted(members)
        self.zones = {node: zone for node, _, zone in members}
        self.points = sorted(
            (self.hash(self.point_text(node, i)), node)
            for node, weight, _ in members
            for i in range(self.points_of(weight))
        )

    @staticmethod
    def point_text(node, i):
        return f"{node}#{i}".encode()

    def hash(self, key):
        return xxh3(key, self.seed)

    def points_of(self, weight):
        return max(1, (weight * self.vnodes + 500) // 1000) if weight > 0 else 0

    def walk(self, key_hash):
        """The nodes clockwise from a hash, each once."""
        start = bisect.bisect_left(self.points, (key_hash, ""))
        turn = self.points[start:] + self.points[:start]
        return list(dict.fromkeys(node for _, node in turn))

    def owner(self, key_hash):
        start = bisect.bisect_left(self.points, (key_hash, ""))
        return self.points[start % len(self.points)][1] if self.points else None

    def preference(self, key_hash, replicas):
        picked, passed, zones = [], [], set()
        for node in self.walk(key_hash):
            if self.zones[node] in zones:
                passed.append(node)
            else:
                picked.append(node)
                zones.add(self.zones[node])
        return (picked + passed)[:replicas]

    def shares(self):
        """In units of 2^-53, each stretch rounded down at both ends."""
        shares = {node: 0 for node, _, _ in self.members}
        before = 0
        for point, node in self.points:
            shares[node] += ((point + 1) >> 11) - before
            before = (point + 1) >> 11
        if self.points:
            shares[self.points[0][1]] += (1 << 53) - before
        return shares

    def digest(self):
        fields = ["ringhop-ring-1", self.seed, self.vnodes]
        for node, weight, zone in self.members:
            if weight > 0:
                fields += [node, weight, zone]
        return xxh3(b"".join(str(field).encode() + b"\0" for field in fields))


def difference(before, after):
    ends = sorted({point for point, _ in before.points + after.points} | {MASK64})
    arcs = []
    first = 0
    for last in ends:
        pair = (before.owner(last), after.owner(last))
        if pair[0] != pair[1]:
            if arcs and arcs[-1][1] + 1 == first and arcs[-1][2:] == pair:
                arcs[-1] = (arcs[-1][0], last) + pair
            else:
                arcs.append((first, last) + pair)
        first = last + 1
    return arcs


# ------------------------------------------------------------------------ the vector file


def encode(data):
    return urllib.parse.quote(data, safe=":")


def write_ring(name, seed, vnodes, replicas, members, keys, points=()):
    ring = Ring(seed, vnodes, members)
    lines = ["", f"ring {name}", f"seed {seed}", f"vnodes {vnodes}", f"replicas {replicas}"]
    for node, weight, zone in members:
        lines.append(f"member {node} {weight} {encode(zone)}".rstrip())
    lines.append(f"points {len(ring.points)}")
    lines.append(f"digest {ring.digest():016x}")
    for node, share in sorted(ring.shares().items()):
        lines.append(f"share {node} {share}")
    for node, i in points:
        lines.append(f"point {node} {i} {ring.hash(ring.point_text(node, i)):016x}")
    for key in keys:
        key_hash = ring.hash(key)
        nodes = ring.preference(key_hash, replicas)
        lines.append(" ".join([f"key {encode(key)} {key_hash:016x}"] + nodes))
    return ring, lines


def write_difference(before, after, rings):
    lines = ["", f"difference {before} {after}"]
    for first, last, old, new in difference(rings[before], rings[after]):
        lines.append(f"arc {first:016x} {last:016x} {old or '.'} {new or '.'}")
    return lines


HEADER = """\
# Golden placements of the ring; docs/ring.md says what they mean and how to read this file.
# Written by tests/ring_vectors.py, checked by it and by tests/ring_test.c."""


def write():
    words = ["user:42", "user:43", "doc:8f3", "a", "room 7/left", "r\u00e4ume/\u00fcber", "%00", "#"]
    keys = [word.encode() for word in words] + [f"user:{i}".encode() for i in range(1000, 1016)]
    sizes = [1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 96, 97, 127, 128, 129, 143, 144]
    sizes += [145, 192, 239, 240, 241, 255, 256, 257, 320, 448, 511, 512]
    by_size = [("0123456789abcdefghijklmnopqrstuvwxyz" * 15)[:size].encode() for size in sizes]
    three = [("n1", 1000, "a"), ("n2", 1000, "b"), ("n3", 1000, "c")]
    zones = [(f"n{i}", 1000, "aaabb"[i]) for i in range(5)]
    weights = [("none", 0, "a"), ("half", 500, "a"), ("one", 1000, "b"), ("double", 2000, "c")]
    least = [("tiny", 1, "a"), ("rounded-up", 1500, "b"), ("rounded-down", 1166, "b")]
    names = [("x" * 64, 1000, "z" * 64), ("n10", 1000, "n1"), ("n1", 1000, ""), ("N1", 1000, "")]
    names += [("n-1", 1000, "a b\u00e9"), ("_", 1000, "%"), ("-", 1000, "n1"), ("n1-", 1000, "0")]
    many = [(f"{i:0>64}", 1000 + i, f"zone-{i % 3}") for i in range(24)]
    high = MASK64 - 1
    table = [
        ("empty", 0, 512, 2, [], keys[:3]),
        ("nobody-active", 0, 512, 2, [("n1", 0, "a"), ("n2", 0, "")], keys[:3]),
        ("single", 0, 512, 2, [("n1", 1000, "a")], keys[:3], [("n1", 0), ("n1", 1), ("n1", 511)]),
        ("three", 0, 512, 2, three, keys, [("n1", 0), ("n2", 9), ("n2", 10), ("n3", 511)]),
        ("four", 0, 512, 2, three + [("n4", 1000, "a")], keys),
        ("four-of-unequal-weight", 0, 512, 3, weights, keys),
        ("least-weights", 0, 3, 3, least, keys),
        ("two-zones", 0, 512, 3, zones, keys),
        ("two-zones-all-members", 0, 16, 5, zones, keys),
        ("no-zones", 0, 512, 3, [(node, weight, "") for node, weight, _ in zones], keys),
        ("fewer-than-replicas", 0, 512, 4, three[:2], keys[:8]),
        ("seed-1", 1, 64, 2, three, by_size, [("n1", 0), ("n1", 63)]),
        ("seed-high", high, 64, 2, three, by_size, [("n1", 0), ("n1", 63)]),
        ("seed-0", 0, 64, 2, three, by_size),
        ("odd-names", 7, 33, 8, names, keys, [("x" * 64, 0), ("x" * 64, 32), ("-", 10)]),
        ("many", 7, 5, 4, many, keys),
        ("small-before", 3, 4, 2, three, keys, [(f"n{n}", i) for n in (1, 2, 3) for i in range(4)]),
        ("small-added", 3, 4, 2, three + [("n4", 1000, "")], keys[:8]),
        ("small-removed", 3, 4, 2, [three[0], three[2]], keys[:8]),
        ("small-heavier", 3, 4, 2, [three[0], ("n2", 2000, "b"), three[2]], keys[:8]),
        ("small-empty", 3, 4, 2, [], keys[:1]),
    ]
    lines, rings = [HEADER], {}
    for row in table:
        rings[row[0]], block = write_ring(*row)
        lines += block
    for after in ("small-added", "small-removed", "small-heavier", "small-empty", "small-before"):
        lines += write_difference("small-before", after, rings)
    lines += write_difference("small-empty", "small-before", rings)
    print("\n".join(lines))


class Checker:
    """Reads a vector file line by line; each answer in it is compared with our own."""

    def __init__(self):
        self.rings = {}
        self.asked = {}
        self.name = None
        self.ring = None
        self.arcs = None
        self.checked = 0

    def expect(self, found, computed):
        self.checked += 1
        if found != computed:
            raise ValueError(f"the file says {found}, we compute {computed}")

    def the_ring(self):
        if self.ring is None:
            asked = self.asked
            self.ring = Ring(asked["seed"], asked["vnodes"], asked["members"])
            self.rings[self.name] = self.ring
        return self.ring

    def end_block(self):
        if self.arcs is not None:
            self.expect([], self.arcs)
        elif self.name is not None:
            self.the_ring()
        self.ring = self.name = self.arcs = None

    def line(self, word, rest):
        if word == "ring":
            self.end_block()
            self.name, self.asked = rest[0], {"members": []}
        elif word in ("seed", "vnodes", "replicas"):
            self.asked[word] = int(rest[0])
        elif word == "member":
            zone = urllib.parse.unquote(rest[2]) if len(rest) > 2 else ""
            self.asked["members"].append((rest[0], int(rest[1]), zone))
        elif word == "points":
            self.expect(int(rest[0]), len(self.the_ring().points))
        elif word == "digest":
            self.expect(rest[0], f"{self.the_ring().digest():016x}")
        elif word == "share":
            self.expect(int(rest[1]), self.the_ring().shares()[rest[0]])
        elif word == "point":
            text = Ring.point_text(rest[0], int(rest[1]))
            self.expect(rest[2], f"{self.the_ring().hash(text):016x}")
        elif word == "key":
            key_hash = self.the_ring().hash(urllib.parse.unquote_to_bytes(rest[0]))
            self.expect(rest[1], f"{key_hash:016x}")
            nodes = self.the_ring().preference(key_hash, self.asked["replicas"])
            self.expect(rest[2:], nodes)
            self.expect(rest[2:3], [self.the_ring().owner(key_hash)] if nodes else [])
        elif word == "difference":
            self.end_block()
            self.arcs = difference(self.rings[rest[0]], self.rings[rest[1]])
        elif word == "arc":
            first, last, old, new = self.arcs.pop(0)
            self.expect(rest, [f"{first:016x}", f"{last:016x}", old or ".", new or "."])
        else:
            raise ValueError(f"unknown word {word}")


def check(path):
    checker = Checker()
    with open(path, encoding="ascii") as file:
        for number, line in enumerate(file, 1):
            fields = line.split()
            if not fields or fields[0].startswith("#"):
                continue
            try:
                checker.line(fields[0], fields[1:])
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                print(f"{path}:{number}: {error}", file=sys.stderr)
                return 1
    try:
        checker.end_block()
    except ValueError as error:
        print(f"{path}: at its end: {error}", file=sys.stderr)
        return 1
    print(f"{path}: {checker.checked} answers agree")
    return 0 if checker.checked > 0 else 1


def main(arguments):
    if arguments == ["write"]:
        write()
        return 0
    if len(arguments) == 2 and arguments[0] == "check":
        return check(arguments[1])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
