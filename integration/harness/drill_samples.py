# SPDX-License-Identifier: Apache-2.0
"""Results of drills as `ringhop drill --json` gives them, without a drill: for the report's page.
Everything is computed from a small model, so that the numbers of a sample fit each other."""
import bisect
import hashlib
import math
import random

CELLS = 720
INTERVAL_MS = 250


def _hash(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def ring(epoch, weights, points=64):
    """The ring of nodes with these weights ({"n1": 1}), as the result shows it."""
    nodes = sorted(weights)
    marks = sorted((_hash(f"{node}/{index}"), number) for number, node in enumerate(nodes)
                   for index in range(round(points * weights[node])))
    hashes = [mark for mark, _ in marks]
    cells = [marks[bisect.bisect_left(hashes, ((2 * cell + 1) << 64) // (2 * CELLS)) % len(marks)][1]
             for cell in range(CELLS)]
    return {"epoch": epoch, "cells": cells,
            "members": [{"node": node, "weight": weights[node],
                         "share": cells.count(number) / CELLS} for number, node in enumerate(nodes)]}


def _owners(shown):
    return [shown["members"][member]["node"] for member in shown["cells"]]


class Sample:
    """A drill in the making: wait() and change() go on in time, result() gives what was made."""

    def __init__(self, scenario, description, nodes, connections=45_000, channels=9_000, rate=2_000,
                 seed=1):
        self.random = random.Random(seed)
        self.scenario, self.description = scenario, description
        self.load = {"channels": channels, "connections": connections, "workers": 3, "rate": rate,
                     "payload_bytes": 128}
        self.weights = {f"n{number}": 1 for number in range(1, nodes + 1)}
        self.nodes = list(self.weights)
        self.epoch = 12
        self.steps, self.gaps, self.problems = [], [], []
        self.totals = {name: 0 for name in (
            "published", "acknowledged", "unknown", "refused", "retried", "delivered", "replayed",
            "lost", "missed", "skipped", "duplicated", "reordered", "contradicted", "gaps_told",
            "resets_explained", "resets_unexplained", "disconnected_unaffected", "not_connected",
            "moved", "redirected", "connects", "failed_connects")}
        self.series = {"interval_ms": INTERVAL_MS, "nodes": self.nodes, "at_ms": [],
                       "connections": {node: [] for node in self.nodes}, "published": [],
                       "delivered": [], "latency_p50_ms": [], "latency_p99_ms": [], "moves": []}
        self.held = self._spread()

    def _spread(self):
        return {member["node"]: round(member["share"] * self.load["connections"])
                for member in ring(self.epoch, self.weights)["members"]}

    def now(self):
        return len(self.series["at_ms"]) * INTERVAL_MS

    def _sample(self, held, moves=0, slower=1.0, silent=False):
        draw, series = self.random.gauss, self.series
        published = 0 if silent else round(self.load["rate"] * INTERVAL_MS / 1000 * draw(1, 0.02))
        each = self.load["connections"] // self.load["channels"]
        series["at_ms"].append(self.now() + INTERVAL_MS)
        for node in self.nodes:
            series["connections"][node].append(round(held.get(node, 0)))
        series["published"].append(published)
        series["delivered"].append(published * each)
        median = 0.42 * abs(draw(1, 0.06)) * slower ** 0.3
        series["latency_p50_ms"].append(None if silent else round(median, 3))
        series["latency_p99_ms"].append(None if silent else round(median * 3.5 * slower, 3))
        series["moves"].append(round(moves))
        self.totals["published"] += published
        self.totals["delivered"] += published * each

    def wait(self, ms):
        for _ in range(ms // INTERVAL_MS):
            self._sample(self.held)

    def change(self, name, weights, settle_ms=1500, gap_ms=4.0, slower=3.0, problem=None):
        """A step after which the ring has these nodes."""
        before = ring(self.epoch, self.weights)
        self.weights = dict(weights)
        for node in self.weights:
            if node not in self.nodes:
                self.nodes.append(node)
                self.series["connections"][node] = [0] * len(self.series["at_ms"])
        after = ring(self.epoch + 3, self.weights)
        moved = sum(was != now for was, now in zip(_owners(before), _owners(after)))
        moved = round(moved / CELLS * self.load["connections"])
        self._go(name, moved, settle_ms, gap_ms, slower, problem, before, after)

    def event(self, name, settle_ms=500, slower=1.0, problem=None):
        """A step that leaves the ring alone."""
        self._go(name, 0, settle_ms, 0, slower, problem, None, None)

    def _go(self, name, moved, settle_ms, gap_ms, slower, problem, before, after):
        started, old, epoch = self.now(), self.held, self.epoch
        if before:
            self.epoch += 3
            self.held = self._spread()
        parts = max(1, settle_ms // INTERVAL_MS)
        for part in range(1, parts + 1):
            mixed = {node: old.get(node, 0) + (self.held.get(node, 0) - old.get(node, 0)) * part / parts
                     for node in self.nodes}
            self._sample(mixed, moved / parts, slower)
        gaps = [self.random.lognormvariate(math.log(gap_ms), 0.7) for _ in range(moved)]
        self.gaps += gaps
        actual = moved - (moved > 100 and self.random.randrange(3))
        self.totals["moved"] += actual
        self.steps.append({
            "name": name, "started_ms": started, "settled_ms": None if problem else self.now(),
            "epoch_before": epoch, "epoch_after": self.epoch, "ring_before": before,
            "ring_after": after, "expected_moved": moved if before else None,
            "actual_moved": actual, "disconnected_unaffected": 0, "gap": _quantiles(gaps),
            "problem": problem})
        if problem:
            self.problems.append(f"{name}: {problem}")

    def result(self, **totals):
        """All of it; `totals` replaces counts."""
        connections = self.load["connections"]
        self.totals.update(acknowledged=self.totals["published"], redirected=connections * 3 // 4,
                           connects=connections + self.totals["moved"])
        self.totals.update(totals)
        return {
            "scenario": self.scenario, "description": self.description,
            "started_at": 1_795_579_200_000, "duration_ms": self.now(), "ok": not self.problems,
            "problems": self.problems, "version": "0.1.0", "machine": f"{len(self.nodes)} nodes on this machine",
            "load": self.load, "replicas": 2, "totals": self.totals,
            "publish_latency": _latency(self.series),
            "gap": {**_quantiles(self.gaps), "histogram": _histogram(self.gaps)},
            "steps": self.steps, "series": self.series}


def _quantiles(values):
    ordered = sorted(values)
    if not ordered:
        return {"count": 0, "p50_ms": 0, "p99_ms": 0, "max_ms": 0}
    return {"count": len(ordered), "p50_ms": ordered[len(ordered) // 2],
            "p99_ms": ordered[len(ordered) * 99 // 100], "max_ms": ordered[-1]}


def _latency(series):
    medians, highest = ([ms for ms in series[name] if ms is not None]
                        for name in ("latency_p50_ms", "latency_p99_ms"))
    if not medians:
        return _quantiles([])
    return {"count": sum(series["published"]), "p50_ms": sorted(medians)[len(medians) // 2],
            "p99_ms": sorted(highest)[len(highest) // 2], "max_ms": max(highest)}


def _histogram(values):
    bounds = [2 ** power for power in range(15)]
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect.bisect_left(bounds, value)] += 1
    return [{"up_to_ms": bound, "count": count} for bound, count in zip([*bounds, None], counts)]


# --- The samples -----------------------------------------------------------------------------------

def scale_out():
    drill = Sample("scale-out", "A fourth and a fifth node join while everything runs.", nodes=3)
    drill.wait(5_000)
    drill.change("add n4", {**drill.weights, "n4": 1}, settle_ms=2_250)
    drill.wait(6_000)
    drill.change("add n5", {**drill.weights, "n5": 2}, settle_ms=3_000)
    drill.wait(5_000)
    return drill.result()


def node_crash():
    drill = Sample("node-crash", "A node is killed, and comes back.", nodes=4, seed=2)
    drill.wait(5_000)
    drill.change("kill n3", {node: 1 for node in ("n1", "n2", "n4")}, settle_ms=2_000, gap_ms=140,
                 slower=120)
    drill.wait(8_000)
    drill.change("start n3", {**drill.weights, "n3": 1}, settle_ms=2_500)
    drill.wait(5_000)
    drill.event("zookeeper stop", settle_ms=250)
    drill.wait(3_000)
    return drill.result(resets_explained=drill.steps[0]["actual_moved"], retried=118)


def rolling_restart(nodes=12, minutes=6):
    drill = Sample("rolling-restart", "Every node is drained, stopped and started again, one after the "
                   "other, under full load.", nodes=nodes, connections=100_000, channels=20_000, seed=3)
    pause = minutes * 60_000 // (2 * nodes) // 250 * 250 - 2_000
    for node in list(drill.weights):
        drill.wait(pause)
        drill.change(f"remove {node}", {name: 1 for name in drill.weights if name != node}, 2_000)
        drill.wait(pause)
        drill.change(f"start {node}", {**drill.weights, node: 1}, 2_000)
    drill.wait(3_000)
    return drill.result()


def failed():
    """Both copies of many channels are killed; the cluster does not settle."""
    drill = Sample("two-crashes", "Two of three nodes are killed at once: more than two copies can bear.",
                   nodes=3, connections=300, channels=100, rate=50, seed=4)
    drill.wait(2_000)
    drill.change("kill n2", {"n1": 1, "n3": 1}, settle_ms=500, gap_ms=300, slower=200)
    drill.change("kill n3", {"n1": 1}, settle_ms=20_000, gap_ms=9_000, slower=900,
                 problem="the cluster had not settled after 20 s: n1 still waits for the reports of n2 and n3")
    for _ in range(8):
        drill._sample(drill.held, silent=True)
    drill.problems += [
        "lost: 412 messages were acknowledged and did not arrive at 37 connections, the first of them "
        "seq 118 of drill/channel/00000000000000000000000000000000000000000000000000000042",
        "5 connections broke and no step says why: node n1, code 1006",
        "<script>alert('a node may have any name')</script>"]
    return drill.result(lost=400, missed=12, resets_unexplained=5, gaps_told=61, unknown=9,
                        resets_explained=200, disconnected_unaffected=1_203)


def quiet():
    """One step that moves nothing: no gaps, no ring."""
    drill = Sample("zookeeper-outage", "ZooKeeper is away for a while.", nodes=1, connections=20,
                   channels=10, rate=5)
    drill.wait(1_000)
    drill.event("zookeeper stop")
    drill.wait(1_000)
    return drill.result()


def broken_at_once():
    """Ended before the load began."""
    drill = Sample("scale-in", "A node leaves.", nodes=2, connections=10, channels=10, rate=1)
    drill.problems.append("n2 did not become ready within 15 s; its log ends with: address in use")
    return drill.result(redirected=0, connects=0)


SAMPLES = {made.__name__: made for made in (scale_out, node_crash, rolling_restart, failed, quiet,
                                            broken_at_once)}
