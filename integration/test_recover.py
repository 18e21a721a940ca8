# SPDX-License-Identifier: Apache-2.0
"""`ringhop recover`: who is missing of the last recorded view, and what is written. The test is the
cluster: it writes what nodes would have left in ZooKeeper."""
import json
import os
import pty
import signal
import subprocess

import pytest

from harness.node import program
from harness.wait import wait_for


def member(number):
    return {"id": f"n{number}", "instance": f"{number:016x}", "origin": f"n{number}.{number:010}",
            "peer": f"127.0.0.1:{7000 + number}"}


@pytest.fixture
def left(shared_zookeeper, make_cluster):
    """left(generation=1, last=..., registered=[...]): a cluster of which only that is left."""
    with shared_zookeeper.client() as client:
        def leave(generation=1, last=None, forgotten=(), registered=()):
            cluster = make_cluster(shared_zookeeper, start=False)
            root = f"/ringhop/{cluster.name}"
            config = {"format": 1, "generation": generation, "vnodes": 512, "replicas": 2,
                      "seed": "0000000000000000", "session_timeout_ms": 4000}
            if last is not None:
                config["last"] = {"generation": 1, "pzxid": 57,
                                  "members": [member(number) for number in last]}
            if forgotten:
                config["forgotten"] = [f"{number:016x}" for number in forgotten]
            client.ensure_path(f"{root}/members")
            client.create(f"{root}/config", json.dumps(config).encode())
            for number in registered:
                registration = {**member(number), "weight": 1, "zone": "",
                                "url": f"ws://127.0.0.1:{8000 + number}",
                                "admin": f"127.0.0.1:{9000 + number}", "version": "0"}
                del registration["origin"]
                client.create(f"{root}/members/n{number}.", json.dumps(registration).encode(),
                              ephemeral=True, sequence=True)
            cluster.written = lambda: json.loads(client.get(f"{root}/config")[0])
            cluster.write = lambda config: client.set(f"{root}/config", json.dumps(config).encode())
            return cluster
        yield leave


@pytest.mark.parametrize("what, words", [
    ({}, "no view of this cluster was ever recorded"),
    ({"last": []}, "the last node stopped in order"),
    ({"last": [1], "forgotten": [1]}, "registered, replaced or given up"),
    ({"generation": 2, "forgotten": [0]}, "registered, replaced or given up")])
def test_where_nobody_is_missing_nothing_is_written(left, what, words):
    cluster = left(**what)
    before = cluster.written()
    out = cluster.cli("recover", "--yes")
    assert out.startswith("nothing to recover: ") and words in out
    assert cluster.cli_json("recover", "--yes")["recovered"] is False
    assert cluster.written() == before


def test_the_missing_are_shown_and_given_up(left):
    cluster = left(last=[1, 2, 3], registered=[4], forgotten=[2])
    before = cluster.written()
    done = cluster.cli_run("recover")
    assert done.returncode == 1 and "nobody to ask" in done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["n1", "0000000000000001", "127.0.0.1:7001"] in lines
    assert not any(line and line[0] == "n2" for line in lines)
    assert cluster.written() == before
    out = cluster.cli("recover", "--yes")
    assert "given up" in out
    after = cluster.written()
    assert sorted(after.pop("forgotten")) == [f"{number:016x}" for number in (1, 2, 3)]
    before.pop("forgotten")
    assert after == before
    assert "nothing to recover" in cluster.cli("recover")


def test_as_json_it_only_looks_unless_told(left):
    cluster = left(last=[1, 2])
    seen = json.loads(cluster.cli("recover", "--json", code=1))
    assert seen == {"state": "missing", "generation": 1, "epoch": 57, "recovered": False,
                    "missing": [{"node": f"n{number}", "instance": f"{number:016x}",
                                 "peer": f"127.0.0.1:{7000 + number}"} for number in (1, 2)]}
    assert cluster.cli_json("recover", "--yes")["recovered"] is True
    assert cluster.cli_json("recover")["state"] == "settled"


def test_members_whom_nobody_knows_are_given_up(left):
    cluster = left(generation=2)
    assert "ZooKeeper's data was lost" in cluster.cli("recover", "--yes")
    assert cluster.written()["forgotten"] == ["0" * 16]


@pytest.mark.parametrize("answer, code", [("y", 0), ("yes", 0), ("n", 1), ("", 1)])
def test_on_a_terminal_it_asks(left, answer, code):
    cluster = left(last=[1])
    ours, theirs = pty.openpty()
    command = subprocess.Popen([program("ringhop"), "-c", cluster.config_path, "recover"],
                               stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.write(ours, f"{answer}\n".encode())
    _, err = command.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert command.returncode == code and b"[y/N]" in err
    assert ("forgotten" in cluster.written()) == (code == 0)


def test_what_changes_while_it_asks_is_not_overwritten(left):
    cluster = left(last=[1])
    ours, theirs = pty.openpty()
    with open(cluster.folder / "err", "w") as err:
        command = subprocess.Popen([program("ringhop"), "-c", cluster.config_path, "recover"],
                                   stdin=theirs, stdout=subprocess.PIPE, stderr=err)
    wait_for(lambda: "[y/N]" in (cluster.folder / "err").read_text(), 10, "the question")
    later = {**cluster.written(), "last": {"generation": 1, "pzxid": 60, "members": [member(2)]}}
    cluster.write(later)
    os.write(ours, b"y\n")
    command.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert command.returncode == 6
    assert "something else meanwhile" in (cluster.folder / "err").read_text()
    assert cluster.written() == later


# --- real nodes that keep copies ------------------------------------------------------------------

@pytest.fixture
def copies(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, session_timeout="1s")
    if not cluster.replicates():
        pytest.skip("this build keeps one copy, and records nothing")
    return cluster


def gone(cluster):
    with cluster.zookeeper.client() as client:
        wait_for(lambda: client.get_children(f"/ringhop/{cluster.name}/members") == [], 10,
                 "all registrations gone")


def test_a_cluster_that_stopped_in_order_starts_again_by_itself(copies):
    assert copies["n1"].publish("k", "x").status == 201
    for node in copies.nodes.values():
        node.process.signal(signal.SIGTERM)
    for node in copies.nodes.values():
        assert node.process.wait(30) == 0
    assert "the last node stopped in order" in copies.cli("recover")
    for node_id in list(copies.nodes):  # others come in their place
        copies.add(f"{node_id}b", start=False).start(wait=False)
    copies.wait_settled(bound=30)
    assert copies["n1b"].publish("k", "y").status == 201


def test_who_comes_after_a_crash_of_all_waits_for_the_operator(copies):
    assert copies["n1"].publish("k", "x").status == 201
    for node in copies.nodes.values():
        node.kill()
    gone(copies)
    fresh = copies.add("n4")
    wait_for(lambda: "record_waits" in fresh.log(), 20, "it says that it waits")
    assert fresh.publish("k", "y").code == "not_ready"
    seen = json.loads(copies.cli("recover", "--json", code=1))
    assert [member["node"] for member in seen["missing"]] == ["n1", "n2", "n3"]
    copies.cli("recover", "--yes")
    wait_for(lambda: fresh.publish("k", "y").status == 201, 20, "it serves")
    copies.wait_settled(bound=30)


def test_who_is_restarted_at_its_address_need_not_be_given_up(copies):
    for node in copies.nodes.values():
        node.kill()
    gone(copies)
    for node in copies.nodes.values():
        node.start(wait=False)
    copies.wait_settled(bound=30)
    assert copies["n1"].publish("k", "x").status == 201
