# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/clients.md do what the page says, word for word."""
import re
import subprocess

import pytest

from harness.reader import Reader
from harness.node import ROOT
from harness.wait import wait_for

KEY = "user:42"


def example(language, containing):
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "docs/clients.md").read_text(),
                        re.M | re.S)
    block, = [block for block in blocks if containing in block]
    return block


class Lines(Reader):
    """A program, and the lines that it has written."""

    def __init__(self, *arguments):
        self.lines = []
        super().__init__(arguments, stderr=subprocess.DEVNULL)

    def _take(self, line):
        self.lines.append(line)


def publish(node, *texts):
    for text in texts:
        wait_for(lambda text=text: node.publish(KEY, text, message_id=text).status == 201, 30,
                 f"{text} is acknowledged")


def test_the_listener_in_python_survives_a_crash_and_a_move(cluster):
    owner, entry = cluster.owner(KEY), cluster.wrong_node(KEY)
    script = example("python", "async def listen")
    nodes = [node.ws for node in cluster.running()]
    script, count = re.subn(r"^NODES = .*$", f"NODES = {nodes!r}", script, flags=re.M)
    assert count == 1
    with Lines("/usr/bin/python3", "-u", "-c", script) as listener:
        publish(entry, "a", "b")
        wait_for(lambda: listener.lines == ["1 a", "2 b"], 20, "two messages")
        owner.kill()
        publish(entry, "c")
        wait_for(lambda: listener.lines == ["1 a", "2 b", "3 c"], 60, "one after the crash")
        cluster.wait_settled()
        cluster.cli("drain", "--wait", cluster.owner(KEY).id)
        publish(entry, "d")
        wait_for(lambda: listener.lines == ["1 a", "2 b", "3 c", "4 d"], 60, "one after the move")


@pytest.fixture
def url(steady):
    return f"{steady.wrong_node(KEY).url}/v1/channels/user%3A42"


def test_the_lines_for_curl_work(steady, url, tmp_path):
    lines = [line.split("   #")[0].rstrip()
             for line in example("sh", "curl -LN").splitlines() if line.startswith("curl")]
    (tmp_path / "document.json").write_text('{"a": 1}')
    incarnation = None
    for line in lines:
        line = line.replace("POSITION", f"{incarnation}:0").replace("curl ", "curl -s -m 2 ", 1)
        done = subprocess.run(["bash", "-c", line], env={"url": url, "PATH": "/usr/bin:/bin"},
                              cwd=tmp_path, text=True, capture_output=True, timeout=60)
        assert done.returncode == (28 if "/events" in line else 0), (line, done)
        if "Idempotency-Key" in line:
            incarnation = re.search('"incarnation":"([0-9a-f]+)"', done.stdout)[1]
        elif "document.json" not in line:
            assert '"data":"hello"' in done.stdout, (line, done.stdout)
    assert len(lines) == 5
    assert steady.owner(KEY).get("/v1/channels/user%3A42/state").json() == {"a": 1}


def test_the_loop_for_curl_misses_nothing(steady, url):
    with Lines("bash", "-c", f"url={url}\n" + example("sh", "while answer=")) as loop:
        node = steady.running()[0]
        for number in range(20):
            publish(node, f"loop {number}")
        wait_for(lambda: len([line for line in loop.lines if '"loop ' in line]) == 20, 30, "20 lines")
        assert [line for line in loop.lines if '"loop ' in line] == \
            sorted(set(loop.lines) - {line for line in loop.lines if '"loop ' not in line},
                   key=lambda line: int(re.search(r'"seq":(\d+)', line)[1]))
