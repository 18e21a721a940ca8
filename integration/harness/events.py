# SPDX-License-Identifier: Apache-2.0
"""Clients of Server-Sent Events that we did not write: curl, and npm's eventsource."""
import json
import pathlib
import subprocess

from .npm import install
from .reader import Reader
from .wait import wait_for

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "events_driver"


class CurlEvents(Reader):
    """`curl -N`: the bytes of the stream, as fields of events."""

    def __init__(self, url, *arguments):
        self.events = []        # {"event": ..., "id": ..., "retry": ..., "data": ...}, all text
        self.comments = 0
        self._fields = {}
        super().__init__(["curl", "-sN", "--max-time", "60", *arguments, url],
                         stderr=subprocess.DEVNULL)

    def _take(self, line):
        if line == "":
            if self._fields:
                self.events.append(self._fields)
            self._fields = {}
            return
        name, _, value = line.partition(":")
        if name == "":
            self.comments += 1
        elif name == "data" and "data" in self._fields:
            self._fields["data"] += "\n" + value.removeprefix(" ")
        else:
            self._fields[name] = value.removeprefix(" ")

    def of(self, name):
        return [event for event in list(self.events) if event["event"] == name]

    def wait_for(self, name, count=1, bound=15.0):
        wait_for(lambda: len(self.of(name)) >= count, bound, f"{count} events `{name}`")
        return self.of(name)

    def messages(self):
        return [json.loads(event["data"]) for event in self.of("message")]


class NpmEvents(Reader):
    """npm's eventsource in a process of its own (events_driver/driver.js)."""

    def __init__(self, url):
        install(FOLDER)
        self.told = []
        super().__init__(["node", "driver.js", url], cwd=FOLDER, stderr=subprocess.DEVNULL)

    def _take(self, line):
        self.told.append(json.loads(line))

    def of(self, name):
        return [event for event in list(self.told) if event["event"] == name]

    def messages(self):
        return [json.loads(event["data"]) for event in self.of("message")]

    def wait_for(self, name, count=1, bound=30.0):
        wait_for(lambda: len(self.of(name)) >= count, bound, f"{count} events `{name}`")
        return self.of(name)
