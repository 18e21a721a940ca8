# SPDX-License-Identifier: Apache-2.0
"""A node with a bad config says file, line and reason, and does not start."""
import os
import pathlib
import subprocess

import pytest

from harness.node import program
from harness.process import Process

GOOD = """cluster: demo
zookeeper: {servers: "127.0.0.1:1"}
nodes:
  - {id: n1, listen: "127.0.0.1:7101", peer: "127.0.0.1:7201", admin: "127.0.0.1:7301"}
"""


def start(tmp_path, text, *flags, node="n1"):
    path = tmp_path / "cluster.yaml"
    if text is not None:
        path.write_text(text)
    process = Process([program("ringhopd"), "--config", path, "--node", node, *flags],
                      tmp_path / "log")
    try:
        return process.wait(10), process.log()
    finally:
        process.kill()


@pytest.mark.parametrize("text, line, word", [
    ("cluster: [demo\n", None, "cluster.yaml:"),
    (GOOD + "nonsense: 1\n", 5, "nonsense"),
    (GOOD.replace("id: n1", "id: n1, colour: red"), 4, "colour"),
    (GOOD.replace("zookeeper: {", "zookeeper: {session_timeout: soon, "), 2, "session_timeout"),
    (GOOD + "ring: {vnodes: 0}\n", 5, "vnodes"),
    (GOOD + "ring: {vnodes: many}\n", 5, "vnodes"),
    (GOOD + "limits: {message_bytes: 64KB}\n", 5, "message_bytes"),
    (GOOD + "compression: {level: 10}\n", 5, "level"),
    (GOOD + "compression: {window_bits: 8}\n", 5, "window_bits"),
    (GOOD.replace("7101", "70000"), 4, "listen"),
    (GOOD.replace("id: n1", "id: n 1"), 4, "id"),
    (GOOD + GOOD.splitlines()[3] + "\n", 5, "n1"),
    (GOOD + "cluster: other\n", 5, "cluster"),
    (GOOD.replace("cluster: demo\n", ""), None, "cluster"),
], ids=["syntax", "unknown", "unknown_in_node", "duration", "zero", "type", "unit",
        "level", "window", "port", "id",
        "double_node", "double_key", "missing"])
def test_is_refused_with_file_line_and_reason(tmp_path, text, line, word):
    code, log = start(tmp_path, text)
    assert code == 3
    assert "cluster.yaml" in log and word in log
    if line:
        assert f"cluster.yaml:{line}:" in log


def test_no_file(tmp_path):
    code, log = start(tmp_path, None)
    assert code == 3 and "cluster.yaml" in log


def test_a_node_that_the_file_does_not_list_needs_flags(tmp_path):
    code, log = start(tmp_path, GOOD, node="n9")
    assert code in (2, 3) and "n9" in log


def test_bad_flags(tmp_path):
    code, log = start(tmp_path, GOOD, "--nonsense")
    assert code == 2 and "nonsense" in log
    code, _ = start(tmp_path, GOOD, "--listen", "127.0.0.1:0x", "--peer", "127.0.0.1:2",
                    "--admin", "127.0.0.1:3", node="n9")
    assert code in (2, 3)


def test_a_taken_port_is_named(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, nodes=1)
    node = cluster.add("n2", start=False)
    node.client_port = cluster["n1"].client_port
    node.start(wait=False)
    assert node.process.wait(10) != 0
    assert str(node.client_port) in node.log()


def test_a_listener_beyond_loopback_warns(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, nodes=1)
    node = cluster.add("n2", start=False)
    entry = node.entry().replace(f'listen: "{node.host}"',
                                 f'listen: "0.0.0.0:{node.client_port}", advertise: "{node.ws}"')
    cluster.config_path.write_text(cluster.config_text() + entry + "\n")
    node.listed = True
    node.start()
    warnings = [line for line in node.log().splitlines() if "warn" in line.lower()]
    assert any("listener_reachable" in line for line in warnings), node.log()


def test_no_more_connections_than_descriptors(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, nodes=1, settings={"limits": "{connections: 5000000}"})
    assert any("connections" in line and "warn" in line.lower()
               for line in cluster["n1"].log().splitlines()), cluster["n1"].log()


def test_closed_standard_files_are_not_taken_for_sockets(shared_zookeeper, make_cluster):
    """Or its log would go to whoever is connected there."""
    node = make_cluster(shared_zookeeper, nodes=1, start=False)["n1"]
    node.process = Process(["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', *node.arguments()],
                           node.cluster.folder / "n1.log")
    node.wait_ready()
    files = pathlib.Path(f"/proc/{node.process.pid}/fd")
    assert [os.readlink(files / str(number)) for number in range(3)] == ["/dev/null"] * 3
    assert node.stop() == 0


def test_help_and_version():
    for flag in ("--help", "--version"):
        done = subprocess.run([program("ringhopd"), flag], capture_output=True, text=True)
        assert done.returncode == 0 and "ringhopd" in done.stdout
