# SPDX-License-Identifier: Apache-2.0
"""The client of all servers, load_pubsub, on a core of its own; and what a command cost the server."""
import contextlib
import json
import signal
import subprocess

from harness.node import program
from harness.process import _die_with_parent

from .servers import CLIENT_CORE, on_core, undisturbed


class Fault(RuntimeError):
    """Not all operations were done."""


@contextlib.contextmanager
def profile(server, folder, name):
    """Where perf says that ringhop's processes spend their time meanwhile, into folder/NAME.txt; nothing
    without a folder."""
    if folder is None or server.dialect != "ringhop":
        yield
        return
    number = sum(1 for _ in folder.glob(f"{name}*.txt"))
    name = f"{name}-{number}" if number else name
    data = folder / f"{name}.data"
    pids = ",".join(map(str, server.pids()))
    with subprocess.Popen(["perf", "record", "-q", "-F", "2000", "-p", pids, "-o", data],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as perf:
        try:
            yield
        finally:
            perf.send_signal(signal.SIGINT)
    done = subprocess.run(["perf", "report", "--stdio", "--percent-limit", "0.3", "-s", "dso,sym",
                           "-i", data], capture_output=True, text=True)
    (folder / f"{name}.txt").write_text(done.stdout or done.stderr)
    data.unlink(missing_ok=True)


class Client:
    """Use as a context manager."""
    profiles = None     # a folder for profiles, set by the driver

    def __init__(self, server, subscribe_port=None):
        self.server = server
        self._popen = subprocess.Popen(
            [*on_core(CLIENT_CORE), str(program("load_pubsub")), server.dialect,
             str(subscribe_port or server.subscribe_port), str(server.publish_port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=_die_with_parent)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._popen.kill()
        self._popen.communicate()

    def command(self, *words, lines=(), **options):
        """The answer, with `cpu_us`: what each operation cost the server in CPU time."""
        text = " ".join([*words, *(f"{name}={value}" for name, value in options.items())])
        measured = Client.profiles if words[0] not in ("keys", "disconnect") else None
        with profile(self.server, measured, "perf-" + "-".join(text.split()).replace("/", "_")[:80]):
            return self._command(text, lines)

    def _command(self, text, lines):
        before = self.server.cpu_seconds()
        self._popen.stdin.write(text + "\n" + "".join(f"{line}\n" for line in lines))
        if lines:
            self._popen.stdin.write("\n")
        self._popen.stdin.flush()
        line = self._popen.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.server.name}: load_pubsub ended at '{text}': "
                               f"{self._popen.stderr.read()[-2000:]}")
        answer = json.loads(line)
        answer["cpu_s"] = self.server.cpu_seconds() - before
        if answer.get("all"):
            answer["cpu_us"] = answer["cpu_s"] / answer["all"] * 1e6
        for fault in ("errors", "missing", "strays"):
            if answer.get(fault):
                raise Fault(f"{self.server.name}: '{text}': {fault} {answer[fault]}")
        return answer

    def keys(self, keys):
        self.command("keys", lines=keys)

    def connect(self, count, **options):
        return self.command("connect", count=count, **options)

    def warm_up(self, count):
        """Until everything that is published arrives: a cluster may take a moment to know its subscribers."""
        for left in (2, 1, 0):
            try:
                self.command("publish", count=count)
                return
            except Fault:
                if not left:
                    raise

    def publish(self, **options):
        return self._at_rate("publish", **options)

    def get(self, path, **options):
        return self._at_rate("get", path, **options)

    def get_of_busy(self, path, **options):
        """From a server that may be busy for seconds. It does not go before all others: Linux takes whoever
        does off its core for 50 ms in a second without rest (sched_rt_runtime_us)."""
        with undisturbed(self._popen.pid, []):
            return self.command("get", path, **options)

    def _at_rate(self, *words, **options):
        """With a rate, the times of a server that is not busy are asked for, and not its neighbours'."""
        if not options.get("rate"):
            return self.command(*words, **options)
        with undisturbed(self._popen.pid, self.server.pids()):
            return self.command(*words, **options)

    def disconnect(self):
        self.command("disconnect")
