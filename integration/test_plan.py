# SPDX-License-Identifier: Apache-2.0
"""`ringhop plan` says what a change will do to real channels and connections; `ringhop apply` does it,
and what then moves is what was said."""
import json
import re
import subprocess
import time

import pytest

from harness.http import Raw, request
from harness.node import program
from harness.wait import wait_for

CHANNELS = 900
CLIENTS = 240


@pytest.fixture
def loaded(shared_zookeeper, make_cluster, npm_ws):
    """loaded(nodes=3, ...): a cluster with channels of different content, clients in some of them, and
    nothing on the way. Every key is in `cluster.keys`."""
    def make(channels=CHANNELS, clients=CLIENTS, **options):
        cluster = make_cluster(shared_zookeeper, session_timeout="1s", **options)
        cluster.keys = [f"user:{number}" for number in range(channels)]
        owners = cluster.owners(cluster.keys)
        for number, key in enumerate(cluster.keys):
            for part in range(number % 3 + 1):
                answer = cluster[owners[key]].publish(key, "x" * (10 + number % 50),
                                                      message_id=f"{number}-{part}")
                assert answer.status == 201, answer
        for number, key in enumerate(cluster.keys[:clients]):
            npm_ws.open(key, cluster[owners[key]].ws_url(key))
        npm_ws.wait_welcomed(bound=60)
        cluster.wait_whole()
        cluster.clients = npm_ws.clients
        return cluster
    return make


def replicating(cluster):
    if not cluster.replicates():
        pytest.skip("this build keeps one copy")
    return cluster


def by_node(plan):
    return {node["node"]: node for node in plan["nodes"]}


def codes(plan):
    return {(problem["code"], problem["node"]) for problem in plan["problems"]}


def load(cluster):
    """What each running node has: channels it serves, connections in them, copies."""
    found = {}
    for node in cluster.running():
        status = node.status()
        found[node.id] = (status["copies"]["acting"], status["connections"], status["copies"]["held"])
    return found


def said(plan, when):
    return {node["node"]: (node[when]["channels"], node[when]["connections"], node[when]["copies"])
            for node in plan["nodes"] if node[when]}


def counters(cluster, *names):
    """{node: {name: value}}"""
    return {node.id: {name: node.metrics()[f"ringhop_{name}"] for name in names}
            for node in cluster.running()}


MOVED = ("handoffs_out_total", "handoffs_in_total", "syncs_sent_total", "moved_connections_total")


def grown(before, after):
    return {node: {name: int(value - before.get(node, {}).get(name, 0))
                   for name, value in names.items()} for node, names in after.items()}


def foretold(cluster, plan):
    """What the counters of each node have to grow by."""
    growth = {node.id: dict.fromkeys(MOVED, 0) for node in cluster.running()}
    for move in plan["moves"]:
        growth[move["from"]]["handoffs_out_total"] += move["channels"]
        growth[move["to"]]["handoffs_in_total"] += move["channels"]
        growth[move["from"]]["syncs_sent_total"] += move["copies"]
        growth[move["from"]]["moved_connections_total"] += move["connections"]
    return growth


def wait_for_load(cluster, plan):
    cluster.wait_whole()
    wait_for(lambda: load(cluster) == said(plan, "load_after"), 30,
             f"the load that was foretold: {said(plan, 'load_after')}")


def check_foretold(cluster, plan, before):
    """All that was to move has moved, and nothing else."""
    wait_for_load(cluster, plan)
    growth = grown(before, counters(cluster, *MOVED))
    wanted = foretold(cluster, plan)
    for node, names in growth.items():
        if names["handoffs_in_total"] > 0:  # it tells the group that it acts, by syncs without content
            assert names.pop("syncs_sent_total") >= wanted[node].pop("syncs_sent_total")
    assert growth == wanted
    each = sum(node["load_after"]["bytes"] for node in plan["nodes"])
    assert sum(node.metrics()["ringhop_log_bytes"] for node in cluster.running()) == 2 * each


def apply(cluster, plan, *flags, code=0):
    return cluster.cli("apply", "--wait", *flags, plan["plan"], code=code, timeout=120)


