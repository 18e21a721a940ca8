# SPDX-License-Identifier: Apache-2.0
"""What a change of the ring does to those who publish meanwhile: a node is drained at default pace, and
one node with very many channels adopts a new view."""
import threading

from harness.wait import wait_for

from .client import Client
from .common import cluster_of
from .results import table
from .servers import CLIENT_CORE, Nodes, pin

PACE = 2000             # channels a second: what a node hands over by default
PROBES = 1000           # a second
WEIGHTS = ("0.002", "0.001")    # in turn: n2 has next to nothing, so next to nothing moves
HELP = """\
rebalance latency of publishes at --rate a second while a node is drained at default pace
view      how long a node with --view-channels channels answers nobody when the view changes"""


def run(bench):
    count = 3 * PACE * (bench.arguments.seconds + 4)
    keys = [f"k{number}" for number in range(count)]
    with cluster_of(bench, 3, 2) as cluster:
        stay = [key for key, owner in cluster.owners(keys).items() if owner != "n1"]
        nodes = Nodes(cluster, cluster["n2"])
        with Client(nodes) as client, Client(nodes) as client_of_stay:
            client_of_stay.keys(stay)
            client.keys(keys)
            client.publish(count=count)
            cluster.wait_whole(bound=60)
            for _ in range(bench.arguments.rounds):
                for row, one in (("all channels", client), ("those that stay", client_of_stay)):
                    bench.results.add("rebalance", row, _drain(cluster, one, bench.arguments))


def _drain(cluster, client, arguments):
    """Calm, and while n1 is drained; and how many channels were still to be moved at the end."""
    options = {**arguments.span, "rate": arguments.rate}
    calm = client.publish(**options)["answered"]
    node = cluster["n1"]
    epoch = node.ring()["epoch"]
    drain = threading.Thread(target=cluster.cli, args=("drain", "n1"))
    drain.start()
    wait_for(lambda: node.status()["epoch"] > epoch, 30, "the new epoch")
    busy = client.publish(**options)["answered"]
    left = node.acting()
    drain.join()
    wait_for(lambda: node.acting() == 0, 120, "n1 is drained")
    cluster.wait_whole(bound=60)
    cluster.cli("join", "n1")
    wait_for(lambda: node.acting() > 0, 60, "n1 is back")
    cluster.wait_whole(bound=120)
    return {"calm_p50_us": calm["p50_us"], "busy_p50_us": busy["p50_us"],
            "calm_p99_us": calm["p99_us"], "busy_p99_us": busy["p99_us"],
            "p99_ratio": busy["p99_us"] / calm["p99_us"], "left": left}


def run_view(bench):
    for replicas in (1, 2):
        _view(bench, replicas, bench.arguments.view_channels)


def _view(bench, replicas, count):
    limits = f"{{channels: {count + 100000}}}"
    with cluster_of(bench, 2, replicas, limits=limits) as cluster:
        node = cluster["n1"]
        cluster.cli("weight", "n2", WEIGHTS[1])
        cluster.wait_settled()
        with Client(Nodes(cluster, node)) as client:
            client.keys(f"k{number}" for number in range(count))
            client.publish(count=count, window=256)
            cluster.wait_whole(bound=300)
            pin(node.process.pid)
            pin(cluster["n2"].process.pid, CLIENT_CORE)     # it does not stand in the way of n1
            for number in range(bench.arguments.rounds):
                bench.results.add("view", f"R = {replicas}, {count} channels",
                                  _change(cluster, client, bench.arguments.seconds, number))


def _change(cluster, client, seconds, number):
    node = cluster["n1"]
    options = {"rate": PROBES, "seconds": seconds, "warm": 0}
    calm = client.get_of_busy("/v1/where?key=k", **options)
    epoch = node.ring()["epoch"]
    change = threading.Thread(target=cluster.cli, args=("weight", "n2", WEIGHTS[number % 2]))
    change.start()
    busy = client.get_of_busy("/v1/where?key=k", **options)
    change.join()
    wait_for(lambda: node.status()["epoch"] > epoch, 30, "the new epoch")
    settled = node.status()["copies"]["settled"]
    cluster.wait_whole(bound=120)
    return {"calm_max_ms": calm["answered"]["max_us"] / 1000,
            "busy_max_ms": busy["answered"]["max_us"] / 1000,
            "calm_p99_ms": calm["answered"]["p99_us"] / 1000,
            "busy_p99_ms": busy["answered"]["p99_us"] / 1000, "settled_in_time": int(settled)}


def show(results):
    table(results, "rebalance", [("calm_p50_us", "p50 us"), ("busy_p50_us", "while moving"),
                                 ("calm_p99_us", "p99 us"), ("busy_p99_us", "while moving"),
                                 ("p99_ratio", "ratio"), ("left", "still to move")], None,
          "publishes while n1 is drained at default pace")
    table(results, "view", [("calm_p99_ms", "p99 ms"), ("busy_p99_ms", "in the change"),
                            ("calm_max_ms", "max ms"), ("busy_max_ms", "in the change"),
                            ("settled_in_time", "done by the end")], None,
          f"`where` {PROBES} times a second, at a node that adopts a view meanwhile")
