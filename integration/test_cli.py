# SPDX-License-Identifier: Apache-2.0
"""Every command of `ringhop` on real nodes: its JSON, its table, its exit codes, its help.
`listen` and `publish` have test_cli_listen.py."""
import json
import pty
import os
import re
import select
import subprocess
import threading

import pytest

from harness.node import program, ringhop as run
from harness.wait import wait_for
from harness.zookeeper import Registry

COMMANDS = ["apply", "check", "drain", "drill", "follow", "followers", "follows", "join", "listen", "nodes", "owner",
            "plan", "presence", "publish", "recover", "ring", "state", "turn", "unfollow", "weight"]


# --- help and usage -------------------------------------------------------------------------------

def test_help_lists_all_commands_and_exit_codes():
    text = run("--help")
    assert text.returncode == 0 and text.stderr == ""
    assert re.findall(r"^  (\w+) ", text.stdout, re.M)[:len(COMMANDS)] == COMMANDS
    assert "Exit codes: 0 yes or done, 1 no, 2 usage" in text.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example_that_exists(command):
    text = run(command, "--help")
    assert text.returncode == 0 and text.stderr == ""
    assert text.stdout.startswith(f"Usage: ringhop {command}")
    example = re.search(rf"^Example:\n  (ringhop {command}.*)$", text.stdout, re.M)
    assert example, text.stdout
    # Whatever follows in the example is at least understood.
    words = example.group(1).split("&&")[0].replace("'", "").split()[1:]
    assert run(*words, "--help").returncode == 0


def test_version():
    assert re.fullmatch(r"ringhop \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["--nonsense"], ["apply"], ["apply", "a", "b"], ["plan", "--add", "n4:1:b:c"], ["owner", "--wait"], ["ring", "x"], ["drain"],
    ["drain", "a", "b"], ["weight", "n1"], ["plan", "--add"], ["plan", "--add", "n 4"],
    ["listen"], ["publish"], ["publish", "--stdin", "k", "data"], ["follow", "k"], ["ring", "--timeout", "soon"]])
def test_usage_errors_end_with_2_before_anything_is_read(arguments):
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("ringhop") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [
    ["owner", ""], ["owner", "a\x01"], ["owner", "x" * 513], ["owner", b"\xff"],
    ["weight", "n1", "heavy"], ["weight", "n1", "-1"], ["weight", "n1", "1001"], ["drain", "n 1"],
    ["plan"], ["publish", ""], ["listen", ""], ["apply", "n4"], ["apply", ""],
    ["apply", "1:57:9f86d081884c7d65/remove:n2/4fb1c0a2e9d83c55"]])
