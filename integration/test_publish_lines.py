# SPDX-License-Identifier: Apache-2.0
"""`ringhop publish --stdin`: every line is published once, in order of its key, or told; and the
examples of docs/sources.md do what the page says."""
import json
import os
import re
import signal
import subprocess
from collections import defaultdict

import pytest

from harness.node import BUILD, ROOT, program
from harness.ports import free_port
from harness.process import Process, _die_with_parent
from harness.wait import stays, wait_for
from harness.ws import Follower


def publish(cluster, lines, *arguments):
    """(exit code, summary, what it complained of)"""
    done = cluster.cli_run("publish", "--stdin", "--json", *arguments, stdin="".join(lines))
    return done.returncode, json.loads(done.stdout), done.stderr.splitlines()


def log(node, key):
    """All messages of a channel, over polls."""
    messages, position = [], "0"
    while True:
        answer = node.poll(key, after=position, limit=1000).json()
        messages += answer["messages"]
        position = answer["position"]
        if not answer["more"]:
            return messages


def test_lines_of_all_formats_arrive(steady, key):
    code, summary, said = publish(steady, [f"{key}\ta\tb\n", "\n", f"{key}\tü"])
    assert (code, summary["lines"], summary["published"], said) == (0, 3, 2, [])
    code, summary, _ = publish(
        steady, [json.dumps(line) + "\n" for line in (
            {"key": key, "id": "mine", "json": {"a": [1]}}, {"key": key, "id": "mine", "data": "no"},
            {"key": key, "base64": "AAE=", "other": True})], "--format", "json")
    assert (code, summary["published"], summary["duplicates"]) == (0, 3, 1)
    code, summary, _ = publish(steady, ["1\n", "\n"], key)
    assert (code, summary["published"]) == (0, 2)
    code, summary, _ = publish(steady, ["[2]\n"], "--type", "json", "--id", "x", key)
    messages = log(steady.owner(key), key)
    assert [m.get("data", m.get("json", m.get("base64"))) for m in messages] == [
        "a\tb", "ü", {"a": [1]}, "AAE=", "1", "", [2]]
    assert [m["id"] for m in messages][2] == "mine" and messages[-1]["id"] == "x-1"


def test_each_bad_line_is_named_and_the_rest_is_published(steady, key):
    size = 65536
    code, summary, said = publish(steady, [
        f"{key}\tone\n", "no tab\n", "\tempty key\n", f"{key}\t{'x' * (size + 1)}\n",
        f"{key}\t{'x' * (9 * size)}\n", f"{key}\ttwo\n"])
    assert code == 6
    assert (summary["lines"], summary["published"], summary["refused"]) == (6, 2, 4)
    assert [re.search(r"line (\d+)", line)[1] for line in said] == ["2", "3", "4", "5"]
    assert "TAB" in said[0] and "key" in said[1] and "65536" in said[2] and "65536" in said[3]
    code, summary, said = publish(steady, ["[1]\n", "nonsense\n"], "--type", "json", key)
    assert (code, summary["published"], summary["refused"]) == (6, 1, 1)
    assert "line 2: refused: HTTP 400" in said[0]       # by the node
    assert [m.get("data", m.get("json")) for m in log(steady.owner(key), key)] == ["one", "two", [1]]


@pytest.mark.parametrize("arguments, says", [
    ([], "KEY is missing"), (["--format", "xml", "--stdin"], "--format"),
    (["--format", "tab", "k"], "--stdin"), (["--stdin", "k", "data"], "DATA"),
    (["--stdin", "--format", "json", "k"], "keys"), (["--stdin", "--id", "x" * 128], "too long"),
    (["--stdin", "--format", "json", "--type", "text"], "type")])
def test_options_that_make_no_sense_are_refused(steady, arguments, says):
    done = steady.cli_run("publish", *arguments, stdin="")
    assert done.returncode == 2 and says in done.stderr


def test_a_second_run_with_the_same_ids_publishes_nothing(steady, key):
    lines = [f"{key}:{n % 7}\t{n}\n" for n in range(500)]
    assert publish(steady, lines, "--id", key)[1]["duplicates"] == 0
    code, summary, _ = publish(steady, lines, "--id", key)
    assert (code, summary["published"], summary["duplicates"]) == (0, 500, 500)
    for number in range(7):
        name = f"{key}:{number}"
        assert [int(m["data"]) for m in log(steady.owner(name), name)] == list(range(number, 500, 7))


