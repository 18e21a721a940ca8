# SPDX-License-Identifier: Apache-2.0
"""The admin listener."""
import re

from harness.http import request
from harness.node import ROOT
from harness.ws import Client


def test_healthz_and_readyz(steady):
    for node in steady.running():
        for path in ("/healthz", "/readyz"):
            assert request(node.admin + path).status == 200


def test_metrics_are_well_formed_and_documented(steady, key):
    owner = steady.owner(key)
    client = Client(owner.ws_url(key))
    client.welcome()
    steady.wrong_node(key).publish(key, "x")
    answer = request(f"{owner.admin}/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    names, helped, typed = set(), set(), {}
    for line in answer.body.decode().splitlines():
        if line.startswith("# HELP "):
            helped.add(line.split()[2])
        elif line.startswith("# TYPE "):
            typed[line.split()[2]] = line.split()[3]
        elif line:
            name = re.fullmatch(r'([a-z_][a-z0-9_]*)(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? '
                                r'[-+0-9.einfNa]+', line)
            assert name, line
            names.add(name.group(1))
    assert names and names <= helped | {n for n in names if n.rsplit("_", 1)[0] in helped}
    for name in names & set(typed):
        assert name.startswith("ringhop_") or name.startswith("process_"), name
        if typed[name] == "counter":
            assert name.endswith("_total"), name
    client.close()


def test_every_metric_is_in_the_operations_page(steady):
    page = (ROOT / "docs" / "operations.md").read_text()
    names = {name.split("{")[0] for name in steady["n1"].metrics()}
    missing = sorted(name for name in names if name not in page)
    assert missing == []


def test_every_log_line_is_in_the_operations_page():
    page = (ROOT / "docs" / "operations.md").read_text()
    call = re.compile(r'\b(?:rh_log|membership_note|note)\([^;"]*"([a-z]+(?:_[a-z]+)*)(?=[ "])')
    lines = {name for folder in ("node", "router") for path in (ROOT / folder).glob("*.c")
             for name in call.findall(path.read_text())}
    assert len(lines) > 40
    assert sorted(name for name in lines if f"`{name}`" not in page) == []


def test_status_tells_who_and_where(steady):
    status = steady["n2"].status()
    ring = steady["n1"].ring()
    assert status["node"] == "n2"
    assert status["epoch"] == ring["epoch"]
    assert status["instance"] == {m["node"]: m["instance"] for m in ring["members"]}["n2"]


def test_unknown_paths_and_methods(steady):
    assert request(f"{steady['n1'].admin}/nonsense").status == 404
    assert request(f"{steady['n1'].admin}/metrics", method="POST").status == 405


def test_ring_shape(steady):
    for node in steady.running():
        ring = node.ring()
        assert ring["cluster"] == steady.name
        assert re.fullmatch(r"[0-9a-f]{16}", ring["digest"])
        assert [m["node"] for m in ring["members"]] == ["n1", "n2", "n3"]
        assert abs(sum(m["share"] for m in ring["members"]) - 1) < 1e-5
        for member in ring["members"]:
            assert re.fullmatch(r"[0-9a-f]{16}", member["instance"])
            assert member["weight"] == 1
            assert member["url"] == steady[member["node"]].url
