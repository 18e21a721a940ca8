# SPDX-License-Identifier: Apache-2.0
"""npm's `ws`, many clients in one process (ws_driver/driver.js)."""
import json
import pathlib
import subprocess
from dataclasses import dataclass, field

from .npm import install
from .reader import Reader
from .wait import wait_for
from .ws import PROTOCOL

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "ws_driver"


@dataclass
class NpmClient:
    """What one client has seen; grows while the driver runs."""
    id: str
    opens: list = field(default_factory=list)      # events, one for each attempt that succeeded
    events: list = field(default_factory=list)     # (attempt, parsed message)
    closes: list = field(default_factory=list)
    errors: list = field(default_factory=list)

    def of_type(self, kind):
        return [event for _, event in self.events if event["type"] == kind]


class NpmWs(Reader):
    """The driver process. Use as a context manager."""

    def __init__(self):
        install(FOLDER)
        self.clients = {}
        super().__init__(["node", "driver.js"], cwd=FOLDER, stdin=subprocess.PIPE)

    @property
    def pid(self):
        return self._popen.pid

    def _take(self, line):
        event = json.loads(line)
        client = self.clients[event["id"]]
        if event["event"] == "open":
            client.opens.append(event)
        elif event["event"] == "text":
            client.events.append((event["attempt"], {**json.loads(event["text"]),
                                                     "_at": event["at"]}))
        elif event["event"] == "close":
            client.closes.append(event)
        else:
            client.errors.append(event)

    def _tell(self, **command):
        self._popen.stdin.write(json.dumps(command) + "\n")

    def open(self, client_id, url, protocol=PROTOCOL, redirects=False, deflate=False):
        client = self.clients[client_id] = NpmClient(client_id)
        self._tell(do="open", id=client_id, url=url, protocol=protocol, redirects=redirects,
                   deflate=deflate)
        return client

    def send(self, client_id, event):
        self._tell(do="send", id=client_id, text=json.dumps(event))

    def close(self, client_id):
        self._tell(do="close", id=client_id)

    def wait_welcomed(self, ids=None, bound=30.0):
        """Until all these clients have been welcomed by an owner."""
        clients = [self.clients[i] for i in ids] if ids else list(self.clients.values())

        def check():
            missing = [c.id for c in clients if not c.of_type("welcome")]
            broken = [c.errors for c in clients if c.errors][:3]
            assert not missing, f"{len(missing)} without welcome, {missing[:3]}; errors {broken}"
            return True
        wait_for(check, bound, f"welcome of {len(clients)} clients")
