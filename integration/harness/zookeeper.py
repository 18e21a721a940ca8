# SPDX-License-Identifier: Apache-2.0
"""ZooKeeper servers on private ports and in a private folder: one alone, or an ensemble."""
import contextlib
import json
import shutil
import socket

from kazoo.client import KazooClient

from .ports import free_port
from .process import Process
from .wait import wait_for

_JAVA = "/usr/share/java"
TICK_MS = 500


class ZooKeeper:
    """One server. Stopping is SIGKILL, which is both quick and the harder case; its data stays
    until `wipe`."""

    def __init__(self, folder, number=None, ensemble=None):
        self.folder = folder
        self.port = free_port()
        self.number = number          # of this server within the ensemble, or None
        self._ensemble = ensemble     # {number: (peer port, election port)}
        self._process = None
        folder.mkdir(parents=True)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, wait=True):
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        lines = [
            f"tickTime={TICK_MS}", "maxSessionTimeout=60000", f"dataDir={data}",
            f"clientPort={self.port}", "clientPortAddress=127.0.0.1", "maxClientCnxns=0",
            "admin.enableServer=false", "4lw.commands.whitelist=*",
            "forceSync=no",  # the tests need no durability against power cuts
        ]
        if self._ensemble:
            (data / "myid").write_text(f"{self.number}\n")
            lines += ["initLimit=20", "syncLimit=4"]
            lines += [f"server.{number}=127.0.0.1:{peer}:{election}"
                      for number, (peer, election) in self._ensemble.items()]
        (self.folder / "zoo.cfg").write_text("\n".join(lines) + "\n")
        (self.folder / "log4j.properties").write_text(
            "log4j.rootLogger=WARN, out\n"
            "log4j.appender.out=org.apache.log4j.ConsoleAppender\n"
            "log4j.appender.out.layout=org.apache.log4j.PatternLayout\n"
            "log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n\n")
        self._process = Process(
            ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
             f"{_JAVA}/zookeeper.jar:{_JAVA}/slf4j-log4j12.jar:{_JAVA}/log4j-1.2.jar:{self.folder}",
             "org.apache.zookeeper.server.quorum.QuorumPeerMain", self.folder / "zoo.cfg"],
            self.folder / "log")
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        wait_for(self.serving, 30, f"ZooKeeper on port {self.port} serving")

    def serving(self):
        return "Mode:" in self.command("srvr")

    def command(self, word):
        """Answer to a four-letter command."""
        with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            connection.sendall(word.encode())
            connection.settimeout(2)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return answer.decode()

    def stop(self):
        if self._process:
            self._process.kill()
            self._process = None

    def restart(self):
        self.stop()
        return self.start()

    def wipe(self):
        """Stops it and forgets all it knew."""
        self.stop()
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def pause(self):
        self._process.pause()

    def resume(self):
        self._process.resume()

    @contextlib.contextmanager
    def client(self):
        """A kazoo client for the length of a `with`."""
        client = KazooClient(self.address, timeout=10)
        client.start(timeout=15)
        try:
            yield client
        finally:
            client.stop()
            client.close()


class Ensemble:
    """Several servers; `address` lists them all."""

    def __init__(self, folder, count=3):
        peers = {number: (free_port(), free_port()) for number in range(1, count + 1)}
        self.servers = [ZooKeeper(folder / f"server{number}", number, peers) for number in peers]

    @property
    def address(self):
        return ",".join(server.address for server in self.servers)

    def start(self):
        for server in self.servers:
            server.start(wait=False)
        for server in self.servers:
            server.wait_ready()
        return self

    def stop(self):
        for server in self.servers:
            server.stop()

    def leader(self):
        return next(s for s in self.servers if "Mode: leader" in s.command("srvr"))

    def client(self):
        return self.servers[0].client()


class Registry:
    """The znodes of one cluster, as kazoo sees them."""

    def __init__(self, client, cluster):
        self.client = client
        self.root = f"/ringhop/{cluster}"

    def members(self):
        """{id: registration} of those that can be decoded."""
        found = {}
        for name in self.client.get_children(f"{self.root}/members"):
            with contextlib.suppress(Exception):
                data, _ = self.client.get(f"{self.root}/members/{name}")
                registration = json.loads(data)
                found[registration["id"]] = registration
        return found

    def member_names(self):
        return sorted(self.client.get_children(f"{self.root}/members"))

    def config(self):
        return json.loads(self.client.get(f"{self.root}/config")[0])

    def pzxid(self):
        return self.client.exists(f"{self.root}/members").pzxid
