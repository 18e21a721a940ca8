# SPDX-License-Identifier: Apache-2.0
"""How many channels a second one node can hand over, and what an idle one costs in memory."""
import threading
import time

from harness.wait import wait_for

from .common import Listeners, NO_PACE, can_replicate, keys_of, load, running

MESSAGES = 20
PAYLOAD = 200


def make_channels(node, keys):
    """Channels without messages: each is touched by a WebSocket."""
    with Listeners() as listeners:
        listeners.open(((node.client_port, key) for key in keys), touch=True)


def run_handoff(zookeeper, folder, arguments):
    print("handoff: all channels of n1, which is drained, without pace")
    for replicas in (1, 2):
        for messages, count in ((0, arguments.channels), (MESSAGES, arguments.channels // 5)):
            with running(zookeeper, folder / f"handoff{replicas}-{messages}", 3, replicas,
                         rebalance=NO_PACE) as cluster:
                if not cluster.replicates():
                    print("  not measured, this build moves no content")
                    return
                if can_replicate(cluster, replicas):
                    _drain(cluster, replicas, messages, count)


def _drain(cluster, replicas, messages, count):
    node = cluster["n1"]
    keys = keys_of(cluster, node, count)
    make_channels(node, keys)
    if messages:
        load("load_http", node.client_port, f"count={messages}", f"bytes={PAYLOAD}", keys=keys)
    cluster.wait_whole()
    before = node.process.cpu_seconds()
    epoch = node.ring()["epoch"]
    drain = threading.Thread(target=cluster.cli, args=("drain", "n1"))
    drain.start()
    # From when the node knows that it has to.
    wait_for(lambda: node.status()["epoch"] > epoch, 30, "the new epoch", every=0.001)
    began = time.monotonic()
    wait_for(lambda: node.acting() == 0, 300, "nothing is left", every=0.005)
    took = time.monotonic() - began
    cpu = node.process.cpu_seconds() - before
    drain.join()
    print(f"  R={replicas}, {messages} messages of {PAYLOAD} bytes: {count} channels in "
          f"{took:.2f} s, {count / took:.0f} a second, {cpu / count * 1e6:.0f} us of CPU each at n1",
          flush=True)


def run_memory(zookeeper, folder, arguments):
    count = arguments.idle_channels
    print(f"channels: {count} idle channels without messages, whose owner is n1 and whose replica is "
          "n2; resident memory, difference by count")
    for replicas in (1, 2):
        with running(zookeeper, folder / f"memory{replicas}", 2, replicas) as cluster:
            if not can_replicate(cluster, replicas):
                continue
            cluster.cli("weight", "n2", "0.001")
            cluster.wait_settled()
            owner, replica = cluster["n1"], cluster["n2"]
            make_channels(owner, keys_of(cluster, owner, 1000, "warm"))
            keys = keys_of(cluster, owner, count)
            before = owner.process.rss_bytes(), replica.process.rss_bytes()
            make_channels(owner, keys)
            cluster.wait_whole(bound=60)
            after = owner.process.rss_bytes(), replica.process.rss_bytes()
            print(f"  R={replicas}: owner {(after[0] - before[0]) / count:.0f} bytes, replica "
                  f"{(after[1] - before[1]) / count:.0f} bytes", flush=True)
