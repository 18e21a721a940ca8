# SPDX-License-Identifier: Apache-2.0
"""How many channels a second one node can hand over, and what an idle one costs in memory."""
import threading
import time

from harness.wait import wait_for

from .client import Client
from .common import NO_PACE, cluster_of, keys_of, make_channels
from .results import table
from .servers import Nodes, cpu_seconds, rss_bytes

MESSAGES = 20
PAYLOAD = 200
HELP = f"""\
handoff   channels that one node hands over in a second, empty and with {MESSAGES} messages of {PAYLOAD} bytes
channels  memory of an idle channel without connections, at its owner and at a replica"""


def row_of(replicas, messages):
    return f"R = {replicas}, {messages} messages"


def run(bench):
    for replicas in (1, 2):
        for messages, part in ((0, 1), (MESSAGES, 5)):
            for _ in range(bench.arguments.rounds):
                with cluster_of(bench, 3, replicas, rebalance=NO_PACE) as cluster:
                    bench.results.add("handoff", row_of(replicas, messages),
                                      _drain(cluster, messages, bench.arguments.channels // part))


def _drain(cluster, messages, count):
    node = cluster["n1"]
    keys = keys_of(cluster, node, count)
    make_channels(node, keys)
    if messages:
        with Client(Nodes(cluster, node)) as client:
            client.keys(keys)
            client.publish(count=messages * count, bytes=PAYLOAD)
    cluster.wait_whole(bound=60)
    pids = [node.process.pid]
    before = cpu_seconds(pids)
    epoch = node.ring()["epoch"]
    drain = threading.Thread(target=cluster.cli, args=("drain", "n1"))
    drain.start()
    # From when the node knows that it has to.
    wait_for(lambda: node.status()["epoch"] > epoch, 30, "the new epoch", every=0.001)
    began = time.monotonic()
    wait_for(lambda: node.acting() == 0, 300, "nothing is left", every=0.005)
    took = time.monotonic() - began
    cpu = cpu_seconds(pids) - before
    drain.join()
    return {"channels": count, "per_s": count / took, "cpu_us": cpu / count * 1e6}


def run_memory(bench):
    count = bench.arguments.idle_channels
    for replicas in (1, 2):
        with cluster_of(bench, 2, replicas) as cluster:
            cluster.cli("weight", "n2", "0.001")
            cluster.wait_settled()
            owner, replica = ([cluster[name].process.pid] for name in ("n1", "n2"))
            make_channels(cluster["n1"], keys_of(cluster, cluster["n1"], 1000, "warm"))
            keys = keys_of(cluster, cluster["n1"], count)
            before = rss_bytes(owner), rss_bytes(replica)
            make_channels(cluster["n1"], keys)
            cluster.wait_whole(bound=60)
            found = {"channels": count, "owner_bytes": (rss_bytes(owner) - before[0]) / count}
            if replicas > 1:
                found["replica_bytes"] = (rss_bytes(replica) - before[1]) / count
            bench.results.add("channels", f"R = {replicas}", found)


def show(results):
    table(results, "handoff", [("channels", "channels"), ("per_s", "a second"),
                               ("cpu_us", "CPU us")], None,
          "handoff: all channels of n1, which is drained, without pace; CPU of n1")
    table(results, "channels", [("channels", "channels"), ("owner_bytes", "owner's bytes"),
                                ("replica_bytes", "replica's")], None,
          "idle channels without messages and connections: resident bytes of each")
