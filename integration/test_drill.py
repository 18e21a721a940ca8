# SPDX-License-Identifier: Apache-2.0
"""`ringhop drill`: the shipped scenarios, small, and what happens when a guarantee is broken, when
something is wrong, and when somebody loses patience."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from harness.node import ROOT, program
from harness.wait import wait_for

SMALL = ["--connections", "300", "--channels", "200", "--rate", "200"]
SCENARIOS = sorted(path.stem for path in (ROOT / "drills").glob("*.yaml"))
PROMISED = ["lost", "missed", "skipped", "duplicated", "reordered", "contradicted", "gaps_told",
            "resets_unexplained", "disconnected_unaffected", "unknown", "refused", "not_connected"]


@pytest.fixture
def drill(tmp_path):
    """drill(ARGUMENT...): runs it to its end; whatever it starts has its files below tmp_path."""
    def run(*arguments, code=0):
        done = subprocess.run([program("ringhop"), "drill", *map(str, arguments)], cwd=tmp_path,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=240, env=environment(tmp_path))
        assert done.returncode == code, done.stdout + done.stderr
        return done
    yield run
    assert processes(tmp_path) == []


def environment(folder):
    return {**os.environ, "TMPDIR": str(folder)}


def processes(folder):
    """Those that have something of this folder in their command line."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(str(folder / "ringhop-drill-").encode() in word for word in words):
            found.append(b" ".join(words))
    return found


def scenario(folder, steps, **sections):
    lines = ["scenario: test", "load: {channels: 200, connections: 300, rate: 200}"]
    lines += [f"{name}: {json.dumps(value)}" for name, value in sections.items()]
    lines += ["steps:"] + [f"  - {step}" for step in steps]
    path = folder / "scenario.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def check_ring(ring, epoch):
    assert ring["epoch"] == epoch
    assert abs(sum(member["share"] for member in ring["members"]) - 1) < 1e-4
    assert len(ring["cells"]) == 720
    assert set(ring["cells"]) == {index for index, member in enumerate(ring["members"])
                                  if member["weight"] > 0}


def check_steps(result):
    for step in result["steps"]:
        assert step["problem"] is None and step["settled_ms"] >= step["started_ms"]
        if step["ring_after"] is None:
            assert step["expected_moved"] is None and step["actual_moved"] == 0
            continue
        check_ring(step["ring_before"], step["epoch_before"])
        check_ring(step["ring_after"], step["epoch_after"])
        if not step["name"].startswith("pause"):
            assert step["actual_moved"] == step["expected_moved"]
        assert step["gap"]["count"] >= step["actual_moved"]


def check_series(result):
    series = result["series"]
    count = len(series["at_ms"])
    assert count > 10 and series["at_ms"] == sorted(series["at_ms"])
    for name in ("published", "delivered", "latency_p50_ms", "latency_p99_ms", "moves"):
        assert len(series[name]) == count
    assert set(series["nodes"]) == set(series["connections"])
    assert all(len(numbers) == count for numbers in series["connections"].values())
    assert sum(numbers[-1] for numbers in series["connections"].values()) == 300


# --- the shipped scenarios ------------------------------------------------------------------------

