# SPDX-License-Identifier: Apache-2.0
"""What clients feel: the gap when their channel moves as planned, and when its owner is killed."""
from .common import NO_PACE, Listeners, cluster_of, keys_of
from .results import table
from .servers import Nodes, undisturbed

CRASHED = 1000
HELP = f"""\
moves     the gap that clients see when their channels move as planned
crash     the gap that {CRASHED} clients see when the owner of their channels is killed"""


def run_moves(bench):
    count = bench.arguments.connections
    for replicas in (1, 2):
        for name, pace in (("default pace", {}), ("no pace", {"rebalance": NO_PACE})):
            for _ in range(bench.arguments.rounds):
                with cluster_of(bench, 3, replicas, **pace) as cluster:
                    bench.results.add("moves", f"R = {replicas}, {name}", _move(cluster, count))


def _move(cluster, count):
    node = cluster["n1"]
    with Listeners() as listeners:
        listeners.open((node.client_port, key) for key in keys_of(cluster, node, count))
        cluster.wait_whole(bound=60)
        with undisturbed(listeners.pid, Nodes(cluster, node).pids()):
            seen = listeners.wait(count, 120, lambda: cluster.cli("drain", "n1"))
    return {"moved": seen["moves"]["count"], "gap_p50_ms": seen["moves"]["p50_us"] / 1000,
            "gap_p99_ms": seen["moves"]["p99_us"] / 1000,
            "gap_max_ms": seen["moves"]["max_us"] / 1000, "not_recovered": seen["not_recovered"]}


def run_crash(bench):
    count = min(bench.arguments.connections, CRASHED)
    for replicas in (1, 2):
        with cluster_of(bench, 3, replicas) as cluster:
            for _ in range(bench.arguments.rounds):
                bench.results.add("crash", f"R = {replicas}", _crash(cluster, count))


def _crash(cluster, count):
    node = cluster["n1"]
    with Listeners([node.client_port for node in cluster.nodes.values()]) as listeners:
        listeners.open((node.client_port, key) for key in keys_of(cluster, node, count))
        listeners.publish_when_back()
        cluster.wait_whole(bound=60)
        with undisturbed(listeners.pid, Nodes(cluster, node).pids()):
            listeners.kill(node.process.pid)
            seen = listeners.wait(count, 30)
    node.process.wait()
    node.start()
    cluster.wait_settled(bound=60)
    return {"back": seen["breaks"]["count"], "gap_p50_ms": seen["breaks"]["p50_us"] / 1000,
            "gap_p99_ms": seen["breaks"]["p99_us"] / 1000,
            "delivery_p50_ms": seen["deliveries"]["p50_us"] / 1000,
            "delivery_p99_ms": seen["deliveries"]["p99_us"] / 1000,
            "not_recovered": seen["not_recovered"]}


def show(results):
    table(results, "moves", [("moved", "moved"), ("gap_p50_ms", "p50 ms"), ("gap_p99_ms", "p99 ms"),
                             ("gap_max_ms", "max ms"), ("not_recovered", "not recovered")], None,
          "planned moves: from `moved` to `welcome` at the new owner")
    table(results, "crash", [("back", "back"), ("gap_p50_ms", "p50 ms"), ("gap_p99_ms", "p99 ms"),
                             ("delivery_p50_ms", "delivery p50"),
                             ("delivery_p99_ms", "delivery p99"),
                             ("not_recovered", "not recovered")], None,
          "SIGKILL of the owner: from the break to `welcome`; from SIGKILL to the first delivery")
