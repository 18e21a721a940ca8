# SPDX-License-Identifier: Apache-2.0
"""What happens to a cluster in its life, one function for each. A drill does its thing while traffic
flows, and leaves the cluster as it found it: the same members, and all copies in place. Used by the
ledger tests, and by scripts/soak in random order.

Each takes a Drills object; what it needs of ZooKeeper stands in its name: those that begin with
`zookeeper_` want a server of their own, `ensemble_` an ensemble, `expiry_` nodes behind a proxy.
"""
import contextlib
import random
import re
import threading

from .wait import stays, wait_for
from .zookeeper import Registry


class Drills:
    def __init__(self, cluster, traffic, seed=0, zookeeper=None, proxy=None):
        self.cluster = cluster
        self.traffic = traffic
        self.random = random.Random(seed)
        self.zookeeper = zookeeper
        self.proxy = proxy
        self.session_s = _seconds(cluster.session_timeout)
        self._added = 0

    def mark(self, text):
        self.traffic.mark(text)

    def some_node(self):
        return self.random.choice(self.cluster.running())

    def others(self, *nodes):
        return [node.id for node in self.cluster.running() if node not in nodes]

    def flow(self, seconds=0.5):
        """Traffic for a moment, in which nothing happens."""
        self.traffic.wait_published(int(seconds * self.traffic.rate / 2) + 1)

    def settle(self, members=None):
        """All hold one view, and every channel has its copies."""
        # A newcomer takes its weight when everything before its time is over, and one that was
        # away pauses before it registers again.
        self.cluster.wait_settled(members, bound=30 + 3 * self.session_s)
        self.cluster.wait_whole(bound=30)
        self.mark("settled")

    @contextlib.contextmanager
    def undisturbed(self, publishes=True):
        """No connection may move or break meanwhile, and no publish be tried twice."""
        self.traffic.wait_answered()    # what was begun in the drill before may be tried again
        before = self.traffic.ledger.disturbances()
        yield
        for key, (moves, retries) in self.traffic.ledger.disturbances().items():
            moves, retries = moves - before[key][0], retries - before[key][1]
            if moves or (publishes and retries):
                self.traffic.ledger.violation("disturbed", key, f"{moves} moves and breaks, "
                                              f"{retries} retries")

    # --- nodes come and go -----------------------------------------------------------------------

    def join_and_leave(self):
        node = self._add()
        self.settle()
        self.flow()
        self._remove(node)
        self.settle()

    def two_join_at_once(self):
        nodes = [self._add(wait=False), self._add(wait=False)]
        self.settle()
        self.flow()
        threads = [threading.Thread(target=self._remove, args=(node,)) for node in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.settle()

    def drain_and_join(self):
        node = self.some_node()
        self.mark(f"drain {node.id}")
        self.cluster.cli("drain", "--wait", node.id)
        self.cluster.wait_whole(bound=30)
        self.mark(f"{node.id} is drained")
        self.flow()
        self.cluster.cli("join", node.id)
        self.settle()

    def weight(self):
        node = self.some_node()
        for weight in (self.random.choice(["0.3", "2", "3"]), "1"):
            self.mark(f"weight of {node.id} is {weight}")
            self.cluster.cli("weight", node.id, weight)
            self.settle()
        self.cluster.cli("join", node.id)

    def sigterm(self):
        node = self.some_node()
        self._stop(node)
        self.settle()
        self._start(node)
        self.settle()

    def sigkill(self):
        node = self.some_node()
        self._kill(node)
        self.settle()
        self.flow()
        self._start(node)
        self.settle()

    def sigkill_and_restart_at_once(self):
        node = self.some_node()
        self._kill(node)
        self._start(node)
        self.settle()

    def sigstop(self):
        """Longer than the session timeout: it is out, wakes up, and comes back."""
        node = self.some_node()
        self.mark(f"SIGSTOP {node.id}")
        node.pause()
        try:
            # Not by its own word: it does not answer.
            others = [other for other in self.cluster.running() if other is not node]
            wait_for(lambda: all(node.id not in _members(other) for other in others),
                     20 + 3 * self.session_s, f"{node.id} is out")
            self.mark(f"{node.id} is out")
            self.flow()
        finally:
            node.resume()
            self.mark(f"SIGCONT {node.id}")
        self.settle()

    def sigstop_short(self):
        """Shorter than that: nothing may come of it."""
        node = self.some_node()
        self.mark(f"SIGSTOP {node.id} for a moment")
        node.pause()
        try:
            stays(node.running, self.session_s * self.random.uniform(0.1, 0.4))
        finally:
            node.resume()
            self.mark(f"SIGCONT {node.id}")
        self.settle()

    def kill_amid_handoff(self, who=None):
        """A drain is under way, and the node that gives or one that takes is killed."""
        source = self.some_node()
        victim = source if who == "source" or (who is None and self.random.random() < 0.5) else \
            self.random.choice([node for node in self.cluster.running() if node is not source])
        self.mark(f"drain {source.id}")
        drain = threading.Thread(target=self.cluster.cli_run, args=("drain", source.id))
        drain.start()
        try:
            self._wait_moving(source)
        finally:
            self._kill(victim)
        drain.join()
        self.settle(self.others(victim))
        self._start(victim)
        self.cluster.cli("join", source.id)
        self.settle()

    def kill_amid_join(self):
        """A newcomer is killed while channels are on their way to it."""
        node = self._add(wait=False)
        wait_for(lambda: node.id in _members(self.cluster["n1"]), 30, f"{node.id} is a member")
        with contextlib.suppress(AssertionError):
            wait_for(lambda: node.acting() > 0, 5 + 3 * self.session_s, "its first channel",
                     every=0.001)
        self._kill(node)
        del self.cluster.nodes[node.id]
        self.settle()

    # --- ZooKeeper -------------------------------------------------------------------------------

    def zookeeper_outage(self, seconds=20.0):
        with self.undisturbed():
            self.mark(f"ZooKeeper is killed for {seconds} s")
            self.zookeeper.stop()
            stays(lambda: all(node.running() for node in self.cluster.nodes.values()
                              if node.process), seconds, "every node")
            self.zookeeper.start()
            self.mark("ZooKeeper is back")
            self._wait_registered()
            self.settle()

    def zookeeper_wiped(self):
        generation = self.some_node().ring()["generation"]
        with self.undisturbed(publishes=False):
            self.mark("ZooKeeper is killed and its data wiped")
            self.zookeeper.wipe()
            self.zookeeper.start()
            self.mark("ZooKeeper is back")
            wait_for(lambda: all(node.ring()["generation"] > generation
                                 for node in self.cluster.running()), 30, "a higher generation")
            self.settle()

    def ensemble_leader_lost(self):
        leader = self.zookeeper.leader()
        self.mark("the leader of ZooKeeper is killed")
        leader.stop()
        wait_for(lambda: any("Mode: leader" in server.command("srvr")
                             for server in self.zookeeper.servers if server is not leader), 30,
                 "another leader")
        self.mark("ZooKeeper has another leader")
        # A change of the members shows that it works.
        self.sigkill()
        leader.start()
        self.settle()

    def expiry_of_all(self):
        """All lose their session at once and are back at once: nothing may move."""
        with self.undisturbed(publishes=False):
            self._expire_all()

    def _expire_all(self):
        before = {member["node"]: member["instance"] for member in self.some_node().ring()["members"]}
        epoch = self.some_node().ring()["epoch"]
        with self.zookeeper.client() as client:
            registry = Registry(client, self.cluster.name)
            self.mark("all nodes are cut off from ZooKeeper")
            self.proxy.cut()
            wait_for(lambda: registry.member_names() == [], 20 + 3 * self.session_s,
                     "all sessions expired")
            self.proxy.restore()
            self.mark("all sessions are expired; nodes reach ZooKeeper again")
            self._wait_registered(registry)
        wait_for(lambda: all(node.ring()["epoch"] > epoch for node in self.cluster.running()), 20,
                 "a new epoch")
        self.settle()
        after = {member["node"]: member["instance"] for member in self.some_node().ring()["members"]}
        assert after == before

    # --- pieces ----------------------------------------------------------------------------------

    def _add(self, wait=True):
        self._added += 1
        node = self.cluster.add(f"x{self._added}", start=False)
        self.mark(f"{node.id} joins")
        node.start(wait=wait)
        return node

    def _remove(self, node):
        self._stop(node)
        del self.cluster.nodes[node.id]

    def _stop(self, node):
        self.mark(f"SIGTERM {node.id}")
        code = node.stop(bound=30)
        assert code == 0, f"{node.id} ended with {code}"
        self.mark(f"{node.id} has ended")

    def _kill(self, node):
        self.mark(f"SIGKILL {node.id}")
        node.kill()

    def _start(self, node):
        self.mark(f"{node.id} is started")
        node.start()

    def _wait_moving(self, source):
        """Until some of its channels have gone, or all of them, whatever is seen first."""
        before = source.acting()
        with contextlib.suppress(AssertionError):
            wait_for(lambda: source.acting() < before, 5, every=0.001)

    def _wait_registered(self, registry=None):
        if registry is None:
            with self.zookeeper.client() as client:
                self._wait_registered(Registry(client, self.cluster.name))
            return
        want = sorted(node.id for node in self.cluster.running())
        wait_for(lambda: sorted(registry.members()) == want, 30, "all registered")


# Those that need nothing of ZooKeeper but that it is there.
ANYWHERE = ["join_and_leave", "two_join_at_once", "drain_and_join", "weight", "sigterm", "sigkill",
            "sigkill_and_restart_at_once", "sigstop", "sigstop_short", "kill_amid_handoff",
            "kill_amid_join"]


def _members(node):
    return [member["node"] for member in node.ring()["members"]]


def _seconds(duration):
    number, unit = re.fullmatch(r"([\d.]+)(ms|s|m)", duration).groups()
    return float(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]
