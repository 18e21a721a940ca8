# SPDX-License-Identifier: Apache-2.0
"""What ringhop is meant to reach, as ratios within one run where there is something to compare with.
Each is a line with what was measured, and whether that is enough."""
from dataclasses import dataclass
from typing import Callable

from . import handoff, publish

OURS = "ringhop"
NCHAN = "nginx + nchan"


@dataclass
class Goal:
    part: str
    text: str
    measured: Callable      # of the results; None if something is missing
    relation: str           # "<=", ">=" or "<"
    limit: float
    unit: str = "x"

    def met(self, value):
        return {"<=": value <= self.limit, ">=": value >= self.limit,
                "<": value < self.limit, ">": value > self.limit}[self.relation]


def value(part, row, metric):
    return lambda results: results.get(part, row, metric)


def ratio(part, metric, above, below):
    """The metric of one row divided by that of another."""
    def measured(results):
        values = results.get(part, above, metric), results.get(part, below, metric)
        return values[0] / values[1] if None not in values else None
    return measured


def least(part, metric, ours):
    """The smallest ratio of any other row to ours."""
    def measured(results):
        rows = {row: results.get(part, row, metric) for row in results.rows(part)}
        rest = [cost for row, cost in rows.items() if row != ours and cost is not None]
        return min(rest) / rows[ours] if rest and rows.get(ours) is not None else None
    return measured


GOALS = [
    Goal("memory", "idle WebSocket with its idle channel, resident",
         value("clients", OURS, "memory_bytes"), "<=", 1024, "bytes"),
    Goal("memory", "idle WebSocket with its idle channel, resident, aim",
         value("clients", OURS, "memory_bytes"), "<=", 700, "bytes"),
    Goal("memory", "idle WebSocket, resident, of nchan's",
         ratio("clients", "memory_bytes", OURS, NCHAN), "<=", 0.1),
    Goal("connect", "CPU to connect and upgrade, of nchan's",
         ratio("clients", "connect_us", OURS, NCHAN), "<=", 1.0),
    Goal("connect", "CPU to connect and upgrade, of the bare server's, aim",
         ratio("clients", "connect_us", OURS, "bare epoll"), "<=", 1.3),
    Goal("publish", "publish to one, messages per second of CPU, times nchan's",
         ratio("clients", "publish_us", NCHAN, OURS), ">=", 1.3),
    Goal("publish", "publish to one, messages per second of CPU, times npm ws's",
         ratio("clients", "publish_us", "npm ws", OURS), ">=", 2.0),
    Goal("publish", "publish to one, CPU, of the bare server's, aim",
         ratio("clients", "publish_us", OURS, "bare epoll"), "<=", 1.25),
    Goal("latency", "median latency of publishes at a set rate, of nchan's",
         ratio("clients", "latency_p50_us", OURS, NCHAN), "<", 1.0),
    Goal("fanout", "fan-out to 1,000, deliveries per second of CPU, times the best other's",
         least("clients", "fanout_us", OURS), ">", 1.0),
    Goal("forward", "publish over two nodes: CPU of nchan with Redis, times ours",
         ratio("forward", "publish_us", "nchan + redis", OURS), ">=", 4.0),
    Goal("forward", "publish over two nodes: CPU of nchan with Redis, nothing stored, times ours",
         ratio("forward", "publish_us", "nchan + redis, nostore", OURS), ">=", 4.0),
    Goal("forward", "publish over two nodes: CPU of the NATS cluster, times ours",
         ratio("forward", "publish_us", "NATS cluster", OURS), ">=", 1.0),
    Goal("redirect", "`where`, answers per second of CPU, of nginx's return 307",
         ratio("redirect", "cpu_us", "nginx return 307", "ringhop where"), ">=", 0.8),
    Goal("redirect", "307, answers per second of CPU, of nginx's return 307",
         ratio("redirect", "cpu_us", "nginx return 307", "ringhop 307"), ">=", 0.8),
    Goal("rebalance", "p99 of publishes while a node is drained, times that before",
         value("rebalance", "all channels", "p99_ratio"), "<", 1.5),
    Goal("rebalance", "p99 of publishes to channels that stay while a node is drained, times that before",
         value("rebalance", "those that stay", "p99_ratio"), "<", 1.5),
    Goal("view", "longest answer of all while the view changes",
         lambda results: max((results.most("view", row, "busy_max_ms")
                              for row in results.rows("view")), default=None), "<=", 5, "ms"),
    Goal("handoff", "channels handed over by one node, empty, R = 1",
         value("handoff", handoff.row_of(1, 0), "per_s"), ">=", 20000, "a second"),
    Goal("handoff", f"channels handed over by one node, {handoff.MESSAGES} messages in each, R = 2",
         value("handoff", handoff.row_of(2, handoff.MESSAGES), "per_s"), ">=", 20000, "a second"),
    Goal("moves", "gap of a planned move, p99, R = 2",
         value("moves", "R = 2, default pace", "gap_p99_ms"), "<", 50, "ms"),
    Goal("crash", "SIGKILL to the first delivery, p99, R = 2",
         value("crash", "R = 2", "delivery_p99_ms"), "<", 500, "ms"),
    Goal("copies", "CPU of a forwarded publish, R = 1",
         value("copies", "R = 1, forwarded", "publish_us"), "<=", 24, "us"),
    Goal("copies", "CPU of a forwarded publish, R = 2",
         value("copies", "R = 2, forwarded", "publish_us"), "<=", 48, "us"),
    Goal("copies", "CPU of a publish by the peer protocol, both ends, R = 1",
         lambda results: publish.peer_us(results, 1), "<=", 15, "us"),
    Goal("copies", "CPU of a publish by the peer protocol, both ends, R = 2",
         lambda results: publish.peer_us(results, 2), "<=", 30, "us"),
    Goal("copies", "what the forward hop adds to the median, R = 1",
         lambda results: publish.hop_us(results, 1), "<=", 60, "us"),
    Goal("copies", "what the forward hop adds to the median, R = 2",
         lambda results: publish.hop_us(results, 2), "<=", 60, "us"),
    Goal("channels", "idle channel at its owner", value("channels", "R = 2", "owner_bytes"), "<=",
         400, "bytes"),
    Goal("channels", "idle channel at a replica", value("channels", "R = 2", "replica_bytes"), "<=",
         300, "bytes"),
]


def judge(results, parts):
    """[(goal, measured, verdict)] of the parts that were run."""
    judged = []
    for goal in GOALS:
        if goal.part in parts:
            measured = goal.measured(results)
            judged.append((goal, measured, "not measured" if measured is None else
                           "goal met" if goal.met(measured) else "not met"))
    return judged


def show(judged, lay_out):
    lines = [["", "measured", "goal", ""]]
    for goal, measured, verdict in judged:
        shown = "-" if measured is None else f"{measured:,.2f}"
        lines.append([f"{goal.part}: {goal.text}", shown,
                      f"{goal.relation} {goal.limit:,g} {goal.unit}", verdict])
    print("\ngoals")
    print("\n".join(lay_out(lines)))


def as_json(judged):
    return [{"part": goal.part, "goal": goal.text, "relation": goal.relation, "limit": goal.limit,
             "unit": goal.unit, "measured": measured, "verdict": verdict}
            for goal, measured, verdict in judged]
