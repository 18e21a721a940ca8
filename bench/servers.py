# SPDX-License-Identifier: Apache-2.0
"""What is measured: ringhop, the programs that one would take instead, and the floor. Each is started
pinned to one core with its config of configs/, and is asked for the CPU time and memory of all its
processes."""
import contextlib
import os
import pathlib
import shutil
import socket
import string
import subprocess

from harness import npm, npm_ws
from harness.node import ROOT, Cluster, program
from harness.ports import free_port
from harness.process import Process
from harness.wait import wait_for

CONFIGS = pathlib.Path(__file__).resolve().parent / "configs"
SERVER_CORE, CLIENT_CORE = 0, 1
PAGE = os.sysconf("SC_PAGE_SIZE")


def on_core(core):
    """The begin of a command line that is to run on that core; nothing where there is only one."""
    return ["taskset", "-c", str(core)] if core in os.sched_getaffinity(0) else []


def pin(pid, core=SERVER_CORE):
    """Has a process that runs already stay on that core; it has one thread."""
    os.sched_setaffinity(pid, {core} & os.sched_getaffinity(0) or os.sched_getaffinity(0))


def _schedule(pids, policy, priority):
    for pid in pids:
        with contextlib.suppress(OSError):      # not allowed, or gone
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                os.sched_setscheduler(int(task.name), policy, os.sched_param(priority))


@contextlib.contextmanager
def undisturbed(client_pid, pids):
    """These processes run whenever they want to, whatever else does, as far as that is allowed, and the
    client before the others. For when times count and they have little to do: one that never rests
    would keep all others from their core."""
    _schedule([client_pid], os.SCHED_FIFO, 2)
    _schedule(pids, os.SCHED_FIFO, 1)
    try:
        yield
    finally:
        _schedule([client_pid, *pids], os.SCHED_OTHER, 0)


def path_of(need):
    """The path of a program or file, None if it is not there. Servers are where only root looks for them."""
    return shutil.which(need, path=os.environ.get("PATH", "") + ":/usr/sbin")


def missing(needs):
    """What of these programs and files is not there and how to install it, in words; "" if all is."""
    lacking = [need for need in needs if not path_of(need) and not os.path.exists(need)]
    if not lacking:
        return ""
    lines = (line.split() for line in (ROOT / "scripts" / "packages").read_text().splitlines())
    packages = " ".join(words[1] for words in lines if words[:1] == ["bench"])
    return f"missing: {' '.join(lacking)} (on Debian: apt-get install {packages})"


def tree(pid):
    """The process and all it has started."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree(int(child))
    return found


def cpu_seconds(pids):
    """That all threads of these processes have used, to the nanosecond."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def rss_bytes(pids):
    return sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE for pid in pids)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def config(template, path, **values):
    path.write_text(string.Template((CONFIGS / template).read_text()).substitute(values))
    return path


class Server:
    """Processes that serve together. Use as a context manager."""
    name = None
    dialect = None
    connections_max = 10 ** 9   # above this it would be measured unfairly
    needs = ()                  # programs and files that have to be installed

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        self.subscribe_port = free_port()
        self.publish_port = self.subscribe_port
        self._processes = []

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        raise NotImplementedError

    def run(self, *arguments, port, **options):
        log = self.folder / f"{len(self._processes)}.log"
        process = Process([*on_core(SERVER_CORE), path_of(arguments[0]), *arguments[1:]], log, **options)
        self._processes.append(process)

        def check():
            if not process.running():
                raise RuntimeError(f"{arguments[0]} ended: {process.log()[-2000:]}")
            return listens(port)
        wait_for(check, 20, f"{self.name}: port {port}")

    def stop(self):
        for process in reversed(self._processes):
            pids = tree(process.pid) if process.running() else []
            process.kill()
            for pid in pids[1:]:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass

    def pids(self):
        return [pid for process in self._processes for pid in tree(process.pid)]

    def cpu_seconds(self):
        return cpu_seconds(self.pids())

    def rss_bytes(self):
        return rss_bytes(self.pids())


class Bare(Server):
    name, dialect = "bare epoll", "plain"

    def start(self):
        self.run(program("bare"), self.subscribe_port, port=self.subscribe_port)

    @staticmethod
    def version():
        return "bench/bare.c"


