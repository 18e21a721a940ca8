# SPDX-License-Identifier: Apache-2.0
"""Debian's coturn: a TURN server, and the client that comes with it."""
import json
import os
import re
import shutil
import socket
import subprocess

from .node import ROOT, ringhop
from .ports import free_port
from .process import Process
from .wait import wait_for

SECRET = "a secret & that"


def block(language, beginning):
    """The block of docs/webrtc.md that begins so."""
    text = (ROOT / "docs" / "webrtc.md").read_text()
    return next(found for found in re.findall(rf"```{language}\n(.*?)```", text, re.S)
                if found.startswith(beginning))


class Coturn:
    """Runs with the config that docs/webrtc.md shows, but on this machine only. Use as a context
    manager."""

    def __init__(self, folder, address="127.0.0.1"):
        assert shutil.which("turnserver"), "coturn is missing; scripts/test installs it"
        folder.mkdir()
        self.address, self.port = address, free_port()
        self.secret_file = folder / "turn.secret"
        self.secret_file.write_text(SECRET + "\n")
        self.secret_file.chmod(0o600)
        config = folder / "turnserver.conf"
        config.write_text(self._local(block("", "listening-port"), folder))
        self._process = Process(["turnserver", "-c", config], folder / "turnserver.log")
        try:
            wait_for(self.answers, 20, "coturn answers")
        except BaseException:
            self._process.kill()
            raise

    def _local(self, example, folder):
        """The example with what depends on the machine in place."""
        values = {"listening-port": self.port, "static-auth-secret": SECRET}
        text = re.sub(r"^([a-z-]+)=.*$",
                      lambda line: f"{line[1]}={values.get(line[1], line[0].partition('=')[2])}",
                      example, flags=re.M)
        return text + "\n".join([
            "", f"listening-ip={self.address}", f"relay-ip={self.address}", "allow-loopback-peers", "no-tls",
            "no-dtls", f"pidfile={folder / 'pid'}", f"userdb={folder / 'db'}", "log-file=stdout", ""])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()

    @property
    def url(self):
        return f"turn:{self.address}:{self.port}"

    def answers(self):
        """Whether it answers a Binding request, as a STUN server (RFC 8489, 5)."""
        if not self._process.running():
            raise RuntimeError(f"coturn has ended:\n{self._process.log()}")
        transaction = os.urandom(12)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)    # what is sent before it listens is lost
            client.sendto(b"\x00\x01\x00\x00\x21\x12\xa4\x42" + transaction, (self.address, self.port))
            answer = client.recv(2048)
        return answer.startswith(b"\x01\x01") and answer[8:20] == transaction

    def relays(self, username, credential):
        """Whether two clients with these can talk through it."""
        done = subprocess.run(
            ["turnutils_uclient", "-y", "-c", "-n", "1", "-m", "1", "-u", username, "-w", credential,
             "-p", str(self.port), self.address], capture_output=True, text=True, timeout=60)
        return done.returncode == 0 and "Total lost packets 0 " in done.stdout

    def issue(self, *arguments):
        """What `ringhop turn` makes of its secret."""
        done = ringhop("turn", "--json", "--secret-file", self.secret_file, *arguments)
        assert (done.returncode, done.stderr) == (0, ""), done
        return json.loads(done.stdout)
