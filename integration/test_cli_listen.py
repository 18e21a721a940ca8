# SPDX-License-Identifier: Apache-2.0
"""`ringhop listen` and `ringhop publish` against a node that misbehaves on purpose, and against
nodes that come and go."""
import asyncio
import http.server
import json
import os
import socket
import subprocess
import threading

import pytest

from harness.fake_node import INCARNATION, FakeNode, message, play, welcome
from harness.http import request
from harness.node import program
from harness.wait import stays, wait_for


class Listener:
    """One `ringhop listen` in the background."""

    def __init__(self, config, folder, *arguments):
        Listener.count = getattr(Listener, "count", 0) + 1
        self.out = folder / f"listen{Listener.count}.out"
        self.err = folder / f"listen{Listener.count}.err"
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [program("ringhop"), "listen", *map(str, arguments)], stdout=out, stderr=err,
                stdin=subprocess.DEVNULL, env={**os.environ, "RINGHOP_CONFIG": str(config)})

    def lines(self):
        return self.out.read_text().splitlines()

    def texts(self):
        return [line.split("\t", 1)[1] for line in self.lines()]

    def said(self):
        return self.err.read_text()

    def wait_lines(self, count, bound=10):
        wait_for(lambda: len(self.lines()) >= count, bound, f"{count} lines")
        assert len(self.lines()) == count
        return self.lines()

    def wait_code(self, bound=15):
        return self.process.wait(bound)

    def stop(self):
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def listen(tmp_path):
    started = []

    def start(config, *arguments):
        started.append(Listener(config, tmp_path, *arguments))
        return started[-1]
    yield start
    for listener in started:
        listener.stop()


@pytest.fixture
def fake(tmp_path):
    """fake(script, ...): a node that plays them; its `path` is a config file."""
    made = []

    def make(*scripts, **settings):
        node = FakeNode(*scripts)
        node.path = tmp_path / f"fake{len(made)}.yaml"
        node.path.write_text(node.config(**settings))
        made.append(node)
        return node
    yield make
    for node in made:
        node.close()


# --- what is printed ------------------------------------------------------------------------------

def test_one_message_a_line(fake, listen):
    node = fake(play(
        welcome(), message(1, data="plain"), message(2, data="two\nlines\t\\ \x1b[31m\x7f\u0085é"),
        message(3, json={"a": [1, None]}), message(4, base64="AAE="), message(5, data=""),
        stay=True))
    listener = listen(node.path, "k", "--count", "5")
    assert listener.wait_code() == 0
    assert listener.lines() == [
        "1\tplain", "2\ttwo\\nlines\\t\\\\ \\x1b[31m\\x7f\\u0085é", '3\t{"a": [1, null]}',
        "4\tAAE=", "5\t"]
    path, query = node.requests[0]
    assert path == "/v1/channels/k/ws" and query == {}


def test_json_is_passed_on_as_it_came(fake, listen):
    strange = ('{"type":"message","seq":1,"id":"i1","time":1764000000123,\n  "json":'
               '{"big": 123456789012345678901234567890, "e": 1.10e3}, "new": true}')
    node = fake(play(welcome(), strange, stay=True))
    listener = listen(node.path, "k", "--json", "--count", "1")
    assert listener.wait_code() == 0
    assert listener.lines() == [strange.replace("\n", " ")]


def test_keys_are_escaped(fake, listen):
    node = fake(play(welcome(), message(1), stay=True))
    assert listen(node.path, "a/b?c ü", "--count", "1").wait_code() == 0
    assert node.requests[0][0] == "/v1/channels/a/b?c ü/ws"


# --- breaks ---------------------------------------------------------------------------------------

def test_resumes_after_a_break_where_it_left_off(fake, listen):
    node = fake(play(welcome(), message(1), message(2)), play(welcome(2), message(3), stay=True))
    listener = listen(node.path, "k")
    assert listener.wait_lines(3) == ["1\tm1", "2\tm2", "3\tm3"]
    assert node.afters == [None, f"{INCARNATION}:2"]
    assert "connection lost (close code 1006); trying again" in listener.said()
    assert "connected again, to n1" in listener.said()


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1013, 4408, 4999])
def test_every_close_code_but_one_means_try_again(fake, listen, code):
    node = fake(play(welcome(), message(1), code=code), play(welcome(1), message(2), stay=True))
    assert listen(node.path, "k", "--count", "2").wait_code() == 0
    assert node.afters == [None, f"{INCARNATION}:1"]


def test_not_allowed_ends_it(fake, listen):
    node = fake(play(code=4401))
    assert listen(node.path, "k").wait_code() == 6


def test_shows_nothing_twice_when_the_node_replays_too_much(fake, listen):
    node = fake(play(welcome(), message(1), message(2)),
                play(welcome(0), message(1), message(2), message(3), stay=True))
    assert listen(node.path, "k", "--count", "3").wait_code() == 0