def first_line(program_name, *arguments):
    done = subprocess.run([path_of(program_name), *arguments], capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines()[0]


class Ws(Server):
    name, dialect = "npm ws", "plain"
    needs = ("node", "npm")

    def start(self):
        npm.install(npm_ws.FOLDER)
        self.run("node", CONFIGS.parent / "ws_server.js", self.subscribe_port,
                 port=self.subscribe_port, env={"NODE_PATH": str(npm_ws.FOLDER / "node_modules")})

    @staticmethod
    def version():
        npm.install(npm_ws.FOLDER)
        script = "console.log('ws ' + require('ws/package.json').version + ', node ' + process.version)"
        return subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True,
                              cwd=npm_ws.FOLDER).stdout.strip()


class Nchan(Server):
    name, dialect = "nginx + nchan", "nchan"
    needs = ("nginx", "/usr/share/nginx/modules/ngx_nchan_module.so")

    def start(self):
        self.start_nginx(self.subscribe_port)

    def start_nginx(self, port, redis="", redis_location="", store="off"):
        folder = self.folder / f"nginx{port}"
        folder.mkdir()
        path = config("nginx-nchan.conf", folder / "nginx.conf", folder=folder, port=port,
                      redis=redis, redis_location=redis_location, store=store)
        self.run("nginx", "-c", path, port=port)

    @staticmethod
    def version():
        package = subprocess.run(["dpkg-query", "-W", "-f=${Version}", "libnginx-mod-nchan"],
                                 capture_output=True, text=True).stdout
        return f"{first_line('nginx', '-v')}, nchan {package}"


class Nats(Server):
    name, dialect = "nats-server", "nats"
    needs = ("nats-server",)

    def start(self):
        self.publish_port = free_port()
        self.start_nats("one", self.publish_port, self.subscribe_port)

    def start_nats(self, name, port, websocket_port, cluster=""):
        path = config("nats.conf", self.folder / f"{name}.conf", name=name, port=port,
                      websocket_port=websocket_port, cluster=cluster)
        self.run("nats-server", "-c", path, port=websocket_port)

    @staticmethod
    def version():
        return first_line("nats-server", "--version")


class Mosquitto(Server):
    name, dialect = "mosquitto", "mqtt"
    connections_max = 900       # with 9,000 a publish costs it five times as much
    needs = ("mosquitto",)

    def start(self):
        self.publish_port = free_port()
        path = config("mosquitto.conf", self.folder / "mosquitto.conf", port=self.publish_port,
                      websocket_port=self.subscribe_port)
        self.run("mosquitto", "-c", path, port=self.subscribe_port)

    @staticmethod
    def version():
        return first_line("mosquitto", "-h")


class RingHop(Server):
    """One node by itself, with one copy."""
    name, dialect = "ringhop", "ringhop"
    nodes, replicas = 1, 1
    zookeeper = None        # set by the driver: one for all

    def start(self):
        self.cluster = Cluster(RingHop.zookeeper, folder=self.folder / "cluster", nodes=self.nodes,
                               settings={"ring": f"{{vnodes: 512, replicas: {self.replicas}, seed: 0}}"})
        self.cluster.start()
        for node in self.cluster.running():
            self._processes.append(node.process)
            pin(node.process.pid)
        self.subscribe_port = self.publish_port = self.cluster["n1"].client_port

    @staticmethod
    def version():
        return first_line(str(program("ringhopd")), "--version")


def in_turn(kinds, bench, measure):
    """Starts each kind of server that is wanted, and calls measure(server), in rounds. Each round begins
    with another kind, so that a noisy minute disturbs not always the same."""
    for number in range(bench.arguments.rounds):
        turn = number % len(kinds)
        for kind in kinds[turn:] + kinds[:turn]:
            if bench.results.wanted(kind.name) and not bench.lacks(kind.name, kind.needs):
                with bench.going_on(kind.name):
                    with kind(bench.folder / f"{kind.__name__}-{number}") as server:
                        measure(server)


class Nodes:
    """A cluster that runs already, as a client sees it: it publishes to one node and listens at another."""
    dialect = "ringhop"

    def __init__(self, cluster, publish_to, listen_to=None):
        self.name = cluster.name
        self.publish_port = publish_to.client_port
        self.subscribe_port = (listen_to or publish_to).client_port
        self._cluster = cluster

    def pids(self):
        return [node.process.pid for node in self._cluster.running()]

    def cpu_seconds(self):
        return cpu_seconds(self.pids())


SINGLE = [RingHop, Bare, Nchan, Ws, Nats, Mosquitto]
