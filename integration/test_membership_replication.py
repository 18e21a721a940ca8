# SPDX-License-Identifier: Apache-2.0
"""What the replication of channels needs of ZooKeeper, on a real one and without nodes: proofs,
losses, chains, what `config` records. What the machine decides is
tests/membership_replication_test.c."""
import json
import time

import pytest

from harness.wait import stays, wait_for
from harness.zookeeper import Registry


@pytest.fixture
def make_member(make_member):
    """Those that replicate, unless said otherwise."""
    def make(*where, **options):
        options.setdefault("replication", 1)
        return make_member(*where, **options)
    make.cluster = make_member.cluster
    return make


def start(make_member, servers, count, **options):
    members = [make_member(servers, f"n{i}", i, peer=f"127.0.0.1:{i}", **options)
               for i in range(1, count + 1)]
    for member in members:
        member.wait_ids([other.id for other in members])
    return members


def complete(*members):
    """As if all had told each other that they have adopted their view."""
    epoch = "/".join(str(part) for part in members[0].epoch())
    for member in members:
        member.say("complete")
    for member in members:
        member.wait_line(f"^recorded {epoch}$")


def proofs(member):
    """[when its last transaction must have been sent]"""
    return [at - int(line.split("=")[1]) / 1000
            for at, line in zip(list(member.times), list(member.lines)) if line.startswith("proof ")]


def test_proofs_come_by_the_clock_and_on_demand(zookeeper, make_member):
    n1, = start(make_member, zookeeper.address, 1, timeout=3000)
    n1.wait_line("^proof ", count=6)
    times = proofs(n1)
    assert all(0.4 < later - earlier < 0.8 for earlier, later in zip(times[1:], times[2:]))
    count = len(times)
    begun = time.monotonic()
    while len(proofs(n1)) == count and time.monotonic() - begun < 1:
        n1.say("prove")
        time.sleep(0.02)
    assert time.monotonic() - begun < 0.4
    # A flood of wishes is no flood of transactions.
    count = len(proofs(n1))
    for _ in range(50):
        n1.say("prove")
        time.sleep(0.01)
    assert len(proofs(n1)) - count <= 8
    assert not n1.matching("^lost")


def test_proofs_change_nothing_that_others_could_see(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2, timeout=1000)
    with zookeeper.client() as client:
        registry = Registry(client, make_member.cluster)
        before = registry.pzxid(), n1.views(), n2.views()
        n1.wait_line("^proof ", count=10)
        assert (registry.pzxid(), n1.views(), n2.views()) == before


def test_a_deleted_registration_is_a_refused_proof(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2)
    first = n1.matching("^registration ")[-1]
    with zookeeper.client() as client:
        registry = Registry(client, make_member.cluster)
        name = next(name for name in registry.member_names() if name.startswith("n1."))
        client.delete(f"{registry.root}/members/{name}")
    n1.wait_line("^lost$")
    n1.wait_line("registration_lost")
    n1.wait_line("^log info registered ", count=2)
    wait_for(lambda: n1.matching("^registration ")[-1] != first, 10, "another registration epoch")
    assert " deletions=1 " in n1.matching("^registration ")[-1]
    n2.wait_line("^registration .* deletions=1 ")
    count = len(proofs(n1))
    n1.wait_line("^proof ", count=count + 1)


def test_an_expired_session_is_a_loss(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2, timeout=1000)
    n1.pause()
    with zookeeper.client() as client:
        registry = Registry(client, make_member.cluster)
        wait_for(lambda: list(registry.members()) == ["n2"], 10, "n1 expired")
    n1.resume()
    n1.wait_line("^lost$")
    n1.wait_ids(["n1", "n2"])
    n2.wait_ids(["n1", "n2"])


def test_nothing_is_proved_while_there_is_no_quorum(ensemble, make_member):
    leader = ensemble.leader()
    n1, = start(make_member, leader.address, 1, timeout=3000)
    n1.wait_line("^proof ", count=2)
    for server in ensemble.servers:
        if server is not leader:
            server.pause()
    begun = time.monotonic()
    time.sleep(1.2)  # the leader does not know yet that it has no quorum
    n1.say("catch_up")
    time.sleep(0.3)
    assert not [at for at in proofs(n1) if at > begun]
    assert not n1.matching("zookeeper_disconnected")
    for server in ensemble.servers:
        if server is not leader:
            server.resume()
    count = len(proofs(n1))
    wait_for(lambda: len(proofs(n1)) > count, 20, "a proof again")


def test_a_change_of_weight_goes_on_with_the_chain(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2)
    with zookeeper.client() as client:
        registry = Registry(client, make_member.cluster)
        first = next(name for name in registry.member_names() if name.startswith("n1."))
        assert "origin" not in registry.members()["n1"]
        since = n1.matching("^registration ")[0].split()[1]
        for number, weight in enumerate((2, 3), 1):
            client.ensure_path(f"{registry.root}/requests/n1")
            client.set(f"{registry.root}/requests/n1", json.dumps(
                {"number": f"{number:016x}", "kind": "weight", "weight": weight,
                 "state": "asked"}).encode())
            n2.wait_line(rf"^view .*n1:\w+:{weight}000 ")
            n1.wait_line(rf"^view .*n1:\w+:{weight}000 ")
            assert registry.members()["n1"]["origin"] == first
            assert n1.matching("^registration ")[-1].split()[1:3] == [since, f"deletions={number}"]
    assert not n1.matching("^lost")


