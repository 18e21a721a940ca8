# SPDX-License-Identifier: Apache-2.0
"""scripts/bench works: its clients are served, its figures are there and its goals are judged. How fast
anything is matters to no test."""
import json
import socketserver
import subprocess
import sys
import threading

import pytest
from harness.node import BUILD, ROOT

sys.path.append(str(ROOT))
from bench import clients, driver, forward, goals, lookup, redirect, servers  # noqa: E402
from bench.client import Client, Fault  # noqa: E402
from bench.results import Results  # noqa: E402

PEERS = [kind for kind in [*servers.SINGLE, *forward.PAIRS] if not issubclass(kind, servers.RingHop)]


def bench(*arguments, code=0):
    done = subprocess.run([ROOT / "scripts" / "bench", *arguments], text=True, capture_output=True,
                          env={"PATH": "/usr/bin:/bin:/usr/sbin", "RINGHOP_BUILD": str(BUILD)},
                          timeout=300)
    assert done.returncode == code, f"{done.returncode}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    """Every dialect that needs nothing installed, a second each."""
    path = tmp_path_factory.mktemp("bench") / "figures.json"
    done = bench("connect", "memory", "publish", "latency", "fanout", "forward", "redirect",
                 "--only", "bare", "--rounds", "1", "--seconds", "1", "--warm", "0", "--rate", "100",
                 "--connections", "100", "--json", str(path))
    return done.stdout, json.loads(path.read_text())


def test_measures_ringhop_and_the_bare_server_with_one_client(short_run):
    _, figures = short_run
    rows = figures["parts"]["clients"]
    assert set(rows) == {"ringhop", "bare epoll"}
    for row in rows.values():
        assert row["connections"]["median"] == 90       # 10 of 100 are there before
        for metric in ("connect_us", "publish_us", "latency_p50_us", "fanout_us"):
            assert row[metric]["median"] > 0, metric
            assert len(row[metric]["rounds"]) == 1


@pytest.fixture(scope="module")
def short_cluster_run(tmp_path_factory):
    """What happens within a cluster, with few channels."""
    path = tmp_path_factory.mktemp("bench") / "figures.json"
    bench("handoff", "moves", "channels", "view", "--rounds", "1", "--seconds", "1", "--connections",
          "50", "--channels", "200", "--idle-channels", "200", "--view-channels", "500",
          "--json", str(path))
    return json.loads(path.read_text())


def test_measures_what_a_change_of_the_cluster_does(short_cluster_run):
    parts = short_cluster_run["parts"]
    assert {goal["verdict"] for goal in short_cluster_run["goals"]} <= {"goal met", "not met"}
    assert [row["channels"]["median"] for row in parts["handoff"].values()] == [200, 40, 200, 40]
    for row in parts["moves"].values():
        assert (row["moved"]["median"], row["not_recovered"]["median"]) == (50, 0)
    assert [row["channels"]["median"] for row in parts["channels"].values()] == [200, 200]
    assert set(parts["view"]) == {"R = 1, 500 channels", "R = 2, 500 channels"}


def test_measures_the_forwarded_publish_and_both_answers(short_run):
    _, figures = short_run
    assert set(figures["parts"]["forward"]) == {"ringhop", "ringhop, R = 2"}
    assert set(figures["parts"]["redirect"]) == {"ringhop 307", "ringhop where"}


def test_prints_each_goal_of_the_parts_that_ran_with_a_verdict(short_run):
    text, figures = short_run
    judged = {goal["goal"]: goal["verdict"] for goal in figures["goals"]}
    assert len(judged) == len([goal for goal in goals.GOALS if goal.part in (
        "connect", "memory", "publish", "latency", "fanout", "forward", "redirect")])
    assert judged["idle WebSocket with its idle channel, resident"] in ("goal met", "not met")
    assert judged["CPU to connect and upgrade, of nchan's"] == "not measured"
    for goal, verdict in judged.items():
        assert any(goal in line and line.endswith(verdict) for line in text.splitlines()), goal


@pytest.mark.parametrize("kind", PEERS, ids=lambda kind: kind.name)
def test_the_client_connects_and_publishes_at(kind, tmp_path):
    if lacking := servers.missing(kind.needs):
        pytest.skip(lacking)
    with kind(tmp_path / "server") as server, Client(server) as client:
        client.keys(["a", "b"])
        assert client.connect(5)["times"]["count"] == 5     # three of `a`, two of `b`
        client.warm_up(2)
        done = client.publish(count=100)
        assert (done["done"], done["deliveries"]) == (100, 250)
        assert done["cpu_s"] > 0 and server.rss_bytes() > 0
        client.disconnect()


@pytest.mark.parametrize("kind", [redirect.NginxReturn, redirect.HaproxyReturn],
                         ids=lambda kind: kind.name)
def test_the_client_is_redirected_by(kind, tmp_path):
    if lacking := servers.missing(kind.needs):
        pytest.skip(lacking)
    with kind(tmp_path / "server") as server, Client(server) as client:
        [(_, path, status)] = server.asked
        assert client.get(path, status=status, count=100)["done"] == 100
        with pytest.raises(Fault, match="errors 100"):
            client.get(path, status=200, count=100)


class Careless(socketserver.ThreadingTCPServer):
    """Speaks as the bare server does, but sends each message `copies` times and answers `status`."""
    daemon_threads = True
    name, dialect = "careless", "plain"
    copies, status = 1, 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self._Link)
        self.subscribers = []
        self.subscribe_port = self.publish_port = self.server_address[1]

    def cpu_seconds(self):
        return 0

    class _Link(socketserver.StreamRequestHandler):
        def handle(self):
            while line := self.rfile.readline():
                head = dict(field.decode().lower().split(": ")
                            for field in iter(self.rfile.readline, b"\r\n"))
                body = self.rfile.read(int(head.get("content-length", 0))).strip()
                if line.startswith(b"GET"):
                    self.server.subscribers.append(self.wfile)
                    self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                    continue
                for subscriber in self.server.subscribers * self.server.copies:
                    subscriber.write(bytes([0x81, len(body)]) + body)
                self.wfile.write(f"HTTP/1.1 {self.server.status} X\r\nContent-Length: 0\r\n\r\n".encode())


@pytest.mark.parametrize(("fault", "behaviour"), [
    (None, {}), ("missing 1", {"copies": 0}), ("strays", {"copies": 2}), ("errors 9", {"status": 503})])
def test_the_client_notices_what_is_lost_doubled_or_refused(fault, behaviour):
    with Careless() as server:
        vars(server).update(behaviour)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Client(server) as client:
            client.keys(["a"])
            client.connect(1)
            if fault is None:
                assert client.publish(count=9, window=1, bytes=100)["deliveries"] == 9
            else:
                with pytest.raises(Fault, match=fault):
                    client.publish(count=9, window=1, bytes=100)
        server.shutdown()


def test_says_what_is_missing_and_how_to_install_it():
    assert servers.missing(("python3", str(ROOT))) == ""
    text = servers.missing(("python3", "no-such-program", "/no/such/file"))
    assert text.startswith("missing: no-such-program /no/such/file (on Debian: apt-get install ")
    assert "libnginx-mod-nchan" in text and "chromium" not in text


def test_shows_again_what_was_written_as_tables_of_a_page(short_run, tmp_path):
    _, figures = short_run
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(figures))
    page = bench("--page", str(path)).stdout
    assert figures["command"] in page
    memory = next(goal for goal in figures["goals"] if goal["unit"] == "bytes")
    assert f"| {memory['part']}: {memory['goal']} | {memory['measured']:,.2f} | <= 1,024 bytes | " in page
    assert sum(line.startswith("| ringhop") for line in page.splitlines()) >= 4


def test_says_what_is_wrong_with_a_file_that_it_is_to_show(tmp_path):
    other = tmp_path / "other.json"
    assert f"{other}: No such file" in bench("--page", str(other), code=1).stderr.replace("[Errno 2] ", "")
    other.write_text("{")
    assert f"{other}: Expecting" in bench("--page", str(other), code=1).stderr
    other.write_text('{"parts": []}')
    assert f"{other}: not written by --json" in bench("--page", str(other), code=1).stderr


def test_an_unknown_part_or_option_is_refused():
    assert "no such part: memroy" in bench("memroy", code=2).stderr
    assert "--roundz" in bench("memory", "--roundz", "3", code=2).stderr


def test_a_goal_is_met_not_met_or_not_measured():
    results = Results()
    results.add("clients", "nginx + nchan", {"connect_us": 30, "memory_bytes": 10000})
    results.add("clients", "ringhop", {"connect_us": 31, "memory_bytes": 900})
    results.add("clients", "bare epoll", {"memory_bytes": 300})
    verdicts = {goal.text: (measured, verdict)
                for goal, measured, verdict in goals.judge(results, ("connect", "memory"))}
    assert verdicts["idle WebSocket with its idle channel, resident"] == (900, "goal met")
    assert verdicts["idle WebSocket, resident, of nchan's"] == (0.09, "goal met")
    assert verdicts["CPU to connect and upgrade, of nchan's"] == (31 / 30, "not met")
    assert verdicts["CPU to connect and upgrade, of the bare server's, aim"] == (None, "not measured")


def test_each_goal_is_of_a_part_that_can_be_run_and_has_a_text_of_its_own():
    parts = {*clients.PARTS, *driver.PARTS}
    assert {goal.part for goal in goals.GOALS} <= parts
    assert len({goal.text for goal in goals.GOALS}) == len(goals.GOALS)


def test_an_answer_that_is_late_once_in_all_rounds_is_late():
    results = Results()
    for longest in (1, 7, 2):
        results.add("view", "R = 1", {"busy_max_ms": longest})
    [(_, measured, verdict)] = goals.judge(results, ("view",))
    assert (measured, verdict) == (7, "not met")


def test_fan_out_is_held_against_the_best_of_the_others():
    results = Results()
    for row, cost in (("ringhop", 2.0), ("bare epoll", 3.0), ("npm ws", 9.0)):
        results.add("clients", row, {"fanout_us": cost})
    [(_, measured, verdict)] = goals.judge(results, ("fanout",))
    assert (measured, verdict) == (1.5, "goal met")


def test_the_median_of_the_rounds_counts():
    results = Results()
    for cost in (5, 1, 100):
        results.add("clients", "ringhop", {"publish_us": cost})
    assert results.get("clients", "ringhop", "publish_us") == 5
    assert results.get("clients", "ringhop", "connect_us") is None


def test_reads_what_the_benchmark_of_the_ring_prints():
    found = lookup.parse("""8 nodes, 4096 points                    cold    median       min
  lookup of a hash                      2.88      2.53      2.42 ns
  lookup of a key                       8.34     12.11      7.57 ns
  textbook of a key                    95.06    145.94     79.72 ns
  build and difference                            0.11      0.09 ms
""")
    assert found == {"8 nodes": {"key_ns": 7.57, "textbook_ns": 79.72, "join_ms": 0.09}}
