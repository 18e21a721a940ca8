# SPDX-License-Identifier: Apache-2.0
"""The ring by itself: what ring_benchmark prints."""
import re
import subprocess

from harness.node import program

from .results import table
from .servers import CLIENT_CORE, on_core

HELP = """\
lookup    nanoseconds from a key to its owner, beside a textbook binary search"""


def run(bench):
    for _ in range(bench.arguments.rounds):
        done = subprocess.run([*on_core(CLIENT_CORE), program("ring_benchmark")],
                              capture_output=True, text=True, check=True)
        for row, values in parse(done.stdout).items():
            bench.results.add("lookup", row, values)


def parse(text):
    """{"8 nodes": {"key_ns": ..., "textbook_ns": ...}}: the minimum of its rounds, which a busy machine
    disturbs least."""
    found, row = {}, None
    for line in text.splitlines():
        if head := re.match(r"(\d+ nodes), \d+ points", line):
            row = found[head.group(1)] = {}
        elif of := re.match(r"  (lookup|textbook) of a key .* ([\d.]+) ns$", line):
            row["key_ns" if of.group(1) == "lookup" else "textbook_ns"] = float(of.group(2))
        elif of := re.match(r"  build and difference .* ([\d.]+) ms$", line):
            row["join_ms"] = float(of.group(1))
    return found


def show(results):
    table(results, "lookup", [("key_ns", "owner, ns"), ("textbook_ns", "textbook, ns"),
                              ("join_ms", "a join, ms")], None,
          "owner of a key of 36 bytes, 512 vnodes; rebuild and difference when a node joins")