def test_a_message_that_is_missing_makes_it_connect_again(fake, listen):
    node = fake(play(welcome(), message(1), message(3), stay=True),
                play(welcome(1), message(2), message(3), stay=True))
    listener = listen(node.path, "k", "--count", "3")
    assert listener.wait_code() == 0
    assert listener.texts() == ["m1", "m2", "m3"]
    assert "the node sent a message out of order" in listener.said()


@pytest.mark.parametrize("second", [
    welcome(7, recovered=False), welcome(0, recovered=False, incarnation="1" * 16)])
def test_a_gap_is_told(fake, listen, second):
    start = json.loads(second)["seq"]
    node = fake(play(welcome(), message(1)), play(second, message(start + 1, data="x"), stay=True))
    listener = listen(node.path, "k", "--count", "2")
    assert listener.wait_code() == 0
    assert listener.texts() == ["m1", "x"]
    assert "messages may be missing" in listener.said()


def test_after_is_asked_for_and_0_is_no_gap(fake, listen):
    node = fake(play(welcome(3), message(4), stay=True))
    listener = listen(node.path, "k", "--after", "0", "--count", "1")
    assert listener.wait_code() == 0 and listener.said() == ""
    assert node.afters == ["0"]


def test_a_dead_connection_is_told_from_a_silent_one(fake, listen):
    """A server answers pings by itself: this one reads nothing, so it hears none."""
    async def deaf(connection):
        await connection.send(welcome())
        connection.transport.pause_reading()
        await asyncio.sleep(2)
        connection.transport.abort()
    node = fake(deaf, play(welcome(), message(1), stay=True),
                heartbeat="{interval: 200ms, timeout: 600ms}")
    listener = listen(node.path, "k", "--count", "1")
    assert listener.wait_code() == 0
    assert "nothing heard for 600 ms" in listener.said()


def test_a_silent_connection_stays(fake, listen):
    node = fake(play(welcome(), stay=True), heartbeat="{interval: 100ms, timeout: 300ms}")
    listener = listen(node.path, "k")
    wait_for(lambda: node.requests, 10, "connected")
    stays(lambda: len(node.requests) == 1, 1.5, "the connection")
    assert listener.said() == ""


# --- where to go ----------------------------------------------------------------------------------

def test_follows_moved_at_once_and_takes_its_position_along(fake, listen):
    target = fake(play(welcome(1), message(2), stay=True))
    moved = json.dumps({"type": "moved", "node": "n2", "seq": 1,
                        "url": f"{target.ws}/v1/channels/k/ws?after={INCARNATION}:1&hops=1&epoch=9"})
    node = fake(play(welcome(), message(1), moved, stay=True))
    listener = listen(node.path, "k", "--count", "2")
    assert listener.wait_code() == 0
    assert listener.texts() == ["m1", "m2"]
    assert "moved to n2" in listener.said() and "lost" not in listener.said()
    assert target.requests == [("/v1/channels/k/ws",
                                {"after": f"{INCARNATION}:1", "hops": "1", "epoch": "9"})]


@pytest.mark.parametrize("form", ["//127.0.0.1:{port}", "ws://127.0.0.1:{port}",
                                  "http://127.0.0.1:{port}"])
def test_follows_a_redirect_of_the_handshake(fake, listen, form):
    target = fake(play(welcome(), message(1), stay=True))
    location = form.format(port=target.port) + "/v1/channels/k/ws?hops=1"
    node = fake((307, {"Location": location}, ""))
    listener = listen(node.path, "k", "--count", "1")
    assert listener.wait_code() == 0
    assert target.requests == [("/v1/channels/k/ws", {"hops": "1"})]


def test_a_circle_of_redirects_is_left(fake, listen):
    node = fake((307, {"Location": "/v1/channels/k/ws"}, ""))
    listener = listen(node.path, "k", "--timeout", "2s")
    assert listener.wait_code() == 5
    assert "sent from node to node without end" in listener.said()
    assert len(node.requests) < 60


@pytest.mark.parametrize("status", [400, 401, 403, 404, 426])
def test_a_refusal_ends_it_with_the_reason(fake, listen, status):
    problem = json.dumps({"type": "about:blank", "title": "t", "status": status,
                          "detail": "because", "code": "x"})
    node = fake((status, {"Content-Type": "application/problem+json"}, problem))
    listener = listen(node.path, "k")
    assert listener.wait_code() == 6
    assert f"refused: HTTP {status}: because" in listener.said()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_node_that_cannot_now_is_asked_again(fake, listen, status):
    node = fake((status, {}, "no"), play(welcome(), message(1), stay=True))
    assert listen(node.path, "k", "--count", "1").wait_code() == 0


