# SPDX-License-Identifier: Apache-2.0
"""Nodes and clusters of them, as an operator would start them."""
import json
import os
import pathlib
import subprocess
import tempfile
import textwrap

from .http import quote, request
from .ports import free_port
from .process import Process
from .wait import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RINGHOP_BUILD", ROOT / "build")).resolve()
READY_S = 20


def program(name):
    for folder in ("", "node", "cli", "bench", "tests"):
        path = BUILD / folder / name
        if path.is_file():
            return path
    raise FileNotFoundError(f"{name} is not built in {BUILD}: run ninja there, or set RINGHOP_BUILD")


def ringhop(*arguments, **options):
    """`ringhop` without any cluster around."""
    environment = {**os.environ, **options.pop("env", {})}
    environment.pop("RINGHOP_CONFIG", None)
    return subprocess.run([str(program("ringhop")), *map(str, arguments)], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=60, env=environment,
                          **options)


class Node:
    """One ringhopd. It is listed in the cluster's config file, or started with flags."""

    def __init__(self, cluster, node_id, zone="", weight=None, listed=True, zookeeper=None):
        self.cluster = cluster
        self.id = node_id
        self.zone = zone
        self.weight = weight
        self.listed = listed
        self.zookeeper = zookeeper      # another address than the cluster's, e.g. a proxy
        self.peer_advertise = None      # another address than its own, e.g. a proxy
        self.settings = {}              # other than the cluster's, where nodes may differ
        self.client_port, self.peer_port, self.admin_port = free_port(), free_port(), free_port()
        self.process = None

    def __repr__(self):
        return f"<{self.id} :{self.client_port}>"

    @property
    def host(self):
        return f"127.0.0.1:{self.client_port}"

    @property
    def url(self):
        return f"http://{self.host}"

    @property
    def ws(self):
        return f"ws://{self.host}"

    @property
    def admin(self):
        return f"http://127.0.0.1:{self.admin_port}"

    def entry(self):
        """Its line in the config file."""
        fields = [f"id: {self.id}", f'listen: "{self.host}"',
                  f'peer: "127.0.0.1:{self.peer_port}"', f'admin: "127.0.0.1:{self.admin_port}"']
        if self.peer_advertise:
            fields.append(f'peer_advertise: "{self.peer_advertise}"')
        if self.zone:
            fields.append(f"zone: {self.zone}")
        if self.weight is not None:
            fields.append(f"weight: {self.weight}")
        return "  - {" + ", ".join(fields) + "}"

    def arguments(self):
        config = self.cluster.config_path
        if self.zookeeper or self.settings:
            config = self.cluster.folder / f"{self.id}.yaml"
            config.write_text(self.cluster.config_text(zookeeper=self.zookeeper, **self.settings))
        arguments = [program("ringhopd"), "--config", config, "--node", self.id]
        if "RINGHOP_LOG_LEVEL" in os.environ:
            arguments += ["--log-level", os.environ["RINGHOP_LOG_LEVEL"]]
        if not self.listed:
            arguments += ["--listen", self.host, "--peer", f"127.0.0.1:{self.peer_port}",
                          "--admin", f"127.0.0.1:{self.admin_port}"]
            arguments += ["--zone", self.zone] if self.zone else []
            arguments += ["--weight", self.weight] if self.weight is not None else []
        return arguments

    def start(self, wait=True):
        assert not self.running(), f"{self.id} runs already"
        self.process = Process(self.arguments(), self.cluster.folder / f"{self.id}.log")
        if wait:
            self.wait_ready()
        return self

    def running(self):
        return self.process is not None and self.process.running()

    def ready(self):
        return request(f"{self.admin}/readyz", timeout=2).status == 200

    def wait_ready(self, bound=READY_S):
        def check():
            assert self.running(), f"{self.id} ended with {self.process.exit_code()}"
            return self.ready()
        try:
            wait_for(check, bound, f"{self.id} ready")
        except AssertionError:
            if not self.running():
                raise AssertionError(f"{self.id} ended with {self.process.exit_code()}:\n"
                                     f"{self.log()[-3000:]}") from None
            raise

    def stop(self, bound=15.0):
        """Orderly; returns the exit code."""
        return self.process.terminate(bound)

    def kill(self):
        return self.process.kill()

    def pause(self):
        self.process.pause()

    def resume(self):
        self.process.resume()

    def log(self):
        path = self.cluster.folder / f"{self.id}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def get(self, path, **options):
        return request(self.url + path, **options)

    def ring(self):
        return self.get("/v1/ring").json()

    def where(self, key):
        return self.get(f"/v1/where?key={quote(key)}").json()

    def channel(self, key):
        return self.get(f"/v1/channels/{quote(key)}").json()

    def status(self):
        return request(f"{self.admin}/v1/status").json()

    def metrics(self):
        """{name or name{labels}: value}."""
        found = {}
        for line in request(f"{self.admin}/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def acting(self):
        """How many channels it serves."""
        status = self.status()
        return status["copies"]["acting"] if status.get("replication") else status["channels"]

    def publish(self, key, data, content_type="text/plain", message_id=None, **options):
        headers = {"Content-Type": content_type}
        if message_id:
            headers["Idempotency-Key"] = message_id
        return self.get(f"/v1/channels/{quote(key)}/messages", method="POST", body=data,
                        headers=headers, **options)

    def poll(self, key, **query):
        words = "&".join(f"{name}={value}" for name, value in query.items())
        return self.get(f"/v1/channels/{quote(key)}/messages" + (f"?{words}" if words else ""))

    def ws_url(self, key, **query):
        words = "&".join(f"{name}={value}" for name, value in query.items())
        return f"{self.ws}/v1/channels/{quote(key)}/ws" + (f"?{words}" if words else "")


class Cluster:
    """Some nodes on one ZooKeeper, and the CLI for them."""
    _count = 0

    def __init__(self, zookeeper, folder=None, nodes=3, session_timeout="4s", settings=None,
                 zones=None):
        Cluster._count += 1
        self.name = f"t{os.getpid()}-{Cluster._count}"
        self.zookeeper = zookeeper              # has `address` and `client()`
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="ringhop-cluster-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.session_timeout = session_timeout
        self.settings = {"ring": "{vnodes: 512, replicas: 2, seed: 0}", **(settings or {})}
        self.nodes = {}
        for number in range(1, nodes + 1):
            zone = zones[(number - 1) % len(zones)] if zones else ""
            self.nodes[f"n{number}"] = Node(self, f"n{number}", zone)
        self.config_path = self.folder / "cluster.yaml"
        self.config_write()

    def __getitem__(self, node_id):
        return self.nodes[node_id]

    def config_text(self, zookeeper=None, **settings):
        servers = zookeeper or self.zookeeper.address
        lines = [f"cluster: {self.name}",
                 f'zookeeper: {{servers: "{servers}", session_timeout: {self.session_timeout}}}']
        lines += [f"{name}: {value}" for name, value in {**self.settings, **settings}.items()]
        lines += ["nodes:"] + [node.entry() for node in self.nodes.values() if node.listed]
        return "\n".join(lines) + "\n"

    def config_write(self, **settings):
        self.config_path.write_text(self.config_text(**settings))

    def start(self):
        for node in self.nodes.values():
            node.start(wait=False)
        self.wait_settled()
        return self

    def add(self, node_id, listed=False, start=True, **options):
        """One more node; by default one that no file lists."""
        node = self.nodes[node_id] = Node(self, node_id, listed=listed, **options)
        if listed:
            self.config_write()
        if start:
            node.start()
        return node

    def running(self):
        return [node for node in list(self.nodes.values()) if node.running()]

    def wait_settled(self, members=None, bound=READY_S):
        """Until all running nodes are ready and hold one view, of `members` (default: themselves)."""
        want = sorted(members or [node.id for node in self.running()])

        def check():
            for node in self.nodes.values():
                assert node.process is None or node.running() or node.process.exit_code() is not None
            rings = [node.ring() for node in self.running()]
            ids = [[member["node"] for member in ring["members"]] for ring in rings]
            views = {(ring["generation"], ring["epoch"], ring["digest"]) for ring in rings}
            assert all(node.ready() for node in self.running()), "not all are ready"
            assert ids and all(seen == want for seen in ids), f"members {ids}, wanted {want}"
            assert len(views) == 1, f"views differ: {views}"
            self._check_weights(rings[0])
            return rings[0]
        return wait_for(check, bound, f"cluster of {want} settled")

    def _check_weights(self, ring):
        """With replication a newcomer takes its weight some seconds after it registered, and channels
        move once all have told what they hold."""
        has = {member["node"]: member["weight"] for member in ring["members"]}
        for node in self.running():
            status = node.status()
            if status["replication"]:
                assert status["weight"] == has[node.id], f"{node.id} has not taken its weight yet"
                assert status["copies"]["settled"], f"{node.id}: the view is not recorded yet"

    def replicates(self):
        """Whether its nodes keep copies (a build option of ringhopd)."""
        return wait_for(lambda: [node.status().get("replication", False) for node in self.running()],
                        READY_S, "the status of a node")[0]

    def wait_whole(self, bound=READY_S):
        """Until every channel is where it belongs, with all copies and nothing on the way. At once
        when nodes keep no copies."""
        if not self.replicates():
            return

        def check():
            copies = {node.id: node.status()["copies"] for node in self.running()}
            for name in ("short", "stalled", "moving", "claiming"):
                assert not any(of[name] for of in copies.values()), copies
            assert all(of["settled"] for of in copies.values()), copies
            ring = self.running()[0].ring()
            each = min(ring["replicas"], sum(m["weight"] > 0 for m in ring["members"]))
            acting = sum(of["acting"] for of in copies.values())
            assert sum(of["held"] for of in copies.values()) == each * acting, copies
            return True
        wait_for(check, bound, "all channels in place and with all copies")

    def owner(self, key):
        """The node that owns the key, asked of the CLI."""
        return self.nodes[self.owners([key])[key]]

    def owners(self, keys, offline=False):
        """{key: id of its owner}, computed by the CLI."""
        flags = ["--offline"] if offline else []
        lines = self.cli("owner", "--json", *flags, stdin="".join(f"{key}\n" for key in keys))
        return {entry["key"]: entry["owner"] for entry in map(json.loads, lines.splitlines())}

    def wrong_node(self, key):
        """A running node that does not own the key."""
        owner = self.owner(key)
        return next(node for node in self.running() if node is not owner)

    def key_owned_by(self, node, prefix="key", avoid=()):
        """Some key of that node."""
        keys = [f"{prefix}:{number}" for number in range(200)]
        return next(key for key, owner in self.owners(keys).items()
                    if owner == node.id and key not in avoid)

    def cli_run(self, *arguments, stdin=None, timeout=60, config=None):
        return subprocess.run(
            [str(program("ringhop")), *map(str, arguments)], input=stdin, text=True,
            capture_output=True, timeout=timeout,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            env={**os.environ, "RINGHOP_CONFIG": str(config or self.config_path)})

    def cli(self, *arguments, code=0, **options):
        """Standard output of a `ringhop` command that must end with `code`."""
        done = self.cli_run(*arguments, **options)
        assert done.returncode == code, (
            f"ringhop {' '.join(map(str, arguments))} ended with {done.returncode}, not {code}:\n"
            f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def cli_json(self, *arguments, **options):
        return json.loads(self.cli(*arguments, "--json", **options))

    def stop(self):
        """Takes everything down, whatever state it is in."""
        for node in self.nodes.values():
            if node.running():
                node.process.kill()

    def report(self, lines=40):
        """The ends of all logs, for a failed test."""
        parts = []
        for node in self.nodes.values():
            tail = "\n".join(node.log().splitlines()[-lines:])
            state = "runs" if node.running() else (
                f"ended with {node.process.exit_code()}" if node.process else "never started")
            parts.append(f"{node.id} ({state}):\n{textwrap.indent(tail, '  ')}")
        return "\n".join(parts)
