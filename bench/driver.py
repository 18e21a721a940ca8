# SPDX-License-Identifier: Apache-2.0
"""Measures ringhop, beside what one would take instead.

scripts/bench [PART...] [--seconds S] [--rounds N] [--only WORD] [--json FILE] ...
scripts/bench --page FILE

Without PART, all of them:

{parts}

From `connect` to `redirect` each server runs by itself on one core, and the client
(bench/load_pubsub.c, the same for all) on the other; they take turns, and what is printed is the median of the rounds. CPU is that
of all processes of a server, from /proc. Below the tables stands each goal with what was measured.
Needs a build in build/ (or RINGHOP_BUILD), optimised to be worth quoting (meson setup build-release
--buildtype=release), and the `bench` packages of scripts/packages. Starts its own ZooKeeper and
servers on private ports of the loopback interface, and leaves nothing behind.
"""
import argparse
import contextlib
import json
import os
import pathlib
import resource
import signal
import sys
import tempfile
from dataclasses import dataclass

from harness.zookeeper import ZooKeeper

from . import (clients, forward, goals, handoff, lookup, moves, publish, rebalance, redirect,
               scaling)
from .client import Client
from .common import machine
from .results import Results, as_markdown
from .servers import RingHop, missing

# In the order in which they run and are shown.
MODULES = (clients, forward, redirect, lookup, publish, handoff, moves, rebalance, scaling)
PARTS = {
    "forward": forward.run,
    "redirect": redirect.run,
    "lookup": lookup.run,
    "copies": publish.run,
    "handoff": handoff.run,
    "moves": moves.run_moves,
    "crash": moves.run_crash,
    "channels": handoff.run_memory,
    "rebalance": rebalance.run,
    "view": rebalance.run_view,
    "scale": scaling.run,
}


@dataclass
class Bench:
    """What a part needs."""
    zookeeper: ZooKeeper
    folder: pathlib.Path        # an empty one
    arguments: argparse.Namespace
    results: Results
    faults: list

    @contextlib.contextmanager
    def going_on(self, name):
        """Around what may fail without stopping the rest."""
        try:
            yield
        except (AssertionError, OSError, RuntimeError) as error:
            self._fault(f"{name}: {error}")

    def lacks(self, name, needs):
        """Whether something of that is not installed; says so."""
        lacking = missing(needs)
        if lacking:
            self._fault(f"{name}: not measured, {lacking}")
        return bool(lacking)

    def _fault(self, text):
        if text not in self.faults:
            print(text, file=sys.stderr, flush=True)
            self.faults.append(text)


def arguments_of(words):
    doc = __doc__.format(parts="\n".join(module.HELP for module in MODULES))
    parser = argparse.ArgumentParser(prog="scripts/bench", description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--warm", type=int, default=1, help="seconds before it that do not count")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=2000, help="of publishes when latency counts")
    parser.add_argument("--connections", type=int, default=10000)
    parser.add_argument("--channels", type=int, default=100000, help="that are handed over")
    parser.add_argument("--idle-channels", type=int, default=200000)
    parser.add_argument("--view-channels", type=int, default=1000000)
    parser.add_argument("--scale-channels", type=int, default=300)
    parser.add_argument("--only", action="append", default=[], metavar="WORD",
                        help="beside ringhop only what has this in its name; may be repeated")
    parser.add_argument("--perf", type=pathlib.Path, metavar="FOLDER",
                        help="write there where ringhop spends its time, by perf; figures are then "
                             "not worth quoting")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--page", type=pathlib.Path, metavar="FILE",
                        help="measure nothing: print what --json wrote there, as tables in Markdown")
    arguments = parser.parse_args(words)
    every = (*clients.PARTS, *PARTS)
    unknown = set(arguments.parts) - set(every)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    arguments.parts = arguments.parts or every
    arguments.span = {"seconds": arguments.seconds, "warm": arguments.warm}
    return arguments


def measure(zookeeper, folder, arguments, results):
    """All parts; what failed."""
    runs = {name: run for name, run in PARTS.items() if name in arguments.parts}
    of_clients = [name for name in clients.PARTS if name in arguments.parts]
    if of_clients:
        runs = {"clients": lambda bench: clients.run(bench, of_clients), **runs}
    faults = []
    for name, run in runs.items():
        (folder / name).mkdir()
        bench = Bench(zookeeper, folder / name, arguments, results, faults)
        with bench.going_on(name):
            run(bench)
    return faults


AUTOGROUP = pathlib.Path("/proc/self/autogroup")


@contextlib.contextmanager
def going_first():
    """What else runs on this machine comes after what is measured, as far as that is allowed. Where the
    scheduler shares out time among sessions, that goes for this session as well, for as long as it lasts."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    before = None
    with contextlib.suppress(OSError):
        text = AUTOGROUP.read_text()            # "/autogroup-12 nice 0"
        AUTOGROUP.write_text("-10")
        before = text.split()[-1]
    try:
        yield
    finally:
        if before is not None:
            AUTOGROUP.write_text(before)


def show(results, parts):
    """Prints all of it; the goals, judged."""
    for module in MODULES:
        module.show(results)
    judged = goals.judge(results, parts)
    goals.show(judged, results.lay_out)
    print()
    for row, version in results.versions.items():
        print(f"{row}: {version}")
    return judged


def show_page(path):
    """The same of what an earlier run wrote."""
    try:
        figures = json.loads(path.read_text())
        results = Results.from_json(figures["parts"], figures["versions"])
        head, parts = f"{figures['machine']}\n{figures['command']}", figures["measured"]
    except (OSError, ValueError) as error:
        sys.exit(f"scripts/bench: {path}: {error}")
    except (AttributeError, KeyError, TypeError):
        sys.exit(f"scripts/bench: {path}: not written by --json")
    results.lay_out = as_markdown
    print(head)
    show(results, parts)
    return 0


def main(words):
    arguments = arguments_of(words)
    if arguments.page:
        return show_page(arguments.page)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))   # through all that has to be stopped
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = Results(arguments.only)
    if arguments.perf:
        arguments.perf.mkdir(parents=True, exist_ok=True)
    Client.profiles = arguments.perf
    where, command = machine(), " ".join(["scripts/bench", *words])
    print(f"{where}\n{command}", flush=True)
    with going_first(), tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        zookeeper = ZooKeeper(folder / "zookeeper")
        zookeeper.start()
        RingHop.zookeeper = zookeeper
        try:
            faults = measure(zookeeper, folder, arguments, results)
        finally:
            zookeeper.stop()
    judged = show(results, arguments.parts)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps({
            "machine": where, "command": command, "measured": list(arguments.parts),
            "versions": results.versions, "parts": results.as_json(),
            "goals": goals.as_json(judged)}, indent=1) + "\n")
    for fault in faults:
        print(f"failed: {fault}")
    return 1 if faults else 0
