# SPDX-License-Identifier: Apache-2.0
"""Everybody who computes an owner computes the same one."""
import json
import os
import re
import subprocess
import urllib.parse

import pytest

from harness.node import ROOT, program
from harness.wait import wait_for

KEYS = ["user:42", "a", "x" * 512, "ü/€", "doc:8f3"] + [f"user:{n}" for n in range(1000)]


def test_cli_nodes_and_offline_agree(steady):
    online = steady.owners(KEYS)
    assert online == steady.owners(KEYS, offline=True)
    for key in KEYS[:100]:
        for node in steady.running():
            assert node.where(key)["node"] == online[key]


def test_shares_are_what_keys_say(steady):
    owners = list(steady.owners([f"k{n}" for n in range(20000)]).values())
    for member in steady["n1"].ring()["members"]:
        assert owners.count(member["node"]) / len(owners) == pytest.approx(member["share"], abs=0.02)


def test_owner_of_one_key_as_json(steady):
    entry = steady.cli_json("owner", "user:42")
    assert entry["key"] == "user:42" and len(entry["hash"]) == 16
    assert entry["epoch"] == steady["n1"].ring()["epoch"]
    channel = steady["n1"].channel("user:42")
    assert entry["owner"] == channel["owner"] and entry["replicas"] == channel["replicas"]


def test_plan_compares_with_plain_modulo(steady):
    plan = steady.cli_json("plan", "--add", "n4")
    assert 0.2 < plan["moved"] < 0.3
    assert 0.7 < plan["modulo_moved"] < 0.8
    shares = {node["node"]: node for node in plan["nodes"]}
    assert shares["n4"]["before"] == 0 and shares["n4"]["after"] == pytest.approx(plan["moved"])
    gone = steady.cli_json("plan", "--remove", "n1")
    assert gone["moved"] == pytest.approx(shares["n1"]["before"], abs=1e-6)


def test_check_says_no_when_a_node_does_not_answer(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, session_timeout="30s")
    cluster["n2"].pause()
    try:
        done = cluster.cli_run("check", "--json")
        assert done.returncode == 1
        check = json.loads(done.stdout)
        assert check["ok"] is False
        error = {node["node"]: node["error"] for node in check["nodes"]}
        assert error["n2"] and not error["n1"]
    finally:
        cluster["n2"].resume()


def test_listen_follows_a_move_and_resumes_after_a_crash(cluster):
    key = cluster.key_owned_by(cluster["n3"])
    output = cluster.folder / "listen.out"
    with open(output, "w") as out:
        listener = subprocess.Popen(
            [program("ringhop"), "listen", key, "--json"], stdout=out, stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL, env={**os.environ, "RINGHOP_CONFIG": str(cluster.config_path)})
    try:
        def heard():
            return [json.loads(line)["data"] for line in output.read_text().splitlines()]
        wait_for(lambda: cluster["n1"].channel(key)["connections"] == 1, 10, "listening")
        cluster["n1"].publish(key, "one")
        wait_for(lambda: heard() == ["one"], 5, "one")
        cluster["n3"].kill()
        cluster.wait_settled()
        wait_for(lambda: cluster["n1"].channel(key)["connections"] == 1, 20, "listening again")
        cluster["n2"].publish(key, "two")
        wait_for(lambda: heard() == ["one", "two"], 5, "two")
        cluster["n3"].start()
        cluster.wait_settled()
        wait_for(lambda: cluster["n1"].channel(key)["owner"] == "n3" and
                 cluster["n1"].channel(key)["connections"] == 1, 20, "moved back")
        cluster["n1"].publish(key, "three")
        wait_for(lambda: heard() == ["one", "two", "three"], 5, "three")
    finally:
        listener.kill()
        listener.wait()


@pytest.mark.parametrize("arguments, code", [
    (["nonsense"], 2), (["owner", "--nonsense"], 2), (["drain"], 2), (["weight", "n1", "heavy"], 2),
    (["drain", "n77"], 6),
])
def test_exit_codes(steady, arguments, code):
    steady.cli(*arguments, code=code)


def test_exit_codes_without_config_or_zookeeper(steady, tmp_path):
    steady.cli("ring", code=3, config=tmp_path / "none.yaml")
    lonely = tmp_path / "cluster.yaml"
    lonely.write_text(steady.config_text(zookeeper="127.0.0.1:1"))
    steady.cli("ring", code=4, config=lonely)
    steady.cli("ring", "--offline", config=lonely)


# --- golden placements ---------------------------------------------------------------------------

def golden_rings():
    """The rings of tests/vectors/ring.txt (docs/ring.md describes the file)."""
    rings = []
    for line in (ROOT / "tests" / "vectors" / "ring.txt").read_text().splitlines():
        word, _, rest = line.partition(" ")
        fields = rest.split(" ")
        if word == "ring":
            rings.append({"name": fields[0], "members": [], "keys": {}})
        elif word == "member":
            rings[-1]["members"].append((fields[0], int(fields[1]), *fields[2:3]))
        elif word == "key":
            rings[-1]["keys"][urllib.parse.unquote(fields[0])] = (fields[1], fields[2:])
        elif word in ("seed", "vnodes", "replicas", "digest"):
            rings[-1][word] = fields[0]
    # A cluster config has nodes, and zones of plain characters.
    return [ring for ring in rings if ring["members"]
            and all(re.fullmatch(r"[\w.-]*", zone) for _, _, *zones in ring["members"]
                    for zone in zones)]


def golden_config(ring):
    lines = ["cluster: golden", 'zookeeper: {servers: "127.0.0.1:1"}',
             "ring: {vnodes: %(vnodes)s, replicas: %(replicas)s, seed: %(seed)s}" % ring, "nodes:"]
    for number, (node, weight, *zone) in enumerate(ring["members"]):
        addresses = [f"127.0.0.1:{10000 + 3 * number + place}" for place in range(3)]
        lines.append('  - {id: "%s", listen: "%s", peer: "%s", admin: "%s", zone: "%s", weight: %s}'
                     % (node, *addresses, *(zone or [""]), f"{weight / 1000:g}"))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("ring", golden_rings(), ids=lambda ring: ring["name"])
def test_the_cli_agrees_with_the_golden_placements(steady, tmp_path, ring):
    path = tmp_path / "golden.yaml"
    path.write_text(golden_config(ring))
    text = steady.cli("ring", "--offline", "--json", config=path)
    assert json.loads(text)["digest"] == ring["digest"]
    keys = [key for key in ring["keys"] if "\n" not in key]
    done = steady.cli_run("owner", "--offline", "--json", "--", *keys, config=path)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [entry["key"] for entry in answers] == keys
    for entry in answers:
        hash_, preference = ring["keys"][entry["key"]]
        assert entry["hash"] == hash_
        assert entry["epoch"] is None
        assert [node for node in [entry["owner"], *entry["replicas"]] if node] == preference


@pytest.mark.parametrize("name", ["three", "four"])
def test_running_nodes_agree_with_the_golden_placements(shared_zookeeper, make_cluster, name):
    ring = next(ring for ring in golden_rings() if ring["name"] == name)
    cluster = make_cluster(shared_zookeeper, nodes=len(ring["members"]),
                           zones=[zone for _, _, zone in ring["members"]])
    for node in cluster.running():
        assert node.ring()["digest"] == ring["digest"]
        for key, (_, preference) in ring["keys"].items():
            assert node.where(key)["node"] == preference[0]
            channel = node.channel(key)
            assert [channel["owner"], *channel["replicas"]] == preference