def test_bad_values_end_with_2(steady, arguments):
    done = subprocess.run([program("ringhop"), "-c", steady.config_path, *arguments],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr


def test_output_that_cannot_be_written_is_told(steady):
    with open("/dev/full", "w") as full:
        done = subprocess.run([program("ringhop"), "-c", steady.config_path, "ring"], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "the output cannot be written" in done.stderr


@pytest.mark.parametrize("command", ["owner", "publish k --stdin", "publish k", "state set k"])
def test_an_input_that_is_closed_is_told(steady, command):
    """And no socket is taken for it, which gets its number otherwise."""
    done = subprocess.run(["sh", "-c", f'exec "$0" -c "$1" {command} <&-', program("ringhop"),
                           steady.config_path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "the standard input cannot be read" in done.stderr, done


def test_an_empty_state_is_printed_as_nothing(steady):
    steady.cli("state", "set", "nothing", "")
    assert steady.cli_run("state", "get", "nothing").stderr == ""


# --- config and ZooKeeper -------------------------------------------------------------------------

def test_the_config_is_looked_for_in_three_places(steady, tmp_path):
    text = steady.config_path.read_text()
    for name in ["flag", "environment", "cluster"]:
        (tmp_path / f"{name}.yaml").write_text(text.replace(steady.name, name))

    def cluster_of(*arguments, **options):
        done = run("ring", "--offline", "--json", *arguments, cwd=tmp_path, **options)
        return json.loads(done.stdout)["cluster"]
    assert cluster_of() == "cluster"
    environment = {"RINGHOP_CONFIG": "environment.yaml"}
    done = subprocess.run([program("ringhop"), "ring", "--offline", "--json"], cwd=tmp_path,
                          env={**os.environ, **environment}, capture_output=True, text=True)
    assert json.loads(done.stdout)["cluster"] == "environment"
    done = subprocess.run([program("ringhop"), "ring", "--offline", "--json", "--config",
                           "flag.yaml"], cwd=tmp_path, env={**os.environ, **environment},
                          capture_output=True, text=True)
    assert json.loads(done.stdout)["cluster"] == "flag"


@pytest.mark.parametrize("text, reason", [
    (None, "cannot be read: No such file or directory; name the cluster config with --config"),
    ("cluster: ]", ":1: not valid YAML"),
    ("cluster: a\nzookeeper: {servers: 'h:1'}\nring: {vnode: 1}\n",
     ":3: ring.vnode: unknown field (do you mean `vnodes`?)")])
def test_a_config_that_cannot_be_used_ends_with_3(tmp_path, text, reason):
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_text(text)
    for command in (["ring"], ["owner", "k"], ["publish", "k", "x"], ["drain", "n1"]):
        done = run("-c", path, *command)
        assert done.returncode == 3 and str(path) in done.stderr and reason in done.stderr


@pytest.mark.parametrize("arguments", [
    ["ring"], ["owner", "k"], ["nodes"], ["plan", "--add", "n9"], ["check"], ["drain", "n1"],
    ["join", "n1"], ["weight", "n1", "2"]])
def test_without_zookeeper_it_ends_with_4_in_time(steady, tmp_path, arguments):
    path = tmp_path / "lonely.yaml"
    path.write_text(steady.config_text(zookeeper="127.0.0.1:1"))
    done = run("-c", path, "--timeout", "700ms", *arguments)
    assert done.returncode == 4 and done.stdout == ""
    assert "ZooKeeper at 127.0.0.1:1 is not reachable within 700 ms" in done.stderr
    assert "Connection refused" in done.stderr


@pytest.mark.parametrize("arguments", [
    ["ring"], ["owner", "k"], ["nodes"], ["plan", "--add", "n9"], ["check"]])
def test_a_cluster_that_never_was_ends_with_1(shared_zookeeper, tmp_path, arguments):
    path = tmp_path / "never.yaml"
    path.write_text(f'cluster: never\nzookeeper: {{servers: "{shared_zookeeper.address}"}}\n')
    done = run("-c", path, *arguments)
    assert done.returncode == 1 and "no node of this cluster has ever registered" in done.stderr


def test_another_ring_in_the_file_is_told_and_not_used(steady, tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text(steady.config_text(ring="{vnodes: 100, replicas: 2, seed: 0}"))
    done = run("-c", path, "ring", "--json")
    assert done.returncode == 0
    assert "ring.vnodes of the cluster is not that of" in done.stderr
    assert json.loads(done.stdout)["vnodes"] == 512


def test_nonsense_in_zookeeper_is_no_member(cluster):
    with cluster.zookeeper.client() as client:
        registry = Registry(client, cluster.name)
        for name, data in [("junk", b"junk"), ("n7.0000000001", b"{}"),
                           ("n8.0000000002", json.dumps(registry.members()["n1"]).encode())]:
            client.create(f"{registry.root}/members/{name}", data, ephemeral=True)
        client.create(f"{registry.root}/members/n1.x",
                      json.dumps(registry.members()["n1"]).encode())
        wait_for(lambda: cluster.cli_run("check").returncode == 0, 10, "agreement")
        assert [m["node"] for m in cluster.cli_json("ring")["members"]] == ["n1", "n2", "n3"]


# --- owner, ring, plan ----------------------------------------------------------------------------

def test_owner_as_table_and_as_json(steady):
    table = steady.cli("owner", "user:42", "b").splitlines()
    assert table[0].split() == ["KEY", "OWNER", "REPLICAS", "HASH", "URL"]
    entries = [json.loads(line) for line in
               steady.cli("owner", "--json", "user:42", "b").splitlines()]
    assert [list(entry) for entry in entries] == [["key", "hash", "owner", "replicas", "epoch"]] * 2
    for line, entry in zip(table[1:], entries):
        owner = steady[entry["owner"]]
        assert line.split() == [entry["key"], owner.id, *entry["replicas"], entry["hash"], owner.ws]
        assert re.fullmatch("[0-9a-f]{16}", entry["hash"]) and len(entry["replicas"]) == 1


def test_owner_offline_needs_no_cluster(steady, tmp_path):
    path = tmp_path / "lonely.yaml"
    path.write_text(steady.config_text(zookeeper="127.0.0.1:1"))
    offline = json.loads(run("-c", path, "owner", "--offline", "--json", "k").stdout)
    online = steady.cli_json("owner", "k")
    assert offline["epoch"] is None and isinstance(online["epoch"], int)
    assert {**offline, "epoch": 0} == {**online, "epoch": 0}


def test_owner_reads_lines(steady):
    keys = ["a", " b ", "ü", "k" * 512]
    assert list(steady.owners(keys)) == keys
    lines = steady.cli("owner", "--json", stdin="last line without its end")
    assert json.loads(lines)["key"] == "last line without its end"
    assert steady.cli("owner", "--json", stdin="") == ""
    done = steady.cli_run("owner", "--json", stdin="a\n\nb\n")
    assert done.returncode == 2 and "line 2 of the input" in done.stderr
    assert json.loads(done.stdout)["key"] == "a"
    done = steady.cli_run("owner", stdin="a\0b\n")
    assert done.returncode == 2 and "line 1 of the input" in done.stderr


def test_owner_without_keys_on_a_terminal_says_so(steady):
    master, slave = pty.openpty()
    done = subprocess.run([program("ringhop"), "-c", steady.config_path, "owner"], stdin=slave,
                          capture_output=True, text=True, timeout=20)
    os.close(master)
    os.close(slave)
    assert done.returncode == 2 and "a key is missing" in done.stderr


def test_ring_is_that_of_the_nodes(steady):
    ring = steady.cli_json("ring")
    for node in steady.running():
        assert node.ring() == ring
    offline = steady.cli_json("ring", "--offline")
    assert offline["epoch"] is None and offline["generation"] is None
    assert offline["digest"] == ring["digest"]
    assert [m["instance"] for m in offline["members"]] == [None] * 3
    assert sum(m["share"] for m in offline["members"]) == pytest.approx(1, abs=1e-5)


def test_ring_as_table(steady):
    lines = steady.cli("ring").splitlines()
    ring = steady.cli_json("ring")
    assert lines[0] == (f"cluster {steady.name}, epoch {ring['epoch']} of generation 1, digest "
                        f"{ring['digest']}, 512 virtual nodes, 2 replicas")
    assert lines[1].split() == ["NODE", "WEIGHT", "SHARE", "ZONE", "URL", "INSTANCE"]
    assert [line.split()[0] for line in lines[2:]] == ["n1", "n2", "n3"]
    member = ring["members"][0]
    assert lines[2].split() == ["n1", "1", f"{member['share'] * 100:.1f}", "%", "-",
                                steady["n1"].ws, member["instance"]]


def test_plan_as_json_and_as_table(steady):
    plan = steady.cli_json("plan", "--add", "n4:2", "--remove", "n1", "--weight", "n2:0.5")
    assert list(plan)[:4] == ["epoch", "moved", "modulo_moved", "nodes"]
    assert [list(node)[:3] for node in plan["nodes"]] == [["node", "before", "after"]] * 4
    ring = steady.cli_json("ring")
    assert (plan["generation"], plan["epoch"]) == (ring["generation"], ring["epoch"])
    assert plan["plan"].startswith(f"{ring['generation']}:{ring['epoch']}:{ring['digest']}/add:n4:2:")
    nodes = {node["node"]: node for node in plan["nodes"]}
    assert list(nodes) == ["n1", "n2", "n3", "n4"]
    assert nodes["n1"]["after"] == 0 and nodes["n4"]["before"] == 0
    # n1 n2 n3 -> n2 n3 n4 by hash modulo 3: no place keeps its name.
    assert plan["modulo_moved"] == 1
    gained = sum(max(0, node["after"] - node["before"]) for node in nodes.values())
    assert gained - 1e-5 <= plan["moved"] < 1
    table = steady.cli("plan", "--add", "n4")
    assert table.splitlines()[0].split() == ["NODE", "ZONE", "BEFORE", "AFTER", "CHANGE", "CHANNELS",
                                             "CONNECTIONS", "BYTES", "COPIES"]
    assert "Placed by hash modulo the number of nodes, 75.0 % would." in table
    online = steady.cli_json("plan", "--add", "n4")
    assert table.splitlines()[-1] == f"  ringhop apply --wait {online['plan']}"


def test_a_plan_offline_says_what_the_ring_says_and_no_more(steady):
    offline = steady.cli_json("plan", "--offline", "--add", "n4")
    online = steady.cli_json("plan", "--add", "n4")
    for name in ("epoch", "generation", "plan", "seconds", "sent_bytes"):
        assert offline[name] is None and online[name] is not None, name
    assert not offline["counted"] and set(offline["total"].values()) == {None}
    assert offline["moves"] == []
    for ours, theirs in zip(offline["nodes"], online["nodes"]):
        for name in ("node", "before", "after", "zone", "weight_before", "weight_after"):
            assert ours[name] == theirs[name]
        assert set(ours["load_after"].values()) == {None}
    assert (offline["moved"], offline["modulo_moved"]) == (online["moved"], online["modulo_moved"])
    table = steady.cli("plan", "--offline", "--add", "n4")
    assert "of the keys would get another owner" in table and "apply" not in table


@pytest.mark.parametrize("arguments, reason", [
    (["--add", "n1"], "n1 cannot be added: it is in the ring already"),
    (["--remove", "n9"], "n9 is not in the ring"), (["--weight", "n9:2"], "n9 is not in the ring"),
    (["--add", "n4", "--remove", "n4"], "n4 is named twice")])
def test_plans_that_do_not_fit_end_with_6(steady, arguments, reason):
    done = steady.cli_run("plan", *arguments)
    assert done.returncode == 6 and reason in done.stderr


def test_plan_moves_the_keys_that_really_move(cluster):
    keys = [f"k{n}" for n in range(4000)]
    before = cluster.owners(keys)
    plan = cluster.cli_json("plan", "--add", "n4")
    cluster.add("n4")
    cluster.wait_settled()
    after = cluster.owners(keys)
    moved = sum(before[key] != after[key] for key in keys) / len(keys)
    assert moved == pytest.approx(plan["moved"], abs=0.03)
    shares = {node["node"]: node["after"] for node in plan["nodes"]}
    for member in cluster.cli_json("ring")["members"]:
        assert member["share"] == pytest.approx(shares[member["node"]], abs=2e-6)


# --- nodes and check ------------------------------------------------------------------------------

def test_nodes_as_json(cluster):
    cluster.cli("publish", "k", "x")
    cluster["n3"].kill()
    cluster.wait_settled(["n1", "n2"])
    nodes = cluster.cli_json("nodes")
    assert list(nodes) == ["epoch", "nodes"]
    assert [list(node) for node in nodes["nodes"]] == [
        ["node", "instance", "state", "weight", "zone", "url", "peer", "channels",
         "connections"]] * 3
    n1, n2, n3 = nodes["nodes"]
    assert (n1["node"], n2["node"], n3["node"]) == ("n1", "n2", "n3")
    assert (n1["state"], n2["state"], n3["state"]) == ("member", "member", "absent")
    assert n3["instance"] is None and n3["channels"] is None and n3["connections"] is None
    assert re.fullmatch("[0-9a-f]{16}", n1["instance"]) and n1["weight"] == 1
    assert n1["url"] == cluster["n1"].url
    assert n1["peer"] == f"127.0.0.1:{cluster['n1'].peer_port}"
    owner = cluster.owner("k").id
    assert {node["node"]: node["channels"] for node in nodes["nodes"]}[owner] == 1


def test_nodes_that_do_not_answer_have_no_numbers(cluster):
    cluster["n2"].pause()
    try:
        nodes = {node["node"]: node for node in cluster.cli_json("nodes")["nodes"]}
        assert nodes["n2"]["state"] == "member" and nodes["n2"]["channels"] is None
        assert nodes["n1"]["channels"] == 0
        line = next(line for line in cluster.cli("nodes", "-t", "300ms").splitlines()
                    if line.startswith("n2"))
        assert line.split()[1:6] == ["member", "1", "-", "-", "-"]
    finally:
        cluster["n2"].resume()


def test_check_as_json_and_as_table(steady):
    check = steady.cli_json("check")
    ring = steady["n1"].ring()
    assert list(check) == ["ok", "generation", "epoch", "digest", "nodes"]
    assert check == {"ok": True, "generation": 1, "epoch": ring["epoch"], "digest": ring["digest"],
                     "nodes": [{"node": node, "epoch": ring["epoch"], "digest": ring["digest"],
                                "error": None} for node in ("n1", "n2", "n3")]}
    lines = steady.cli("check").splitlines()
    assert lines[0].split() == ["NODE", "EPOCH", "DIGEST", "VERDICT"]
    assert lines[1].split() == ["n1", str(ring["epoch"]), ring["digest"], "ok"]
    assert lines[-1].startswith("all nodes hold the view of ZooKeeper")


def test_check_waits_for_those_that_catch_up(cluster):
    cluster["n2"].pause()
    threading.Timer(1.5, cluster["n2"].resume).start()
    assert cluster.cli_json("check")["ok"] is True


def test_check_names_the_node_that_holds_another_view(cluster, make_cluster):
    """A registration that leads to a node of another cluster."""
    other = make_cluster(cluster.zookeeper, nodes=1)["n1"]
    with cluster.zookeeper.client() as client:
        registry = Registry(client, cluster.name)
        registration = {**registry.members()["n1"], "id": "n9", "instance": "1" * 16,
                        "url": other.ws, "peer": f"127.0.0.1:{other.peer_port}"}
        client.create(f"{registry.root}/members/n9.", json.dumps(registration).encode(),
                      ephemeral=True, sequence=True)
        done = cluster.cli_run("check", "--json", "--timeout", "3s")
    assert done.returncode == 1
    check = json.loads(done.stdout)
    errors = {node["node"]: node["error"] for node in check["nodes"]}
    assert errors["n9"] == f"holds epoch {other.ring()['epoch']}, ZooKeeper has {check['epoch']}"


def test_check_of_a_node_that_is_not_reachable_ends_with_1(cluster):
    cluster["n2"].pause()
    try:
        done = cluster.cli_run("check", "--timeout", "1s")
        assert done.returncode == 1
        line = next(line for line in done.stdout.splitlines() if line.startswith("n2"))
        assert "not reachable: " in line
        assert "not all nodes hold the view of ZooKeeper" in done.stdout
    finally:
        cluster["n2"].resume()


# --- drain, join, weight --------------------------------------------------------------------------

def test_drain_join_and_weight_end_when_the_node_is_done(cluster):
    for number in range(30):
        cluster.cli("publish", f"k{number}", "x")
    assert cluster.cli("drain", "n2") == "n2: drain done\n"
    nodes = {node["node"]: node for node in cluster.cli_json("nodes")["nodes"]}
    assert nodes["n2"]["state"] == "outside" and nodes["n2"]["weight"] == 0
    assert nodes["n2"]["channels"] == 0
    assert cluster.cli_json("join", "n2") == {
        "node": "n2", "request": "join", "state": "done", "channels_left": 0,
        "connections_left": 0}
    assert cluster.cli_json("weight", "n2", "2.5", "--wait")["request"] == "weight"
    assert {m["node"]: m["weight"] for m in cluster.cli_json("ring")["members"]}["n2"] == 2.5
    cluster.cli("weight", "n2", "0")
    assert {m["node"]: m["weight"] for m in cluster.cli_json("ring")["members"]}["n2"] == 0


@pytest.mark.parametrize("arguments", [["drain", "n77"], ["join", "n77"], ["weight", "n77", "2"]])
def test_a_request_to_nobody_is_refused_and_not_written(steady, arguments):
    done = steady.cli_run(*arguments)
    assert done.returncode == 6 and "n77 is not registered" in done.stderr
    with steady.zookeeper.client() as client:
        assert client.exists(f"/ringhop/{steady.name}/requests/n77") is None


def test_a_node_that_takes_no_notice_ends_with_5_and_acts_later(cluster):
    cluster["n2"].pause()
    try:
        done = cluster.cli_run("drain", "n2", "--timeout", "500ms")
        assert done.returncode == 5 and "has not taken notice within 500 ms" in done.stderr
    finally:
        cluster["n2"].resume()
    wait_for(lambda: {m["node"]: m["weight"] for m in cluster.cli_json("ring")["members"]}["n2"] == 0,
             15, "drained")


class Background:
    """A command that runs while the test does something; its stderr can be watched."""

    def __init__(self, cluster, *arguments):
        self.path = cluster.folder / "background"
        with open(self.path, "w") as err:
            self.process = subprocess.Popen(
                [program("ringhop"), "-c", cluster.config_path, *arguments], text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err)

    def said(self):
        return self.path.read_text()

    def finish(self):
        """(exit code, standard output, standard error)"""
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out, self.said()


def test_a_request_that_is_replaced_ends_with_6(cluster):
    path = f"/ringhop/{cluster.name}/requests/n2"
    cluster["n2"].pause()
    try:
        command = Background(cluster, "drain", "n2", "--wait")
        with cluster.zookeeper.client() as client:
            wait_for(lambda: client.exists(path), 10, "request")
            request = json.loads(client.get(path)[0])
            assert request["kind"] == "drain" and request["state"] == "asked"
            client.set(path, json.dumps({**request, "number": "1" * 16}).encode())
        code, _, said = command.finish()
        assert code == 6 and "n2 got another request meanwhile" in said
    finally:
        cluster["n2"].resume()


def test_progress_is_shown_and_a_refusal_ends_with_6(cluster):
    """The node is stopped, and the test writes what it would write."""
    path = f"/ringhop/{cluster.name}/requests/n2"
    cluster["n2"].pause()
    try:
        command = Background(cluster, "drain", "n2", "--wait")
        with cluster.zookeeper.client() as client:
            wait_for(lambda: client.exists(path), 10, "request")
            request = json.loads(client.get(path)[0])
            client.set(path, json.dumps({**request, "state": "working", "channels_left": 12,
                                         "connections_left": 34}).encode())
            wait_for(lambda: "n2: 12 channels and 34 connections left\n" in command.said(), 10)
            client.set(path, json.dumps({**request, "state": "failed",
                                         "reason": "for a test"}).encode())
        code, _, said = command.finish()
        assert code == 6 and "n2 refuses: for a test" in said
    finally:
        cluster["n2"].resume()


def test_on_a_terminal_progress_is_a_bar_that_goes_away(cluster):
    path = f"/ringhop/{cluster.name}/requests/n2"
    ours, theirs = pty.openpty()
    cluster["n2"].pause()
    try:
        command = subprocess.Popen(
            [program("ringhop"), "-c", cluster.config_path, "drain", "n2", "--wait"], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        said = ""

        def says(words):
            nonlocal said
            if select.select([ours], [], [], 0)[0]:
                said += os.read(ours, 65536).decode()
            return words in said
        with cluster.zookeeper.client() as client:
            wait_for(lambda: client.exists(path), 10, "request")
            request = json.loads(client.get(path)[0])
            for channels, bar in ((20, "." * 30 + "] 20 channels"),
                                  (10, "#" * 15 + "." * 15 + "] 10 of 20 channels")):
                client.set(path, json.dumps({**request, "state": "working",
                                             "channels_left": channels,
                                             "connections_left": 3}).encode())
                wait_for(lambda: says(f"n2 [{bar}, 3 connections left"), 10, "bar")
            client.set(path, json.dumps({**request, "state": "done"}).encode())
        out, _ = command.communicate(timeout=30)
        assert command.returncode == 0
        assert re.fullmatch(r"n2: drain done, 20 channels in \d+\.\d s\n", out)
        assert says("") and said.endswith("\r\x1b[K")
    finally:
        os.close(ours)
        cluster["n2"].resume()


def test_without_wait_a_node_at_work_is_good_enough(cluster):
    path = f"/ringhop/{cluster.name}/requests/n2"
    cluster["n2"].pause()
    try:
        command = Background(cluster, "drain", "n2", "--timeout", "2s")
        with cluster.zookeeper.client() as client:
            wait_for(lambda: client.exists(path), 10, "request")
            request = json.loads(client.get(path)[0])
            client.set(path, json.dumps({**request, "state": "working", "channels_left": 12,
                                         "connections_left": 34}).encode())
        code, out, _ = command.finish()
        assert code == 0
        assert out == ("n2: drain goes on by itself, 12 channels and 34 connections left "
                       "(--wait waits for the end)\n")
    finally:
        cluster["n2"].resume()


def test_a_node_that_dies_meanwhile_ends_with_5(cluster):
    cluster["n2"].pause()
    command = Background(cluster, "drain", "n2", "--wait")
    with cluster.zookeeper.client() as client:
        wait_for(lambda: client.exists(f"/ringhop/{cluster.name}/requests/n2"), 10, "request")
    cluster["n2"].kill()
    code, _, said = command.finish()
    assert code == 5 and "n2 is not registered any more" in said
