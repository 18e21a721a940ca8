# SPDX-License-Identifier: Apache-2.0
"""Acknowledged publishes: how many a second, how long one takes, and what it costs all nodes."""
import statistics

from .common import Cpu, can_replicate, keys_of, load, running

KEYS = 256
PAYLOAD = 200


def run(zookeeper, folder, arguments):
    print(f"publish: {KEYS} channels of n2, {PAYLOAD} bytes, by n2 (local), by n1 (forwarded), and "
          f"from a member by the peer protocol (peer); medians of {arguments.rounds} rounds of "
          f"{arguments.seconds} s. CPU is that of all nodes, for `peer` and that of the sender")
    print(f"  {'':14} {'64 under way':>30}   {f'{arguments.rate} a second':>44}")
    print(f"  {'':14} {'per second':>12} {'CPU us each':>17}   {'p50 us':>8} {'p99 us':>8} "
          f"{'CPU us each':>26}")
    for replicas in (1, 2, 3):
        with running(zookeeper, folder / f"publish{replicas}", 3, replicas) as cluster:
            if can_replicate(cluster, replicas):
                keys = keys_of(cluster, cluster["n2"], KEYS)
                for road in ("local", "forwarded", "peer"):
                    _measure(cluster, road, replicas, keys, arguments)


def _once(cluster, road, replicas, keys, arguments, rate):
    """(publishes a second, p50, p99, CPU of the nodes each, CPU of the sender each)."""
    options = [f"seconds={arguments.seconds}", f"bytes={PAYLOAD}", f"rate={rate}"]
    cpu = Cpu(cluster)
    if road == "peer":
        done = load("load_peer", cluster.zookeeper.address, cluster.name, "n2",
                    f"replicas={replicas}", *options, keys=keys)
    else:
        port = cluster["n2" if road == "local" else "n1"].client_port
        done = load("load_http", port, *options, keys=keys)
    each = cpu.used() / done["all"] * 1e6
    own = done["cpu_us"] / done["done"] if road == "peer" else 0
    return (done["per_second"], done["times"]["p50_us"], done["times"]["p99_us"], each, own)


def _measure(cluster, road, replicas, keys, arguments):
    def median(rate):
        rounds = [_once(cluster, road, replicas, keys, arguments, rate)
                  for _ in range(arguments.rounds)]
        return [statistics.median(values) for values in zip(*rounds)]

    def cost(each, own):
        return f"{each:.1f} + {own:.1f}" if road == "peer" else f"{each:.1f}"

    rate, _, _, each, own = median(0)
    _, p50, p99, calm_each, calm_own = median(arguments.rate)
    print(f"  R={replicas} {road:10} {rate:11.0f} {cost(each, own):>17}   {p50:8.0f} {p99:8.0f} "
          f"{cost(calm_each, calm_own):>26}", flush=True)
