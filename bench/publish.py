# SPDX-License-Identifier: Apache-2.0
"""Acknowledged publishes within a cluster: how many a second, how long one takes, and what it costs all
nodes."""
from .client import Client
from .common import cluster_of, keys_of, load_peer
from .results import table
from .servers import Nodes

KEYS = 256
PAYLOAD = 200
HELP = """\
copies    200 bytes with one, two and three copies: by the owner (local), by another node
          (forwarded), and from a member without HTTP (peer)"""


def run(bench):
    for replicas in (1, 2, 3):
        with cluster_of(bench, 3, replicas) as cluster:
            keys = keys_of(cluster, cluster["n2"], KEYS)
            for road in ("local", "forwarded", "peer"):
                for _ in range(bench.arguments.rounds):
                    bench.results.add("copies", f"R = {replicas}, {road}",
                                      _measure(cluster, road, replicas, keys, bench.arguments))


def _measure(cluster, road, replicas, keys, arguments):
    full, calm = (_publish(cluster, road, replicas, keys, rate, arguments)
                  for rate in (0, arguments.rate))
    return {"publish_us": full["cpu_us"], "sender_us": full["sender_us"],
            "publish_per_s": full["per_second"], "latency_p50_us": calm["p50_us"],
            "latency_p99_us": calm["p99_us"], "latency_us": calm["cpu_us"]}


def _publish(cluster, road, replicas, keys, rate, arguments):
    nodes = Nodes(cluster, cluster["n2" if road == "local" else "n1"])
    options = {**arguments.span, "bytes": PAYLOAD, "rate": rate}
    if road == "peer":
        before = nodes.cpu_seconds()
        done = load_peer(cluster.zookeeper.address, cluster.name, "n2", keys=keys,
                         replicas=replicas, **options)
        return {"cpu_us": (nodes.cpu_seconds() - before) / done["all"] * 1e6,
                "sender_us": done["cpu_us"] / done["done"],
                "per_second": done["per_second"], **done["times"]}
    with Client(nodes) as client:
        client.keys(keys)
        done = client.publish(**options)
    return {"cpu_us": done["cpu_us"], "sender_us": 0, "per_second": done["per_second"],
            **done["answered"]}


def hop_us(results, replicas):
    """What the forward hop adds to the median."""
    both = [results.get("copies", f"R = {replicas}, {road}", "latency_p50_us")
            for road in ("forwarded", "local")]
    return both[0] - both[1] if None not in both else None


def peer_us(results, replicas):
    """CPU of both ends of the peer protocol."""
    both = [results.get("copies", f"R = {replicas}, peer", metric)
            for metric in ("publish_us", "sender_us")]
    return sum(both) if None not in both else None


def show(results):
    table(results, "copies", [("publish_us", "CPU us"), ("sender_us", "sender's"),
                              ("publish_per_s", "a second"), ("latency_p50_us", "p50 us"),
                              ("latency_p99_us", "p99 us"), ("latency_us", "CPU us")], None,
          "publish in a cluster, 200 bytes: 64 under way, then at a set rate; CPU of all nodes")