def test_gives_up_after_the_timeout(tmp_path, listen):
    path = tmp_path / "dead.yaml"
    path.write_text('cluster: dead\nzookeeper: {servers: "127.0.0.1:1"}\nnodes: [{id: n1, listen: '
                    '"127.0.0.1:1", peer: "127.0.0.1:2", admin: "127.0.0.1:3"}]\n')
    listener = listen(path, "k", "--timeout", "1s")
    assert listener.wait_code() == 5
    assert "no node took the connection within 1000 ms" in listener.said()


def test_something_else_on_the_port_is_no_node(tmp_path, listen):
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connection.sendall(b"SSH-2.0-nonsense\r\n\r\n")
            connection.close()
    threading.Thread(target=serve, daemon=True).start()
    path = tmp_path / "ssh.yaml"
    path.write_text(f'cluster: ssh\nzookeeper: {{servers: "127.0.0.1:1"}}\nnodes: [{{id: n1, listen: '
                    f'"127.0.0.1:{port}", peer: "127.0.0.1:2", admin: "127.0.0.1:3"}}]\n')
    listener = listen(path, "k", "--timeout", "1s")
    assert listener.wait_code() == 5
    server.close()


# --- real nodes -----------------------------------------------------------------------------------

def test_publish_and_listen_through_a_drain_and_back(cluster, listen):
    """Each change gives the channel a new, empty log; what is published while the listener is
    connected arrives once."""
    key = cluster.key_owned_by(cluster["n2"])
    listener = listen(cluster.config_path, key)

    def connected(owner):
        channel = cluster["n1"].channel(key)
        return channel["owner"] == owner and channel["connections"] == 1
    others = {"n1", "n3"}
    wait_for(lambda: connected("n2"), 10, "listening")
    cluster.cli("publish", key, "one")
    listener.wait_lines(1)
    cluster.cli("drain", "n2", "--wait")
    owner = cluster["n1"].channel(key)["owner"]
    assert owner in others
    wait_for(lambda: connected(owner), 10, "moved")
    cluster.cli("publish", key, "two")
    listener.wait_lines(2)
    cluster.cli("join", "n2", "--wait")
    wait_for(lambda: connected("n2"), 10, "moved back")
    cluster.cli("publish", key, "three")
    listener.wait_lines(3)
    assert listener.texts() == ["one", "two", "three"]
    assert f"moved to {owner}" in listener.said() and "moved to n2" in listener.said()


def test_messages_published_during_a_break_are_resumed(steady, key, listen, make_proxy, tmp_path):
    """The node lives, the network does not: nothing is lost."""
    owner = steady.owner(key)
    proxy = make_proxy(owner.client_port)
    path = tmp_path / "proxied.yaml"
    path.write_text(f'cluster: {steady.name}\nzookeeper: {{servers: "127.0.0.1:1"}}\nnodes: [{{id: '
                    f'{owner.id}, listen: "{proxy.address}", peer: "127.0.0.1:2", '
                    'admin: "127.0.0.1:3"}]\n')
    owner.publish(key, "m0")
    listener = listen(path, key, "--after", "0")
    listener.wait_lines(1)
    for round_ in range(3):
        proxy.cut()
        for number in range(10):
            owner.publish(key, f"m{1 + 10 * round_ + number}")
        proxy.restore()
        listener.wait_lines(11 + 10 * round_)
    assert listener.texts() == [f"m{number}" for number in range(31)]
    assert "missing" not in listener.said()


def test_works_while_zookeeper_is_away(zookeeper, make_cluster, listen):
    cluster = make_cluster(zookeeper)
    zookeeper.stop()
    listener = listen(cluster.config_path, "k")
    wait_for(lambda: cluster["n1"].channel("k")["connections"] == 1, 15, "listening")
    cluster.cli("publish", "k", "away")
    listener.wait_lines(1)
    assert listener.texts() == ["away"]


def test_what_was_missed_while_all_nodes_were_away_is_said(cluster, listen):
    listener = listen(cluster.config_path, "k")
    wait_for(lambda: cluster["n1"].channel("k")["connections"] == 1, 10, "listening")
    cluster.cli("publish", "k", "one")
    listener.wait_lines(1)
    for node in cluster.running():
        node.kill()
    wait_for(lambda: "connection lost" in listener.said(), 10, "noticed")
    for node in cluster.nodes.values():
        node.start(wait=False)
    cluster.wait_settled()
    wait_for(lambda: "messages may be missing" in listener.said(), 30, "back")
    cluster.cli("publish", "k", "two")
    listener.wait_lines(2)


# --- publish --------------------------------------------------------------------------------------

