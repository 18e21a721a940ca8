# SPDX-License-Identifier: Apache-2.0
"""Clusters to measure, and the programs that put load on them."""
import contextlib
import json
import os
import pathlib
import platform
import subprocess

from harness.node import BUILD, Cluster, program
from harness.process import _die_with_parent

NO_PACE = "{channels_per_second: 1000000, in_flight: 65536, moved_linger: 5s}"


def machine():
    """One line about where and with what this is measured."""
    cpu = next((line.partition(": ")[2].strip()
                for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    options = json.loads(subprocess.run(["meson", "introspect", "--buildoptions", BUILD],
                                        capture_output=True, text=True, check=True).stdout)
    kind = next(option["value"] for option in options if option["name"] == "buildtype")
    return (f"{os.cpu_count()} cores of {cpu}, Linux {platform.release()}, build {kind}, load "
            f"{os.getloadavg()[0]:.1f} at the start")


@contextlib.contextmanager
def cluster_of(bench, nodes, replicas, **settings):
    """A running cluster, in a folder of its own."""
    folder = bench.folder / f"cluster{sum(1 for _ in bench.folder.iterdir())}"
    cluster = Cluster(bench.zookeeper, folder=folder, nodes=nodes, settings={
        "ring": f"{{vnodes: 512, replicas: {replicas}, seed: 0}}", **settings})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def keys_of(cluster, node, count, prefix="k"):
    """That many keys that the node owns."""
    found, start = [], 0
    while len(found) < count:
        keys = [f"{prefix}{number}" for number in range(start, start + 2 * count + 100)]
        found += [key for key, owner in cluster.owners(keys).items() if owner == node.id]
        start += len(keys)
    return found[:count]


def load_peer(*arguments, keys, **options):
    """Runs that program to its end; what it printed."""
    words = [*map(str, arguments), *(f"{name}={value}" for name, value in options.items())]
    done = subprocess.run([program("load_peer"), *words], capture_output=True, text=True,
                          input="".join(f"{key}\n" for key in keys))
    answer = json.loads(done.stdout) if done.returncode == 0 else None
    if answer is None or answer["errors"]:
        raise RuntimeError(f"load_peer: {done.stderr}")
    return answer


class Listeners:
    """A running load_listen: many WebSockets. Use as a context manager."""

    def __init__(self, ports=()):
        self._popen = subprocess.Popen(
            [program("load_listen"), *map(str, ports)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, preexec_fn=_die_with_parent)

    @property
    def pid(self):
        return self._popen.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._popen.kill()
        self._popen.wait()
        self._popen.stdin.close()
        self._popen.stdout.close()

    def _say(self, text):
        self._popen.stdin.write(text)
        self._popen.stdin.flush()

    def _answer(self):
        line = self._popen.stdout.readline()
        if not line:
            raise RuntimeError("load_listen has ended")
        return json.loads(line)

    def open(self, pairs, touch=False):
        """Connects to (port, key) each, and returns when all are welcome."""
        self._say(("touch\n" if touch else "open\n") +
                  "".join(f"{port} {key}\n" for port, key in pairs) + "\n")
        return self._answer()

    def publish_when_back(self):
        self._say("publish\n")

    def kill(self, pid):
        self._say(f"kill {pid}\n")

    def wait(self, count, seconds, meanwhile=None):
        """Until that many are back after a move or a break. Nobody hears anything before this is
        called, so what moves them is to be done `meanwhile`."""
        self._say(f"wait {count} {int(seconds * 1000)}\n")
        if meanwhile:
            meanwhile()
        return self._answer()


def make_channels(node, keys):
    """Channels without messages: each is touched by a WebSocket."""
    with Listeners() as listeners:
        listeners.open(((node.client_port, key) for key in keys), touch=True)
