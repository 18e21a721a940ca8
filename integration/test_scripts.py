# SPDX-License-Identifier: Apache-2.0
"""scripts/quickstart and scripts/cluster, as a newcomer runs them, in a folder of their own."""
import os
import pathlib
import random
import socket
import subprocess

import pytest

from harness.node import BUILD, ROOT


@pytest.fixture
def script(tmp_path):
    """Runs a script; whatever it started is taken down at the end."""
    run = tmp_path / "run"
    base = random.randrange(100, 190) * 100
    env = {**os.environ, "RINGHOP_RUN": str(run), "RINGHOP_BUILD": str(BUILD),
           "RINGHOP_PORT_BASE": str(base), "RINGHOP_ZOOKEEPER_PORT": str(base + 1000 + base % 7)}

    def call(name, *arguments, code=0, timeout=150):
        with open(tmp_path / "out", "w+") as out:
            done = subprocess.run([ROOT / "scripts" / name, *arguments], stdout=out,
                                  stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                  timeout=timeout, env=env, cwd=tmp_path)
            out.seek(0)
            text = out.read()
        assert done.returncode == code, text
        return text
    call.run = run
    call.base = base
    yield call
    call("cluster", "down")


def pids(run):
    return {path.name: int(path.read_text().split()[0]) for path in (run / "pids").glob("*")}


def alive(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(") ")[2][0] != "Z"   # a zombie is init's to bury


def test_quickstart_twice_and_down(script):
    first = script("quickstart")
    assert "How to go on" in first
    assert (script.run / "cluster.yaml").exists()
    assert "cluster of an earlier run" in script("quickstart")
    running = pids(script.run)
    assert set(running) == {"zookeeper", "n1", "n2", "n3", "n4"}
    script("quickstart", "--down")
    assert not any(alive(pid) for pid in running.values())
    assert "nothing runs" in script("cluster", "status")


def test_cluster_add_remove_kill_and_back(script):
    script("cluster", "up", "2")
    script("cluster", "up", "2")
    script("cluster", "add")
    script("cluster", "add", "big", "--weight", "2")
    assert set(pids(script.run)) == {"zookeeper", "n1", "n2", "n3", "big"}
    script("cluster", "add", "n1", code=1)
    script("cluster", "remove", "n2")
    script("cluster", "kill", "n1")
    script("cluster", "kill", "n1", code=1)
    script("cluster", "add", "n1")
    script("cluster", "add", "n2")
    script("cluster", "zookeeper", "stop")
    script("cluster", "zookeeper", "start")
    status = script("cluster", "status")
    assert status.count(" ready") == 4, status


def test_a_stale_pid_file_harms_nobody(script):
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        (script.run / "pids").mkdir(parents=True)
        (script.run / "pids" / "n1").write_text(f"{bystander.pid} 1 some-other-boot\n")
        script("cluster", "down")
        assert bystander.poll() is None
        script("cluster", "up", "1")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_taken_ports_are_replaced_and_named(script):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", script.base + 1))
        taken.listen()
        text = script("cluster", "up", "1")
        assert "n1 is taken" in text
        assert f":{script.base + 1}\"" not in (script.run / "cluster.yaml").read_text()


@pytest.mark.parametrize("arguments, code", [
    ([], 2), (["nonsense"], 2), (["up", "x"], 2), (["add", "a b"], 2), (["remove"], 2),
    (["kill", "n9"], 1), (["add"], 1), (["--help"], 0),
])
def test_wrong_usage_is_told(script, arguments, code):
    script("cluster", *arguments, code=code)