def test_the_complete_view_is_recorded(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2)
    complete(n1, n2)
    with zookeeper.client() as client:
        registry = Registry(client, make_member.cluster)
        last = registry.config()["last"]
        assert (last["generation"], last["pzxid"]) == n1.epoch()
        assert [member["id"] for member in last["members"]] == ["n1", "n2"]
        assert [member["peer"] for member in last["members"]] == ["127.0.0.1:1", "127.0.0.1:2"]
        n3 = make_member(zookeeper.address, "n3", 3, peer="127.0.0.1:3")
        for member in (n1, n2, n3):
            member.wait_ids(["n1", "n2", "n3"])
        stays(lambda: registry.config()["last"] == last, 0.5, "what is recorded")
        complete(n1, n2, n3)
        assert registry.config()["last"]["pzxid"] == registry.pzxid()


def test_strangers_wait_for_those_of_the_last_complete_view(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2, timeout=1000)
    complete(n1, n2)
    n1.kill()
    n2.kill()
    with zookeeper.client() as client:
        registry = Registry(client, make_member.cluster)
        wait_for(lambda: not registry.members(), 10, "both are gone")
        n3 = make_member(zookeeper.address, "n3", 3, timeout=1000, peer="127.0.0.1:3")
        n3.wait_line(r"^view .*n3:\w+:0$")
        n3.wait_line("^registration .* deletions=2 ignorant=1")
        n3.say("complete")
        n3.wait_line("^awaited n1:0{15}1@127.0.0.1:1 n2:0{15}2@127.0.0.1:2$")
        n3.wait_line('^log warn record_waits .*for="n1,n2".*ringhop recover')
        # Its ignorance ends meanwhile, which is another epoch.
        n3.wait_line(r"^view .*n3:\w+:1000$")
        n3.say("complete")
        n3.say("replaced n1 1")
        n3.wait_line("^awaited n2:0{15}2@127.0.0.1:2$")
        stays(lambda: not n3.matching("^recorded"), 0.5, "nothing is recorded")
        config = registry.config()
        config["forgotten"] = [f"{2:016x}"]
        client.set(f"{registry.root}/config", json.dumps(config).encode())
        n3.wait_line("^recorded ")
        n3.wait_line("^awaited$")
        wait_for(lambda: "forgotten" not in registry.config(), 5, "nobody is to be forgotten")
        assert [member["id"] for member in registry.config()["last"]["members"]] == ["n3"]


def test_who_stops_in_order_need_not_be_waited_for(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2)
    complete(n1, n2)
    with zookeeper.client() as client:
        registry = Registry(client, make_member.cluster)
        for member, rest in ((n1, ["n2"]), (n2, [])):
            member.say("leave_finish")
            member.wait_line("^left$")
            assert member.lines.index("lost") < member.lines.index("left")
            assert [other["id"] for other in registry.config()["last"]["members"]] == rest
    n3 = make_member(zookeeper.address, "n3", 3, peer="127.0.0.1:3")
    n3.wait_ids(["n3"])
    n3.say("complete")
    n3.wait_line("^recorded ")


def test_the_session_timeout_is_one_for_all(zookeeper, make_member):
    start(make_member, zookeeper.address, 1, timeout=4000)
    n2 = make_member(zookeeper.address, "n2", 2, timeout=5000)
    assert n2.wait_line("^fatal ") == \
        "fatal zookeeper.session_timeout is 5000ms in the test and 4000ms in the cluster's " \
        "config in ZooKeeper"


def test_a_config_of_an_earlier_version_is_completed(zookeeper, make_member):
    root = f"/ringhop/{make_member.cluster}"
    old = {"format": 1, "generation": 1, "vnodes": 64, "replicas": 2, "seed": "0" * 16}
    with zookeeper.client() as client:
        client.ensure_path(root)
        client.create(f"{root}/config", json.dumps(old).encode())
        n1, n2 = start(make_member, zookeeper.address, 2, timeout=4000)
        assert json.loads(client.get(f"{root}/config")[0]) == {**old, "session_timeout_ms": 4000}
    assert len(n1.matching("config_completed") + n2.matching("config_completed")) == 1


def test_the_members_of_lost_data_are_waited_for(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2, timeout=1000)
    complete(n1, n2)
    n2.pause()
    zookeeper.wipe()
    zookeeper.start()
    n1.wait_line("^view (?!1/).*n1:")
    n1.wait_line("^lost$")
    with zookeeper.client() as client:
        last = Registry(client, make_member.cluster).config()["last"]
        assert last["generation"] == 1
        assert [member["id"] for member in last["members"]] == ["n1", "n2"]
    n1.say("complete")
    n1.wait_line("^awaited n2:0{15}2@127.0.0.1:2$")
    n2.resume()
    n2.wait_line("^lost$")
    for member in (n1, n2):
        wait_for(lambda: member.epoch()[0] > 1 and member.ids() == ["n1", "n2"], 10, "both")
    complete(n1, n2)