def apply_and_start(cluster, plan, node):
    """What `apply --wait` says that waits for a node, which is started then."""
    waiting = subprocess.Popen(
        [program("ringhop"), "-c", cluster.config_path, "apply", "--wait", plan["plan"]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert f"waiting for {node}; start it now: ringhopd" in waiting.stderr.readline()
    cluster[node].start()
    output, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, errors
    return output


# --- what is said comes true ----------------------------------------------------------------------

def test_a_node_that_waits_outside_gets_what_was_foretold(loaded, figure):
    cluster = replicating(loaded())
    cluster.add("n4", weight=0)
    cluster.wait_settled()
    plan = cluster.cli_json("plan", "--add", "n4:1")
    assert plan["counted"] and plan["total"]["channels"] > 0 and plan["total"]["connections"] > 0
    assert said(plan, "load_before") == load(cluster)
    assert {move["to"] for move in plan["moves"] if move["channels"]} == {"n4"}
    assert sum(move["channels"] for move in plan["moves"]) == plan["total"]["channels"]
    assert codes(plan) == set()
    before = counters(cluster, *MOVED)
    began = time.monotonic()
    done = json.loads(apply(cluster, plan, "--json"))
    took = time.monotonic() - began
    assert done["state"] == "done" and done["plan"] == plan["plan"]
    assert done["nodes"] == [{"node": "n4", "request": "weight", "state": "done",
                              "channels_left": 0, "connections_left": 0}]
    check_foretold(cluster, plan, before)
    assert cluster["n4"].metrics()["ringhop_log_bytes"] == plan["sent_bytes"]
    figure(f"plan --add: {plan['total']} foretold, all of it came true, in {took:.2f} s; "
           f"{plan['seconds']:.2f} s foretold")


def test_a_node_that_leaves_hands_over_what_was_foretold(loaded):
    cluster = replicating(loaded(nodes=4))
    plan = cluster.cli_json("plan", "--remove", "n2")
    nodes = by_node(plan)
    assert nodes["n2"]["load_after"] == {"channels": 0, "connections": 0, "bytes": 0, "copies": 0}
    assert {move["from"] for move in plan["moves"] if move["channels"]} == {"n2"}
    before = counters(cluster, *MOVED)
    table = apply(cluster, plan)
    assert re.search(r"^n2: drain done", table, re.M)
    check_foretold(cluster, plan, before)


def test_another_weight_moves_what_was_foretold(loaded):
    cluster = replicating(loaded())
    plan = cluster.cli_json("plan", "--weight", "n1:0.5")
    before = counters(cluster, *MOVED)
    apply(cluster, plan)
    check_foretold(cluster, plan, before)
    assert {m["node"]: m["weight"] for m in cluster.cli_json("ring")["members"]}["n1"] == 0.5


def test_one_node_for_another_in_one_plan(loaded):
    """The newcomer has its weight before the other one leaves, and both are done in the end."""
    cluster = replicating(loaded())
    cluster.add("n4", weight=0)
    cluster.wait_settled()
    plan = cluster.cli_json("plan", "--remove", "n1", "--add", "n4:1")
    table = apply(cluster, plan)
    assert [line.split(":")[0] for line in table.splitlines()] == ["n1", "n4"]
    wait_for_load(cluster, plan)
    assert "weight=1 " in [line for line in cluster["n4"].log().splitlines()
                           if " registered " in line][-1]


@pytest.mark.parametrize("of_file, asked, comes", [(0, "n4:2", 2), (0.5, "n4", 0.5), (1, "n4:2", 2)])
def test_a_node_that_is_not_running_is_waited_for(loaded, of_file, asked, comes):
    """It takes the weight of the plan, whatever its file says."""
    cluster = replicating(loaded())
    cluster.add("n4", listed=True, weight=of_file, zone="b", start=False)
    plan = cluster.cli_json("plan", "--add", asked)
    assert ("not_running", "n4") in codes(plan)
    assert (by_node(plan)["n4"]["zone"], by_node(plan)["n4"]["weight_after"]) == ("b", comes)
    done = cluster.cli_run("apply", plan["plan"])
    assert done.returncode == 6 and "n4 is not running; run this with --wait" in done.stderr
    before = counters(cluster, *MOVED)
    assert "n4: weight done" in apply_and_start(cluster, plan, "n4")
    if of_file in (0, comes):  # otherwise it may join with that first
        check_foretold(cluster, plan, before)
    wait_for_load(cluster, plan)


def test_nobody_leaves_before_the_newcomer_has_its_weight(loaded):
    """It was here before, so it waits for the session timeout and two seconds."""
    cluster = replicating(loaded(nodes=4, channels=200, clients=20))
    assert cluster["n4"].stop() == 0
    cluster.wait_settled()
    cluster.wait_whole()
    plan = cluster.cli_json("plan", "--remove", "n1", "--add", "n4")
    assert "n1: drain done" in apply_and_start(cluster, plan, "n4")
    views = [line for line in cluster["n2"].log().splitlines() if " view_adopted " in line]
    active = [int(re.search(r"active=(\d+)", line).group(1)) for line in views]
    assert active[-3:] == [3, 4, 3], views  # both were in the ring, for a moment
    wait_for_load(cluster, plan)


def test_what_a_further_loss_would_do_comes_true_too(loaded):
    # No node may have as many channels as one of them gets when another is lost.
    cluster = replicating(loaded(settings={
        "ring": "{vnodes: 512, replicas: 2, seed: 0}", "limits": "{channels: 500}"}))
    plan = cluster.cli_json("plan", "--weight", "n3:1.1")
    losses = [re.match(r"(\w+) would have (\d+) channels if (\w+) were lost as well, and may have 500",
                       problem["text"]) for problem in plan["problems"]
              if problem["code"] == "channels_limit_on_loss"]
    assert losses and all(losses), plan["problems"]
    before = counters(cluster, *MOVED)
    apply(cluster, plan)
    check_foretold(cluster, plan, before)
    heir, channels, lost = losses[0].groups()
    cluster[lost].kill()
    wait_for(lambda: cluster[heir].acting() == int(channels), 30, f"{heir} has {channels} channels")


def test_the_table_says_what_moves_and_how(loaded):
    cluster = loaded(channels=200, clients=20)
    plan = cluster.cli_json("plan", "--remove", "n1")
    total = plan["total"]
    table = cluster.cli("plan", "--remove", "n1")
    assert (f"{total['channels']} channels with {total['connections']} connections and "
            in table and f"To do this, as long as nothing else changes:\n  ringhop apply" in table)
    gone, = [line.split() for line in table.splitlines() if line.startswith("n1 ")]
    assert gone[:2] == ["n1", "-"] and gone[4:6] == ["0.0", "%"]
    if cluster.replicates():
        assert f"to have 2 copies of each, {total['copies']} copies would be sent" in table
    else:
        assert "They would start empty there: these nodes keep one copy." in table
        assert plan["seconds"] == 0


# --- what is refused ------------------------------------------------------------------------------

def test_a_plan_of_another_epoch_is_refused(cluster):
    plan = cluster.cli_json("plan", "--remove", "n3")
    cluster.cli("weight", "--wait", "n1", "2")
    before = cluster.cli_json("ring")
    done = cluster.cli_run("apply", "--wait", plan["plan"])
    assert done.returncode == 6 and done.stdout == ""
    assert (f"the plan is of epoch {plan['generation']}:{plan['epoch']}, the cluster is in "
            f"{before['generation']}:{before['epoch']}; nothing was done: make a new plan"
            ) in done.stderr
    assert cluster.cli_json("ring") == before


def test_without_zookeeper_nothing_is_done(steady, tmp_path):
    plan = steady.cli_json("plan", "--remove", "n3")["plan"]
    path = tmp_path / "lonely.yaml"
    path.write_text(steady.config_text(zookeeper="127.0.0.1:1"))
    done = steady.cli_run("apply", "--timeout", "700ms", plan, config=path)
    assert done.returncode == 4 and "is not reachable within 700 ms" in done.stderr


def test_a_shell_leaves_the_id_of_a_plan_alone(cluster):
    table = cluster.cli("plan", "--weight", "n1:0.5", "--weight", "n2:1.25")
    line = table.splitlines()[-1].strip()
    done = subprocess.run(["bash", "-c", line.replace("ringhop", str(program("ringhop")), 1)],
                          env={"RINGHOP_CONFIG": str(cluster.config_path)}, text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    weights = {member["node"]: member["weight"] for member in cluster.cli_json("ring")["members"]}
    assert weights == {"n1": 0.5, "n2": 1.25, "n3": 1}


def test_a_node_in_another_zone_than_planned_is_refused(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, zones=["a", "b", "c"])
    plan = cluster.cli_json("plan", "--add", "n4:1:d")
    waiting = subprocess.Popen(
        [program("ringhop"), "-c", cluster.config_path, "apply", "--wait", plan["plan"]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "waiting for n4" in waiting.stderr.readline()
    cluster.add("n4", zone="e", weight=0)
    _, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == 6
    assert "n4 is in zone `e`, and was planned for zone `d`" in errors


def test_whoever_does_something_else_meanwhile_stops_it(cluster):
    plan = cluster.cli_json("plan", "--add", "n4", "--remove", "n1")
    waiting = subprocess.Popen(
        [program("ringhop"), "-c", cluster.config_path, "apply", "--wait", plan["plan"]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "waiting for n4" in waiting.stderr.readline()
    assert cluster["n3"].stop() == 0
    _, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == 6
    assert re.search("n3 is gone|the weight of n3 has changed", errors), errors
    assert {member["node"]: member["weight"] for member in cluster.cli_json("ring")["members"]} == {
        "n1": 1, "n2": 1}


# --- what is not known, and what speaks against it --------------------------------------------------

def test_a_node_that_does_not_answer_is_told_and_left_out(cluster):
    cluster["n2"].pause()
    done = cluster.cli_run("plan", "--add", "n4", "--json", "--timeout", "700ms")
    cluster["n2"].resume()
    plan = json.loads(done.stdout)
    assert done.returncode == 0 and "n2 cannot be asked" in done.stderr
    assert not plan["counted"] and plan["seconds"] is None
    assert ("not_counted", "n2") in codes(plan)
    nodes = by_node(plan)
    assert nodes["n1"]["load_before"]["channels"] == 0 and nodes["n1"]["load_after"]["channels"] is None
    assert nodes["n2"]["load_before"]["channels"] is None


def test_zones_and_limits_are_looked_at(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, zones=["a", "b", "a"], settings={
        "ring": "{vnodes: 512, replicas: 2, seed: 0}", "limits": "{channels: 30, copies: 1000}"})
    for number in range(61):  # so two nodes cannot both have 30 or less
        assert cluster["n1"].publish(f"k{number}", "x").status == 201
    plan = cluster.cli_json("plan", "--remove", "n2")
    assert ("one_zone", None) in codes(plan)
    channels = {node["node"]: node["load_after"]["channels"] for node in plan["nodes"]}
    assert sum(channels.values()) == 61 and channels["n2"] == 0
    assert {node for code, node in codes(plan) if code == "channels_limit"} == {
        node for node, count in channels.items() if count > 30}
    table = cluster.cli("plan", "--remove", "n2")
    assert "one_zone: all copies of every channel would be in one zone, a" in table


# --- /v1/forecast ------------------------------------------------------------------------------------

@pytest.mark.parametrize("query, code, detail", [
    ("", "bad_query", "plan: the id of a plan is missing"),
    ("?plam=x", "bad_query", "plan: the id of a plan is missing"),
    ("?plan=x", "bad_query", "this is not the id of a plan"),
    ("?plan=%zz", "bad_query", "plan: a broken escape"),
    ("?plan=1:57:9f86d081884c7d65/remove:n2/4fb1c0a2e9d83c55", "bad_query", "damaged")])
def test_forecasts_of_nothing_are_refused(steady, query, code, detail):
    answer = request(f"{steady['n1'].admin}/v1/forecast{query}")
    assert answer.status == 400 and answer.code == code and detail in answer.json()["detail"]


def test_a_forecast_is_of_the_present_view(cluster):
    plan = cluster.cli_json("plan", "--remove", "n3")["plan"]
    url = f"{cluster['n1'].admin}/v1/forecast?plan={plan}"
    answer = request(url).json()
    assert answer["node"] == "n1" and answer["acting"]["channels"] == 0
    assert request(url, method="POST", body="").status == 405
    cluster.cli("weight", "--wait", "n1", "2")
    answer = wait_for(lambda: request(url), 5, "an answer")
    assert answer.status == 409 and answer.code == "conflict"


def test_many_may_plan_at_a_time(loaded):
    cluster = loaded(clients=0)
    runs = [subprocess.Popen([program("ringhop"), "-c", cluster.config_path, "plan", "--json", "--add",
                              "n4"], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    plans = [json.loads(run.communicate(timeout=60)[0]) for run in runs]
    assert all(plan["counted"] for plan in plans)
    assert all(plan == plans[0] for plan in plans)


def test_a_client_that_goes_away_leaves_no_forecast_behind(loaded):
    cluster = loaded(clients=0)
    url = f"{cluster['n1'].admin}/v1/forecast?plan={cluster.cli_json('plan', '--add', 'n4')['plan']}"
    with Raw(cluster["n1"].admin_port) as raw:
        raw.send(f"GET {url.partition(str(cluster['n1'].admin_port))[2]} HTTP/1.1\r\n"
                 f"Host: n1\r\n\r\n".encode())
    assert wait_for(lambda: request(url).status == 200, 10, "the next one is served")
