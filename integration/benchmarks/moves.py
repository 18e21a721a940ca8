# SPDX-License-Identifier: Apache-2.0
"""What clients feel: the gap when their channel moves as planned, and when its owner is killed."""
from .common import Listeners, NO_PACE, can_replicate, keys_of, milliseconds, running


def run_moves(zookeeper, folder, arguments):
    count = arguments.connections
    print(f"moves: {count} WebSockets, each in a channel of its own, all on n1, which is drained; "
          "from `moved` to `welcome` at the new owner")
    for replicas in (1, 2):
        for name, pace in (("default pace", {}), ("no pace", {"rebalance": NO_PACE})):
            with running(zookeeper, folder / f"moves{replicas}-{len(pace)}", 3, replicas,
                         **pace) as cluster:
                if not can_replicate(cluster, replicas):
                    break
                replicates = cluster.replicates()
                node = cluster["n1"]
                with Listeners() as listeners:
                    listeners.open((node.client_port, key) for key in keys_of(cluster, node, count))
                    seen = listeners.wait(count, 120, lambda c=cluster: c.cli("drain", "n1"))
                print(f"  R={replicas}{', ' + name if replicates else ''}: {milliseconds(seen['moves'])}; "
                      f"{seen['not_recovered']} not recovered", flush=True)
            if not replicates:
                break       # there is no pace


def run_crash(zookeeper, folder, arguments):
    count = min(arguments.connections, 1000)
    print(f"crash: {count} WebSockets on n1, which is killed; each comes back at once to a random "
          f"node and publishes; {arguments.rounds} rounds")
    for replicas in (1, 2):
        with running(zookeeper, folder / f"crash{replicas}", 3, replicas) as cluster:
            if not can_replicate(cluster, replicas):
                continue
            for _ in range(arguments.rounds):
                node = cluster["n1"]
                ports = [node.client_port for node in cluster.nodes.values()]
                with Listeners(ports) as listeners:
                    listeners.open((node.client_port, key) for key in keys_of(cluster, node, count))
                    listeners.publish_when_back()
                    cluster.wait_whole()
                    listeners.kill(node.process.pid)
                    seen = listeners.wait(count, 30)
                print(f"  R={replicas}: break to welcome {milliseconds(seen['breaks'])}; SIGKILL to "
                      f"first delivery {milliseconds(seen['deliveries'])}; "
                      f"{seen['not_recovered']} not recovered", flush=True)
                node.process.wait()
                node.start()
                cluster.wait_settled(bound=60)