@pytest.fixture
def publishes(tmp_path):
    """publishes((status, object), ...): a node that answers so, the last one for ever. `ids` are the
    message ids that it got; run(...) publishes to it."""
    servers = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.server.ids.append(self.headers["Idempotency-Key"])
            answers = self.server.answers
            status, answer = answers[min(len(self.server.ids), len(answers)) - 1]
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    def make(*answers):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.ids, server.answers = [], answers
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        path = tmp_path / "publishes.yaml"
        path.write_text('cluster: c\nzookeeper: {servers: "127.0.0.1:1"}\nnodes: [{id: n1, listen: '
                        f'"127.0.0.1:{server.server_port}", peer: "127.0.0.1:2", '
                        'admin: "127.0.0.1:3"}]\n')
        server.run = lambda *arguments: subprocess.run(
            [program("ringhop"), "-c", path, "publish", *arguments], capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=60)
        return server
    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def test_publish_prints_what_the_node_answers(steady, key):
    first = steady.cli_json("publish", "--id", "a b", key, "hi")
    assert first == {"seq": 1, "incarnation": first["incarnation"], "node": first["node"],
                     "connections": 0, "duplicate": False}
    assert len(first["incarnation"]) == 16 and first["node"] == steady.owner(key).id
    again = steady.cli_json("publish", "--id", "a b", key, "hi")
    assert again["seq"] == 1 and again["duplicate"] is True
    text = steady.cli("publish", "--id", "a b", key, "hi")
    assert text == f"{key}: seq 1 at {first['node']}, 0 connections, id a b (published before)\n"


@pytest.mark.parametrize("arguments, stdin, payload", [
    (["hi"], None, {"data": "hi"}), (["--type", "text", "ü"], None, {"data": "ü"}),
    (["--type", "json", '{"a": 1.0}'], None, {"json": {"a": 1.0}}),
    (["--type", "binary", "hi"], None, {"base64": "aGk="}), ([], "from stdin\n",
                                                             {"data": "from stdin\n"}),
    (["--", "--json"], None, {"data": "--json"}), ([""], None, {"data": ""}),
    (["--type", "json"], "[1,\n2]", {"json": [1, 2]}),
])
def test_publish_payloads(steady, key, arguments, stdin, payload):
    if "--" in arguments:
        arguments = ["--", key, *arguments[1:]]
    else:
        options = [word for word in arguments[:2] if arguments[0:1] == ["--type"]]
        arguments = [*options, key, *arguments[len(options):]]
    steady.cli("publish", *arguments, stdin=stdin)
    owner = steady.owner(key)
    sent = owner.poll(key, after="0").json()["messages"][-1]
    assert {name: sent[name] for name in payload} == payload


def test_publish_refused(steady, key):
    done = steady.cli_run("publish", "--type", "json", key, "{")
    assert done.returncode == 6 and "refuses: HTTP 400" in done.stderr
    done = steady.cli_run("publish", key, stdin="x" * 100000)
    assert done.returncode == 6 and "HTTP 413" in done.stderr
    for bad in ["", "x" * 513, "a\x01b"]:
        assert steady.cli_run("publish", bad, "x").returncode == 2


def test_publish_tries_again_with_the_same_id(publishes):
    published = {"seq": 7, "incarnation": INCARNATION, "node": "n1", "connections": 0,
                 "duplicate": False}
    node = publishes((503, {}), (504, {"detail": "who knows"}), (429, {}), (201, published))
    assert json.loads(node.run("k", "x", "--json").stdout) == published
    assert len(node.ids) == 4 and len(set(node.ids)) == 1 and len(node.ids[0]) == 16


def test_publish_gives_up_and_says_with_which_id_to_go_on(publishes):
    node = publishes((504, {"detail": "who knows"}))
    done = node.run("k", "x", "--id", "mine", "--timeout", "1s")
    assert done.returncode == 6
    assert done.stderr == ("ringhop publish: HTTP 504: who knows; it may or may not be published: "
                           "try again with --id 'mine'\n")


def test_publish_does_not_try_again_what_was_refused(publishes):
    node = publishes((400, {"detail": "no"}), (201, {}))
    done = node.run("k", "x")
    assert done.returncode == 6 and "n1 refuses: HTTP 400: no" in done.stderr
    assert len(node.ids) == 1


def test_publish_without_any_node(tmp_path):
    path = tmp_path / "none.yaml"
    path.write_text('cluster: none\nzookeeper: {servers: "127.0.0.1:1"}\n')
    done = subprocess.run([program("ringhop"), "-c", path, "publish", "-t", "1s", "k", "x"],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 5 and "no node is registered" in done.stderr


def test_publish_survives_the_death_of_the_owner(cluster):
    key = cluster.key_owned_by(cluster["n2"])
    cluster["n2"].kill()
    answer = cluster.cli_json("publish", key, "x")
    assert answer["node"] != "n2"
    assert request(f"{cluster['n1'].admin}/healthz").status == 200
