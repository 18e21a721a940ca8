#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Drills in random order on real nodes and a real ZooKeeper, with publishers and subscribers, and a
ledger of what they were promised. One line per run; scripts/soak nodes calls this.

A seed decides what is done in which order; when exactly things happen is the machine's. A run that
fails leaves its story and the logs of its nodes in a folder that is named.
"""
import argparse
import contextlib
import os
import pathlib
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness.drills import ANYWHERE, Drills  # noqa: E402
from harness.node import Cluster, ROOT  # noqa: E402
from harness.proxy import Proxy  # noqa: E402
from harness.traffic import Traffic  # noqa: E402
from harness.zookeeper import Ensemble, ZooKeeper  # noqa: E402

# What ZooKeeper is in a run, and the drills that this allows beside those that go anywhere.
WORLDS = {
    "one": ["zookeeper_outage", "zookeeper_wiped"],
    "proxy": ["expiry_of_all"],
    "ensemble": ["ensemble_leader_lost"],
}


class Run:
    def __init__(self, seed, arguments):
        self.seed = seed
        self.random = random.Random(seed)
        # Each is drawn whether it is used or not, so that an option does not change the others.
        world = self.random.choice(list(WORLDS))
        nodes = self.random.choice([3, 3, 4])
        replicas = self.random.choice([2, 2, 3])
        session = self.random.choice(["1s", "2s", "4s"])
        self.world = arguments.world or world
        self.nodes = arguments.nodes or nodes
        self.replicas = arguments.replicas or replicas
        self.session = arguments.session or session
        names = ANYWHERE + 3 * WORLDS[self.world]
        self.drills = arguments.drills or self.random.choices(names, k=arguments.count)

    def title(self):
        return (f"seed {self.seed}: {self.nodes} nodes, R={self.replicas}, S={self.session}, "
                f"ZooKeeper {self.world}: {' '.join(self.drills)}")

    def go(self, folder):
        """The report; an exception if something did not come to rest."""
        with contextlib.ExitStack() as stack:
            zookeeper = (Ensemble if self.world == "ensemble" else ZooKeeper)(folder / "zookeeper")
            zookeeper.start()
            stack.callback(zookeeper.stop)
            proxy = None
            if self.world == "proxy":
                proxy = Proxy(zookeeper.port)
                stack.callback(proxy.close)
            cluster = Cluster(
                zookeeper, folder / "cluster", nodes=self.nodes, session_timeout=self.session,
                settings={"ring": f"{{vnodes: 512, replicas: {self.replicas}, seed: 0}}"})
            for node in cluster.nodes.values():
                node.zookeeper = proxy.address if proxy else None
            stack.callback(cluster.stop)
            cluster.start()
            traffic = Traffic(cluster, seed=self.seed)
            stack.callback(traffic.close)
            traffic.start()
            try:
                drills = Drills(cluster, traffic, self.seed, zookeeper, proxy)
                for name in self.drills:
                    traffic.mark(f"drill {name}")
                    drills.flow()
                    getattr(drills, name)()
                drills.flow()
                report = traffic.finish()
            except BaseException:
                traffic.close()
                (folder / "story").write_text(traffic.ledger.judge().details(len(traffic.keys), 5000))
                raise
            if not report.clean:
                (folder / "story").write_text(report.details(len(traffic.keys), 5000))
            return report


def main():
    parser = argparse.ArgumentParser(prog="scripts/soak nodes", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=int, default=20, metavar="RUNS",
                        help="how many runs, 20 by default")
    parser.add_argument("--seed", type=int, help="of the first run; the others count up")
    parser.add_argument("--count", type=int, default=6, help="drills of a run")
    parser.add_argument("--drills", type=lambda text: text.split(","), metavar="NAME,...",
                        help="these instead of random ones")
    parser.add_argument("--world", choices=WORLDS)
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--replicas", type=int)
    parser.add_argument("--session", metavar="DURATION")
    parser.add_argument("--list", action="store_true", help="the names of all drills, and no run")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(ANYWHERE + sum(WORLDS.values(), [])))
        return 0
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    first = arguments.seed if arguments.seed is not None else int(time.time()) * 1000
    failed = []
    for seed in range(first, first + arguments.runs):
        run = Run(seed, arguments)
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"ringhop-soak-{seed}-"))
        began = time.monotonic()
        try:
            report = run.go(folder)
            good, outcome = report.clean, report.summary()
        except Exception as error:  # whatever it is, the other runs go on
            (folder / "exception").write_text(traceback.format_exc())
            good, outcome = False, f"{type(error).__name__}: {str(error)[:300]!r}"
        print(f"{'ok    ' if good else 'FAILED'} {time.monotonic() - began:4.0f} s  {run.title()}: "
              f"{outcome}", flush=True)
        if good:
            shutil.rmtree(folder)
            continue
        kept = ROOT / "build-logs" / f"soak-nodes-{seed}"
        kept.parent.mkdir(exist_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        shutil.rmtree(folder / "zookeeper", ignore_errors=True)
        shutil.move(folder, kept)
        print(f"       its story and logs: {os.path.relpath(kept)}", flush=True)
        failed.append(seed)
    print(f"{arguments.runs} runs, {len(failed)} failed" + (f": {failed}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
