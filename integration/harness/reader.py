# SPDX-License-Identifier: Apache-2.0
"""A program whose lines are read as they come."""
import subprocess
import threading

from .process import _die_with_parent


class Reader:
    """Use as a context manager. A subclass hears each line as `_take(line)`, from another thread and
    as soon as it has called __init__() of this class."""

    def __init__(self, arguments, **options):
        self._popen = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, bufsize=1,
                                       preexec_fn=_die_with_parent, **options)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._popen.kill()
        self._popen.wait(10)
        self._reader.join(10)

    def send_signal(self, number):
        self._popen.send_signal(number)

    def _read(self):
        for line in self._popen.stdout:
            self._take(line.rstrip("\n"))

    def wait_ended(self, bound=15.0):
        """Until the program is done, because the stream ended; its exit code."""
        code = self._popen.wait(bound)
        self._reader.join(bound)
        return code