class Source:
    """The command with a pipe that the test writes to."""

    def __init__(self, cluster, *arguments):
        self.process = subprocess.Popen(
            [program("ringhop"), "publish", "--stdin", "--json", *arguments], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=1,
            env={**os.environ, "RINGHOP_CONFIG": str(cluster.config_path)},
            preexec_fn=_die_with_parent)

    def write(self, lines):
        self.process.stdin.write("".join(lines))
        self.process.stdin.flush()

    def finish(self, bound=60):
        out, err = self.process.communicate(timeout=bound)
        return self.process.returncode, json.loads(out), err


def ordered(cluster, followers, total):
    """All was heard by the followers, once, in order of each key."""
    wait_for(lambda: sum(len(f.messages) for f in followers.values()) >= total, 60, "all messages")
    for name, follower in followers.items():
        numbers = [int(m["data"]) for m in follower.messages]
        assert numbers == sorted(set(numbers)), name
    assert sum(len(f.messages) for f in followers.values()) == total
    for follower in followers.values():
        follower.close()


@pytest.mark.parametrize("what", ["kill", "drain", "join"])
def test_nothing_is_lost_doubled_or_out_of_order_while_nodes_come_and_go(cluster, what):
    keys = [f"lines:{n}" for n in range(20)]
    source = Source(cluster)
    followers = {}
    for number, name in enumerate(keys):
        source.write([f"{name}\t{number}\n"])
        nodes = [node for node in cluster.running() if node.id != "n2"]
        followers[name] = Follower(nodes[number % 2].ws_url(name, after=0),
                                   home=nodes[number % 2].ws_url(name))
    wait_for(lambda: all(f.messages for f in followers.values()), 20, "the first of each")
    total = len(keys)

    def more(count):
        nonlocal total
        source.write([f"{keys[n % len(keys)]}\t{n}\n" for n in range(total, total + count)])
        total += count
    more(5000)
    if what == "kill":
        cluster["n2"].kill()
    elif what == "drain":
        cluster.cli("drain", "n2")
    else:
        cluster.add("n4", start=False).start(wait=False)
    for _ in range(10):
        more(500)
    cluster.wait_settled()
    more(2000)
    code, summary, said = source.finish()
    assert (code, summary["published"], summary["unknown"]) == (0, total, 0), said
    ordered(cluster, followers, total)


def test_a_source_that_is_too_fast_waits_in_its_pipe(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, nodes=1)
    source = Source(cluster, "one")
    source.write(["first\n"])
    wait_for(lambda: log(cluster["n1"], "one"), what="the first message")
    cluster["n1"].pause()
    written = 0
    os.set_blocking(source.process.stdin.fileno(), False)

    def is_full():
        nonlocal written
        try:
            while True:
                written += os.write(source.process.stdin.fileno(), b"x" * 999 + b"\n")
        except BlockingIOError:
            return True
    stays(is_full, 1)
    assert written < 20 * 2**20
    cluster["n1"].resume()
    os.set_blocking(source.process.stdin.fileno(), True)
    code, summary, said = source.finish()
    assert code == 0 and summary["published"] == 1 + written // 1000 + (written % 1000 != 0), said


def test_a_signal_ends_the_input_and_what_was_read_is_published(steady, key):
    source = Source(steady, key)
    source.write(["a\n", "b\n"])
    wait_for(lambda: len(log(steady.owner(key), key)) == 2, what="both messages")
    source.process.send_signal(signal.SIGTERM)
    assert source.process.wait(10) == 0
    assert json.loads(source.process.stdout.read())["published"] == 2


def test_without_any_node_it_ends_and_says_what_is_not_published(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, nodes=1)
    cluster["n1"].kill()
    code, summary, said = publish(cluster, ["k\t1\n", "k\t2\n"], "--timeout", "1s")
    assert code == 5 and (summary["published"], summary["unknown"]) == (0, 2)
    assert [re.search(r"line (\d+): not published", line)[1] for line in said] == ["1", "2"]


# ---- docs/sources.md ----

