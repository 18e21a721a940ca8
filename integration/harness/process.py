# SPDX-License-Identifier: Apache-2.0
"""A child process that writes a log and never outlives the tests."""
import ctypes
import os
import signal
import subprocess
import time

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def cpu_seconds(pid):
    """That a process has used so far, in user and kernel mode."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Process:
    """Starts at construction. `log_path` collects standard output and error."""

    def __init__(self, arguments, log_path, env=None, cwd=None):
        self.arguments = [str(argument) for argument in arguments]
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self._popen = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd,
                env={**os.environ, **(env or {})}, preexec_fn=_die_with_parent)

    @property
    def pid(self):
        return self._popen.pid

    def running(self):
        return self._popen.poll() is None

    def exit_code(self):
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def signal(self, number):
        if self.running():
            self._popen.send_signal(number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def wait(self, bound=15.0):
        """Waits for its end and returns the exit code."""
        return self._popen.wait(bound)

    def kill(self):
        if self.running():
            self._popen.kill()
        return self._popen.wait(10)

    def terminate(self, bound=15.0):
        """SIGTERM, then waits; returns the exit code. A process that hangs is killed and fails the
        caller."""
        self.signal(signal.SIGTERM)
        try:
            return self._popen.wait(bound)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.arguments[0]} ignored SIGTERM for {bound} s") from None

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self):
        return cpu_seconds(self.pid)

    def uptime(self):
        with open(f"/proc/{self.pid}/stat") as stat:
            started = int(stat.read().rpartition(") ")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
