# SPDX-License-Identifier: Apache-2.0
"""Clients of one server: what it costs to connect one, to keep it, and to send it a message."""
from .client import Client
from .results import table
from .servers import SINGLE, in_turn

PARTS = ("connect", "memory", "publish", "latency", "fanout")
FANOUT = 1000
WARM = 1000
HELP = """\
connect   CPU and rate of connecting and subscribing a WebSocket
memory    resident bytes of an idle WebSocket, with a channel of its own
publish   128 bytes to one of these clients, 64 under way
latency   the same at --rate a second
fanout    128 bytes to all of 1,000 clients of one channel, 4 under way, and 10 a second"""


def measure(server, parts, arguments):
    """{metric: value} of one round."""
    found = {}
    count = min(arguments.connections, server.connections_max)
    if set(parts) - {"fanout"}:
        with Client(server) as first, Client(server) as client:
            found.update(_to_one(server, first, client, count, parts, arguments))
    if "fanout" in parts:
        with Client(server) as client:
            found.update(_to_all(client, min(FANOUT, count), arguments))
    return found


def _to_one(server, first, client, count, parts, arguments):
    """The `first` ones stay, so that what the server needs only once is not counted."""
    warm = min(WARM, count // 10)
    first.keys([f"w{number}" for number in range(warm)])
    first.connect(warm)
    first.warm_up(warm)
    before = server.rss_bytes()
    count -= warm
    found = {"connections": count}
    client.keys([f"c{number}" for number in range(count)])
    done = client.connect(count)
    found.update({"connect_us": done["cpu_us"], "connect_per_s": done["all"] / done["seconds"],
                  "memory_bytes": (server.rss_bytes() - before) / count})
    if "publish" in parts:
        done = client.publish(**arguments.span)
        found.update({"publish_us": done["cpu_us"], "publish_per_s": done["per_second"]})
    if "latency" in parts:
        done = client.publish(**arguments.span, rate=arguments.rate)
        found.update({"latency_p50_us": done["received"]["p50_us"],
                      "latency_p99_us": done["received"]["p99_us"], "latency_us": done["cpu_us"]})
    client.disconnect()
    return found


def _to_all(client, count, arguments):
    client.keys(["all"])
    client.connect(count)
    done = client.publish(**arguments.span, window=4)
    calm = client.publish(**arguments.span, rate=10)
    client.disconnect()
    return {"fanout_us": done["cpu_us"] / count, "fanout_per_s": done["per_second"] * count,
            "fanout_p50_us": calm["received"]["p50_us"], "fanout_calm_us": calm["cpu_us"] / count}


def run(bench, parts):
    def one(server):
        bench.results.add("clients", server.name, measure(server, parts, bench.arguments),
                          server.version())
    in_turn(SINGLE, bench, one)


def show(results):
    base = "ringhop"
    table(results, "clients", [("connections", "=clients"), ("connect_us", "CPU us"),
                               ("connect_per_s", "=a second"), ("memory_bytes", "bytes")],
          base, "connect and stay idle: CPU and resident bytes of each, x = times ringhop's")
    table(results, "clients", [("publish_us", "CPU us"), ("publish_per_s", "=a second"),
                               ("latency_p50_us", "p50 us"), ("latency_p99_us", "=p99 us"),
                               ("latency_us", "CPU us")],
          base, "publish to one: 64 under way, then at a set rate")
    table(results, "clients", [("fanout_us", "CPU us"), ("fanout_per_s", "=a second"),
                               ("fanout_p50_us", "p50 us"), ("fanout_calm_us", "CPU us")],
          base, "publish to 1,000: deliveries with 4 under way; until all have it at 10 a second")
