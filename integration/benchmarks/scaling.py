# SPDX-License-Identifier: Apache-2.0
"""What a change of the cluster asks of ZooKeeper and of the peer links, for clusters of several sizes:
the numbers that docs/scaling.md holds against its model."""
import time

from harness.wait import wait_for

from .common import running

# What ZooKeeper counts (`mntr`), and how it is called here. Transactions are counted by the zxid: each
# proof is one, and so is one that was refused.
COUNTED = {
    "requests": ("zk_packets_received",),
    "watches": ("zk_sum_node_children_watch_count", "zk_sum_node_changed_watch_count",
                "zk_sum_node_created_watch_count"),
    "bytes in": ("zk_bytes_received_count",),
}
IDLE_S = 10


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
        found["peer messages"] = sum(value - before.sent.get(node, 0)
                                     for node, value in self.sent.items())
        return self.at - before.at, found


def window(zookeeper, cluster, seconds):
    before = Counters(zookeeper, cluster)
    time.sleep(seconds)     # the measured time itself
    return Counters(zookeeper, cluster).since(before)


def wait_quiet(zookeeper, cluster):
    """Until nobody says anything for a second."""
    wait_for(lambda: window(zookeeper, cluster, 1)[1]["peer messages"] == 0, 60, "quiet links")


def idle_rates(zookeeper, cluster):
    """What happens each second when nothing does."""
    wait_quiet(zookeeper, cluster)
    seconds, found = window(zookeeper, cluster, IDLE_S)
    return {name: value / seconds for name, value in found.items()}


def measure(zookeeper, cluster, rates, name, change):
    """One change until all is in place, less what would have happened anyway."""
    count = len(cluster.running())
    before = Counters(zookeeper, cluster)
    change()
    cluster.wait_settled(bound=60)
    cluster.wait_whole(bound=60)
    wait_quiet(zookeeper, cluster)
    seconds, found = Counters(zookeeper, cluster).since(before)
    more = {of: value - rates[of] * seconds for of, value in found.items()}
    print(f"  {count:3} nodes, {name:6} {seconds:5.1f} s: "
          + ", ".join(f"{value:.0f} {of}" for of, value in more.items()), flush=True)


def run_scale(zookeeper, folder, arguments):
    print(f"scale: what changes cost with {arguments.channels} channels, R=2; less what an idle "
          "cluster does in the same time")
    for nodes in (3, 6, 12):
        with running(zookeeper, folder / f"scale{nodes}", nodes, 2) as cluster:
            first = cluster["n1"]
            for number in range(arguments.channels):
                assert first.publish(f"c{number}", "x").status == 201
            cluster.wait_whole(bound=60)
            rates = idle_rates(zookeeper, cluster)
            print(f"  {nodes:3} nodes, idle, each second: "
                  + ", ".join(f"{value:.1f} {of}" for of, value in rates.items()), flush=True)
            last = cluster[f"n{nodes}"]
            measure(zookeeper, cluster, rates, "drain", lambda: cluster.cli("drain", "--wait", last.id))
            measure(zookeeper, cluster, rates, "join", lambda: cluster.cli("join", last.id))
            measure(zookeeper, cluster, rates, "kill", last.kill)
            measure(zookeeper, cluster, rates, "start", last.start)
