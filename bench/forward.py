# SPDX-License-Identifier: Apache-2.0
"""A publish that arrives at one node, for clients that are connected to another: what all processes
on its way cost together."""
from harness.ports import free_port

from .client import Client
from .common import keys_of
from .results import table
from .servers import Nats, Nchan, RingHop, config, first_line, in_turn

CHANNELS = 1000
HELP = """\
forward   128 bytes to one of 1,000 clients of the other of two nodes; CPU is that of all processes"""


class RingHopPair(RingHop):
    name = "ringhop"
    nodes = 2

    def start(self):
        super().start()
        self.subscribe_port = self.cluster["n2"].client_port


class RingHopCopies(RingHopPair):
    """The publish is on both nodes before it is acknowledged; none of the others does that."""
    name = "ringhop, R = 2"
    replicas = 2


class NchanRedis(Nchan):
    """As one gets it: messages are stored in Redis."""
    name = "nchan + redis"
    mode, store = "distributed", "on"
    needs = (*Nchan.needs, "redis-server")

    def start(self):
        redis = free_port()
        path = config("redis.conf", self.folder / "redis.conf", port=redis, folder=self.folder)
        self.run("redis-server", path, port=redis)
        self.publish_port = free_port()
        upstream = (f"upstream redis {{ nchan_redis_server redis://127.0.0.1:{redis}; "
                    f"nchan_redis_storage_mode {self.mode}; }}")
        for port in (self.subscribe_port, self.publish_port):
            self.start_nginx(port, upstream, "nchan_redis_pass redis;", self.store)

    @staticmethod
    def version():
        return f"{Nchan.version()}, {first_line('redis-server', '--version')}"


class NchanRedisBare(NchanRedis):
    """Redis only passes messages on: nothing is kept."""
    name = "nchan + redis, nostore"
    mode, store = "nostore", "off"


class NatsCluster(Nats):
    name = "NATS cluster"

    def start(self):
        self.publish_port = free_port()
        ports = [free_port(), free_port()]
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
        for name, port, websocket_port, own in (
                ("one", self.publish_port, free_port(), ports[0]),
                ("two", free_port(), self.subscribe_port, ports[1])):
            self.start_nats(name, port, websocket_port,
                            f'cluster {{ name: c, listen: "127.0.0.1:{own}", routes: [{routes}] }}')


class HaproxyNchan(Nchan):
    """No node forwards: HAProxy sends publisher and subscriber of a key to the same one, as long as
    nobody adds or removes a node."""
    name = "HAProxy hash, 2 nchan"
    needs = (*Nchan.needs, "haproxy")

    def start(self):
        ports = [free_port(), free_port()]
        for port in ports:
            self.start_nginx(port)
        nodes = "\n".join(f"    server n{port} 127.0.0.1:{port}" for port in ports)
        path = config("haproxy-hash.cfg", self.folder / "haproxy.cfg", port=self.subscribe_port,
                      nodes=nodes)
        self.run("haproxy", "-db", "-f", path, port=self.subscribe_port)

    @staticmethod
    def version():
        return f"{first_line('haproxy', '-v')}, {Nchan.version()}"


class NginxNchan(Nchan):
    """The same with nginx in front."""
    name = "nginx hash, 2 nchan"

    def start(self):
        ports = [free_port(), free_port()]
        for port in ports:
            self.start_nginx(port)
        nodes = " ".join(f"server 127.0.0.1:{port};" for port in ports)
        folder = self.folder / "front"
        folder.mkdir()
        path = config("nginx-hash.conf", folder / "nginx.conf", port=self.subscribe_port,
                      folder=folder, nodes=nodes)
        self.run("nginx", "-c", path, port=self.subscribe_port)


PAIRS = [RingHopPair, RingHopCopies, NchanRedis, NchanRedisBare, NatsCluster,
         HaproxyNchan, NginxNchan]


def measure(server, arguments):
    """{metric: value} of one round."""
    keys = [f"c{n}" for n in range(CHANNELS)]
    if isinstance(server, RingHopPair):
        keys = keys_of(server.cluster, server.cluster["n2"], CHANNELS)
    with Client(server) as client:
        client.keys(keys)
        client.connect(CHANNELS)
        client.warm_up(CHANNELS)
        full = client.publish(**arguments.span)
        calm = client.publish(**arguments.span, rate=arguments.rate)
    return {"publish_us": full["cpu_us"], "publish_per_s": full["per_second"],
            "latency_p50_us": calm["received"]["p50_us"],
            "latency_p99_us": calm["received"]["p99_us"], "latency_us": calm["cpu_us"]}


def run(bench):
    def one(server):
        bench.results.add("forward", server.name, measure(server, bench.arguments),
                          server.version())
    in_turn(PAIRS, bench, one)


def show(results):
    table(results, "forward", [("publish_us", "CPU us"), ("publish_per_s", "=a second"),
                               ("latency_p50_us", "p50 us"), ("latency_p99_us", "=p99 us"),
                               ("latency_us", "CPU us")], "ringhop",
          "publish forwarded over two nodes: 64 under way, then at a set rate; x = times ringhop's")
