# SPDX-License-Identifier: Apache-2.0
"""What a change of the cluster asks of ZooKeeper and of the peer links, for clusters of several sizes:
the numbers that docs/scaling.md holds against its model."""
import time

from harness.wait import wait_for

from .common import cluster_of
from .results import table

SIZES = (3, 6, 12)
# What ZooKeeper counts (`mntr`), and how it is called here. Transactions are counted by the zxid: each
# proof is one, and so is one that was refused.
COUNTED = {
    "requests": ("zk_packets_received",),
    "watches": ("zk_sum_node_children_watch_count", "zk_sum_node_changed_watch_count",
                "zk_sum_node_created_watch_count"),
    "bytes_in": ("zk_bytes_received_count",),
}
IDLE_S = 10
HELP = """\
scale     what a change asks of ZooKeeper and of the peer links, with 3, 6 and 12 nodes and
          --scale-channels channels"""


class Counters:
    """Of ZooKeeper and of all nodes together."""

    def __init__(self, zookeeper, cluster):
        lines = (line.split("\t") for line in zookeeper.command("mntr").splitlines())
        of = {line[0]: line[1] for line in lines if len(line) == 2}
        self.at = time.monotonic()
        self.seen = {name: sum(float(of.get(key, 0)) for key in keys)
                     for name, keys in COUNTED.items()}
        zxid = zookeeper.command("srvr").partition("Zxid: ")[2].split()[0]
        self.seen["transactions"] = int(zxid, 16)
        self.sent = {node.id: node.metrics()["ringhop_peer_messages_sent_total"]
                     for node in cluster.running()}

    def since(self, before):
        found = {name: value - before.seen[name] for name, value in self.seen.items()}
        found["peer_messages"] = sum(value - before.sent.get(node, 0)
                                     for node, value in self.sent.items())
        return self.at - before.at, found


def _window(zookeeper, cluster, seconds):
    before = Counters(zookeeper, cluster)
    time.sleep(seconds)     # the measured time itself
    return Counters(zookeeper, cluster).since(before)


def _wait_quiet(zookeeper, cluster):
    """Until nobody says anything for a second."""
    wait_for(lambda: _window(zookeeper, cluster, 1)[1]["peer_messages"] == 0, 60, "quiet links")


def _idle_rates(zookeeper, cluster):
    """What happens each second when nothing does."""
    _wait_quiet(zookeeper, cluster)
    seconds, found = _window(zookeeper, cluster, IDLE_S)
    return {name: value / seconds for name, value in found.items()}


def _change(zookeeper, cluster, rates, change):
    """One change until all is in place, less what would have happened anyway."""
    before = Counters(zookeeper, cluster)
    change()
    cluster.wait_settled(bound=60)
    cluster.wait_whole(bound=60)
    _wait_quiet(zookeeper, cluster)
    seconds, found = Counters(zookeeper, cluster).since(before)
    return {"seconds": seconds, **{of: value - rates[of] * seconds for of, value in found.items()}}


def run(bench):
    for nodes in SIZES:
        with cluster_of(bench, nodes, 2) as cluster:
            first, last = cluster["n1"], cluster[f"n{nodes}"]
            for number in range(bench.arguments.scale_channels):
                assert first.publish(f"c{number}", "x").status == 201
            cluster.wait_whole(bound=60)
            rates = _idle_rates(bench.zookeeper, cluster)
            bench.results.add("scale", f"{nodes} nodes, idle", {"seconds": 1, **rates})
            for name, change in (("drain", lambda: cluster.cli("drain", "--wait", last.id)),
                                 ("join", lambda: cluster.cli("join", last.id)),
                                 ("kill", last.kill), ("start", last.start)):
                bench.results.add("scale", f"{nodes} nodes, {name}",
                                  _change(bench.zookeeper, cluster, rates, change))


def show(results):
    table(results, "scale", [("seconds", "seconds"), ("requests", "requests"), ("watches", "watches"),
                             ("bytes_in", "bytes in"), ("transactions", "transactions"),
                             ("peer_messages", "peer messages")], None,
          "a change, R = 2: what it asks of ZooKeeper and of the peer links, less what an idle cluster "
          "does in the same time")
