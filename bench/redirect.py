# SPDX-License-Identifier: Apache-2.0
"""The two answers that send a client to its owner, beside the quickest answers that proxies have."""
from .client import Client
from .results import table
from .servers import RingHop, Server, config, first_line, in_turn

HELP = """\
redirect  `where` and the 307 of a node that does not own the key, beside `return 307`"""


class NginxReturn(Server):
    name, dialect = "nginx return 307", "plain"
    asked = (("nginx return 307", "/v1/channels/user:1/messages?wait=10", 307),)

    def start(self):
        path = config("nginx-return.conf", self.folder / "nginx.conf", folder=self.folder,
                      port=self.publish_port)
        self.run("nginx", "-c", path, port=self.publish_port)

    needs = ("nginx",)

    @staticmethod
    def version():
        return first_line("nginx", "-v")


class HaproxyReturn(Server):
    name, dialect = "HAProxy redirect 307", "plain"
    needs = ("haproxy",)
    asked = (("HAProxy redirect 307", "/v1/channels/user:1/messages?wait=10", 307),)

    def start(self):
        path = config("haproxy-return.cfg", self.folder / "haproxy.cfg", port=self.publish_port)
        self.run("haproxy", "-db", "-f", path, port=self.publish_port)

    @staticmethod
    def version():
        return first_line("haproxy", "-v")


class RingHopOther(RingHop):
    name = "ringhop"
    nodes = 2

    @property
    def asked(self):
        key = self.cluster.key_owned_by(self.cluster["n2"], "user")
        return (("ringhop 307", f"/v1/channels/{key}/messages?wait=10", 307),
                ("ringhop where", f"/v1/where?key={key}", 200))


def run(bench):
    def one(server):
        with Client(server) as client:
            for row, path, status in server.asked:
                client.get(path, status=status, count=1000)
                done = client.get(path, status=status, **bench.arguments.span)
                bench.results.add("redirect", row, {"cpu_us": done["cpu_us"],
                                                    "per_s": done["per_second"]}, server.version())
    in_turn([RingHopOther, NginxReturn, HaproxyReturn], bench, one)


def show(results):
    table(results, "redirect", [("per_s", "a second"), ("cpu_us", "CPU us")], "nginx return 307",
          "where and 307, 64 under way: x = times nginx's")