def example(containing):
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/sources.md").read_text(), re.M | re.S)
    block, = [block for block in blocks if containing in block]
    return block


class Pipeline:
    """An example of the page, in a group of its own."""

    def __init__(self, script, cluster, path=""):
        self.process = subprocess.Popen(
            ["bash", "-c", script], start_new_session=True, stdin=subprocess.DEVNULL,
            env={"PATH": f"{path}{BUILD / 'cli'}:/usr/bin:/bin",
                 "RINGHOP_CONFIG": str(cluster.config_path)})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


class Redis:
    def __init__(self, folder):
        self.port = free_port()
        self.process = Process(["redis-server", "--port", self.port, "--save", "", "--dir", folder],
                               folder / "redis.log")
        wait_for(lambda: self.cli("PING") == "PONG", what="redis")

    def cli(self, *arguments):
        return subprocess.run(["redis-cli", "-p", str(self.port), *arguments], text=True,
                              capture_output=True, timeout=10).stdout.strip()

    def script(self, text):
        return text.replace("redis-cli ", f"redis-cli -p {self.port} ")


@pytest.fixture
def redis(tmp_path):
    server = Redis(tmp_path)
    yield server
    server.process.kill()


def test_what_is_published_in_redis_reaches_the_channels(steady, redis):
    texts = ["plain", 'quote " and \\', "two\nlines", "ü"]
    with Pipeline(redis.script(example("PSUBSCRIBE")), steady):
        wait_for(lambda: redis.cli("PUBSUB", "NUMPAT") == "1", what="the subscription")
        for text in texts:
            redis.cli("PUBLISH", "room:redis", text)
        redis.cli("PUBLISH", "other", "not this one")
        owner = steady.owner("room:redis")
        wait_for(lambda: [m["data"] for m in log(owner, "room:redis")] == texts, 20, "all messages")


def test_a_redis_stream_is_taken_over_once_also_when_the_loop_begins_anew(steady, redis):
    script = redis.script(example("XREAD"))

    def add(first, last):
        for number in range(first, last):
            redis.cli("XADD", "events", "*", "key", f"stream:{number % 3}", "data", str(number))

    def heard():
        return {name: [int(m["data"]) for m in log(steady.owner(name), name)]
                for name in (f"stream:{n}" for n in range(3))}

    def complete(last):
        return heard() == {f"stream:{n}": list(range(n, last, 3)) for n in range(3)}
    add(0, 30)
    with Pipeline(script, steady):
        wait_for(lambda: complete(30), 20, "what the stream held")
        add(30, 60)
        wait_for(lambda: complete(60), 20, "what came")
    with Pipeline(script, steady):
        add(60, 90)
        wait_for(lambda: complete(90), 20, "all, and nothing twice")


@pytest.fixture
def kafka(tmp_path):
    """The address of the broker that kcat brings along for tests; it has four partitions."""
    process = Process(["kcat", "-C", "-q", "-X", "test.mock.num.brokers=1", "-b", "ignored", "-t",
                       "host", "-d", "mock"], tmp_path / "kcat.log")
    yield wait_for(lambda: re.search(r"servers=(127\.0\.0\.1:\d+)", process.log()),
                   what="the address of the broker")[1]
    process.kill()


@pytest.mark.parametrize("containing", ["%k\\t%s", "-G ringhop"])
def test_what_kafka_holds_reaches_the_channels(steady, kafka, containing):
    prefix = "kafka:tab" if "\\t" in containing else "kafka:json"
    values = [f'"{number}"' for number in range(20)]
    subprocess.run(["kcat", "-P", "-b", kafka, "-t", "events", "-K", "\t"], check=True, timeout=30,
                   text=True, input="".join(f"{prefix}:{n % 2}\t{v}\n"
                                            for n, v in enumerate(values)))
    script = example(containing).replace("broker:9092", kafka).replace(
        "kcat -C", "kcat -C -X auto.offset.reset=earliest").replace("-t events", "-t events -o beginning")
    with Pipeline(script, steady):
        for number in range(2):
            name = f"{prefix}:{number}"
            wait_for(lambda name=name, number=number:
                     [m.get("data", json.dumps(m.get("json"))) for m in log(steady.owner(name), name)]
                     == values[number::2], 30, f"what was sent to {name}")
