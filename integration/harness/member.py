# SPDX-License-Identifier: Apache-2.0
"""A registration without a node: the membership edge as a program (tests/zk_member.c)."""
import os
import re
import signal
import subprocess
import threading
import time

from .node import program
from .process import _die_with_parent
from .wait import wait_for


class Member:
    def __init__(self, servers, cluster, node_id, instance, **options):
        self.id = node_id
        self.instance = f"{instance:016x}"
        arguments = [f"{name}={value}" for name, value in options.items()]
        self._process = subprocess.Popen(
            [program("zk_member"), servers, cluster, node_id, self.instance, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            bufsize=1, preexec_fn=_die_with_parent)
        self.lines = []      # what it said
        self.times = []      # and when
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self.times.append(time.monotonic())
            self.lines.append(line.rstrip("\n"))

    def say(self, command):
        self._process.stdin.write(command + "\n")

    def up(self, peer):
        self.say(f"up {peer.id} {peer.instance}")

    def down(self, peer):
        self.say(f"down {peer.id} {peer.instance}")

    def dead(self, peer):
        self.say(f"dead {peer.id} {peer.instance}")

    def matching(self, pattern):
        return [line for line in list(self.lines) if re.search(pattern, line)]

    def wait_line(self, pattern, timeout=10, count=1):
        """The count-th line that matches."""
        wait_for(lambda: len(self.matching(pattern)) >= count, timeout,
                 f"line {count} like {pattern} of {self.id} in:\n" + "\n".join(self.lines))
        return self.matching(pattern)[count - 1]

    def views(self):
        """[(generation, epoch, {id: (instance, weight)})], oldest first."""
        found = []
        for line in self.matching("^view "):
            _, epoch, *members = line.split()
            generation, pzxid = epoch.split("/")
            found.append((int(generation), int(pzxid), {
                node: (instance, int(weight) / 1000)
                for node, instance, weight in (member.split(":") for member in members)}))
        return found

    def ids(self):
        """Of the members of its view."""
        views = self.views()
        return sorted(views[-1][2]) if views else []

    def epoch(self):
        return self.views()[-1][:2] if self.views() else None

    def wait_ids(self, ids, timeout=10):
        wait_for(lambda: self.ids() == sorted(ids), timeout,
                 f"view {ids} at {self.id} in:\n" + "\n".join(self.lines))

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def wait_end(self, timeout=10):
        status = self._process.wait(timeout)
        self._reader.join(timeout)
        return status

    def close(self):
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGCONT)
            self.kill()
        self._process.stdin.close()
        self._reader.join(5)
        self._process.stdout.close()