def test_there_are_the_scenarios_that_the_help_names(drill):
    text = drill("--help").stdout
    assert len(SCENARIOS) == 6
    assert all(name in text for name in SCENARIOS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_shipped_scenario_holds_all_guarantees(drill, figure, name):
    done = drill(ROOT / "drills" / f"{name}.yaml", "--json", *SMALL)
    result = json.loads(done.stdout)
    totals = result["totals"]
    assert result["ok"] and result["problems"] == [] and result["scenario"] == name
    assert [totals[field] for field in PROMISED] == [0] * len(PROMISED)
    assert totals["acknowledged"] == totals["published"] > 100
    assert totals["delivered"] == sum(result["series"]["delivered"]) > 100
    assert sum(step["actual_moved"] for step in result["steps"]) == totals["moved"]
    assert sum(entry["count"] for entry in result["gap"]["histogram"]) == result["gap"]["count"]
    check_steps(result)
    check_series(result)
    figure(f"drill {name}: {totals['moved']} moved, gap p99 {result['gap']['p99_ms']:.0f} ms, "
           f"publish p99 {result['publish_latency']['p99_ms']:.0f} ms")


def test_a_person_sees_steps_totals_and_a_verdict(drill, tmp_path):
    done = drill(ROOT / "drills" / "scale-out.yaml", "--report", "report.html", *SMALL)
    assert "add n4" in done.stdout and "SHOULD MOVE" in done.stdout
    assert "0 lost, 0 duplicated, 0 reordered" in done.stdout
    assert "scale-out: the guarantees held\nthe report is in report.html\n" in done.stdout
    assert "all are connected; publishers begin" in done.stderr
    assert "scale-out" in (tmp_path / "report.html").read_text()
    # Without --keep, all else is gone.
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_fewer_connections_have_no_more_channels(drill):
    path = ROOT / "drills" / "scale-out.yaml"
    load = json.loads(drill(path, "--json", "--connections", 150).stdout)["load"]
    assert (load["connections"], load["channels"]) == (150, 150)


def test_the_files_of_the_cluster_can_be_kept(drill, tmp_path):
    drill(scenario(tmp_path, ["wait 1s"]), "--keep")
    folder, = tmp_path.glob("ringhop-drill-*")
    assert {"cluster.yaml", "n1.log", "zookeeper.log"} <= {path.name for path in folder.iterdir()}


def test_weights_drains_and_pauses_without_an_end(drill, tmp_path):
    path = scenario(tmp_path, ["weight n1 2", "drain n2", "join n2", "pause n3", "wait 1s",
                               "resume n3", "wait 1s"])
    result = json.loads(drill(path, "--json").stdout)
    weights = [{member["node"]: member["weight"] for member in step["ring_after"]["members"]}
               for step in result["steps"][:3]]
    assert weights == [{"n1": 2, "n2": 1, "n3": 1}, {"n1": 2, "n2": 0, "n3": 1},
                       {"n1": 2, "n2": 1, "n3": 1}]


# --- what goes wrong ------------------------------------------------------------------------------

def test_losing_all_copies_at_once_is_found_and_fails(drill, tmp_path):
    """Two of three nodes die at the same moment: a third of all channels had both copies there."""
    path = scenario(tmp_path, ["wait 2s", "kill n1 n2", "wait 2s"])
    result = json.loads(drill(path, "--json", code=1).stdout)
    totals = result["totals"]
    assert not result["ok"]
    assert totals["gaps_told"] > 0
    assert any("recovered: false" in problem for problem in result["problems"])


def test_a_cluster_that_does_not_settle_is_a_failure(drill, tmp_path):
    """A newcomer takes its weight after the session timeout and more: not within a second."""
    path = scenario(tmp_path, ["kill n3", "start n3", "wait 1s"], settle="3s")
    result = json.loads(drill(path, "--json", code=1).stdout)
    assert [step["name"] for step in result["steps"]] == ["kill n3", "start n3"]
    assert result["steps"][1]["settled_ms"] is None
    assert result["steps"][1]["problem"].startswith("not settled after 3 s: n3 ")
    assert "1 of 3 steps were not done" in result["problems"]


def test_a_drill_in_which_nothing_arrived_has_checked_nothing(drill, tmp_path):
    done = drill(scenario(tmp_path, ["wait 3s"]), "--json", "--connections", 1, "--channels", 100000,
                 "--rate", 2, code=1)
    assert json.loads(done.stdout)["problems"] == [
        "not one message reached a client, so nothing was checked"]


@pytest.mark.parametrize("text, reason", [
    ("", "bad.yaml:1: the file is empty"),
    ("scenario: x\nsteps: [dance]\n", "bad.yaml:2: steps: `dance` is no step; there are: wait, add"),
    ("scenario: x\nload: {rate: fast}\nsteps: [wait 1s]\n", "bad.yaml:2: load.rate: "),
    ("scenario: x\nsteps:\n  - wait 1s\n  - kill n9\n", "bad.yaml:4: steps: kill n9: there is no node"),
])
def test_a_bad_scenario_is_refused_with_its_line(drill, tmp_path, text, reason):
    (tmp_path / "bad.yaml").write_text(text)
    assert drill("bad.yaml", code=3).stderr.startswith(f"ringhop drill: {reason}")


def test_bad_options_and_files_are_refused(drill, tmp_path):
    path = scenario(tmp_path, ["wait 1s"])
    assert "--rate: " in drill(path, "--rate", "fast", code=2).stderr
    assert "--payload: " in drill(path, "--payload", "8", code=2).stderr
    assert "no-such.yaml: cannot be read" in drill("no-such.yaml", code=3).stderr
    assert "cannot be written" in drill(path, "--report", "no/such/folder.html", code=1).stderr
    assert "an argument is missing" in drill(code=2).stderr


@pytest.mark.parametrize("moment", ["ready;", "wait 60s"])
def test_an_interrupt_leaves_nothing_behind(tmp_path, moment):
    path = scenario(tmp_path, ["wait 1s", "wait 60s", "wait 1s"])
    with open(tmp_path / "err", "w") as err:
        process = subprocess.Popen([program("ringhop"), "drill", path], cwd=tmp_path, stderr=err,
                                   stdin=subprocess.DEVNULL, env=environment(tmp_path))
    try:
        steps = {"ready;": "are ready;", "wait 60s": "s  wait 1s"}
        wait_for(lambda: steps[moment] in (tmp_path / "err").read_text(), 30, moment)
        assert len(processes(tmp_path)) >= 4
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 1
    finally:
        process.kill()
    assert "interrupted, so nothing was judged" in (tmp_path / "err").read_text()
    assert processes(tmp_path) == []
    assert list(tmp_path.glob("ringhop-drill-*")) == []


# --- a running cluster ----------------------------------------------------------------------------

def test_hooks_act_on_a_running_cluster(drill, cluster, tmp_path):
    hook = f'echo "$RINGHOP_DRILL_STEP $RINGHOP_DRILL_NODE" >>{tmp_path}/hooks; kill -9 '
    path = scenario(tmp_path, ["drain n2", "join n2", "kill n3", "wait 1s"],
                    hooks={"kill": hook + str(cluster["n3"].process.pid)})
    result = json.loads(drill("--config", cluster.config_path, path, "--json").stdout)
    assert result["ok"] and result["machine"] == "a running cluster"
    assert [bool(step["ring_after"]) for step in result["steps"]] == [True, True, True, False]
    check_steps(result)
    assert (tmp_path / "hooks").read_text() == "kill n3\n"
    assert not cluster["n3"].running() and cluster["n1"].running()


def test_a_hook_that_fails_ends_the_drill(drill, cluster, tmp_path):
    path = scenario(tmp_path, ["kill n3"], hooks={"kill": "echo no such host; exit 9"})
    result = json.loads(drill("--config", cluster.config_path, path, "--json", code=1).stdout)
    assert result["problems"] == ["kill n3: kill n3: exit code 9: no such host"]


def test_hooks_need_a_config(drill, tmp_path):
    path = scenario(tmp_path, ["kill n3"], hooks={"kill": "true"})
    assert "--config FILE" in drill(path, code=3).stderr
