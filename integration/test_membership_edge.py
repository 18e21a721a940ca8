# SPDX-License-Identifier: Apache-2.0
"""The membership edge on a real ZooKeeper, without nodes around it: sessions, ensembles, evictions,
lost data, requests. What the machine decides is tests/membership_test.c; this is whether it gets
through."""
import json
import time

import pytest

from harness.wait import stays, wait_for
from harness.zookeeper import Registry


def link(*members):
    """All have links to all."""
    for one in members:
        for other in members:
            if one is not other:
                one.up(other)


def start(make_member, servers, count, **options):
    members = [make_member(servers, f"n{i}", i, **options) for i in range(1, count + 1)]
    for member in members:
        member.wait_ids([other.id for other in members])
    link(*members)
    return members


def check_one_view(members):
    wait_for(lambda: len({member.epoch() for member in members}) == 1, 10, "one epoch")
    assert len({str(member.views()[-1]) for member in members}) == 1


def test_it_waits_for_zookeeper_and_says_so(zookeeper, make_member):
    zookeeper.stop()
    n1 = make_member(zookeeper.address, "n1", 1)
    n1.wait_line("log warn zookeeper_waiting servers=.* reason=\".*Connection refused\"")
    zookeeper.start()
    n1.wait_ids(["n1"], 3)


def test_a_session_that_stands_changes_nothing(zookeeper, make_member):
    members = start(make_member, zookeeper.address, 3, timeout=20000)
    before = [member.views() for member in members]
    zookeeper.restart()
    for member in members:
        member.wait_line("log info zookeeper_connected", count=2)
    stays(lambda: [member.views() for member in members] == before, 3, "all views")
    assert not any(member.matching("session_expired") for member in members)


def test_an_expired_session_registers_again_and_nobody_misses_it(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2, timeout=1000)
    n2.pause()
    with zookeeper.client() as client:
        registry = Registry(client, make_member.cluster)
        wait_for(lambda: list(registry.members()) == ["n1"], 10, "n2 expired")
    n1.wait_line("view_held")
    held = n1.views()
    n2.resume()
    n2.wait_line("session_expired")
    wait_for(lambda: n1.views() != held, 10, "a new view at n1")
    assert all(sorted(view[2]) == ["n1", "n2"] for view in n1.views()[len(held) - 1:])
    assert n1.views()[-1][2]["n2"][0] == n2.instance
    check_one_view([n1, n2])


def test_who_stays_away_is_left_out_after_the_grace(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2, timeout=1000, grace=700)
    n2.pause()
    held = n1.wait_line("view_held")
    n1.wait_ids(["n1"])
    waited = n1.times[n1.lines.index(f"view {n1.matching('^view ')[-1].split(' ', 1)[1]}")] \
        - n1.times[n1.lines.index(held)]
    assert 0.6 < waited < 1.5


def test_a_mass_expiry_moves_nothing(zookeeper, make_member, make_proxy):
    proxy = make_proxy(zookeeper.port)
    members = start(make_member, proxy.address, 3, timeout=1000)
    counts = [len(member.views()) for member in members]
    with zookeeper.client() as client:
        registry = Registry(client, make_member.cluster)
        proxy.cut()
        wait_for(lambda: registry.member_names() == [], 10, "all expired")
    proxy.restore()
    for member, count in zip(members, counts):
        member.wait_line("^view ", count=count + 1)
        assert all(sorted(view[2]) == ["n1", "n2", "n3"] for view in member.views()[count:])
    check_one_view(members)


def test_a_paused_zookeeper_is_only_an_outage(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2, timeout=4000)
    before = n1.views()
    zookeeper.pause()
    n1.wait_line("zookeeper_disconnected reason=\".*timed out\"", 10)
    assert n1.views() == before
    zookeeper.resume()
    n1.wait_line("log info zookeeper_connected", count=2)
    check_one_view([n1, n2])
    assert n1.ids() == ["n1", "n2"]


def test_wiped_data_raises_the_generation(zookeeper, make_member):
    members = start(make_member, zookeeper.address, 3, timeout=2000)
    zookeeper.wipe()
    zookeeper.start()
    begun = time.monotonic()
    for member in members:
        wait_for(lambda: member.epoch()[0] > 1, 15, "a higher generation")
        assert member.ids() == ["n1", "n2", "n3"]
    check_one_view(members)
    assert sum(len(member.matching("generation_raised from=1 to=")) for member in members) == 1
    assert time.monotonic() - begun < 8
    # Nobody ever saw a view without one of them.
    assert all(len(view[2]) == 3 for member in members for view in member.views() if view[0] > 1)


def test_all_znodes_deleted_by_hand_are_made_again(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2)
    root = f"/ringhop/{make_member.cluster}"
    with zookeeper.client() as client:
        transaction = client.transaction()  # else they are quicker than whoever deletes
        for name in client.get_children(f"{root}/members"):
            transaction.delete(f"{root}/members/{name}")
        for path in ("/members", "/requests", "/config", ""):
            transaction.delete(f"{root}{path}")
        assert all(result is True for result in transaction.commit())
    for member in (n1, n2):
        wait_for(lambda: member.epoch()[0] > 1 and member.ids() == ["n1", "n2"], 10, "all again")
    check_one_view([n1, n2])


def test_an_ensemble_loses_server_after_server(ensemble, make_member):
    members = start(make_member, ensemble.address, 3, timeout=4000)
    epoch = members[0].epoch()
    ensemble.leader().stop()
    n4 = make_member(ensemble.address, "n4", 4)
    n4.wait_ids(["n1", "n2", "n3", "n4"], 20)
    for member in members:
        member.wait_ids(["n1", "n2", "n3", "n4"], 20)
    check_one_view([*members, n4])
    assert members[0].epoch() > epoch
    # Without a quorum nothing can be changed, and nothing does.
    next(s for s in ensemble.servers if s._process).stop()
    views = [member.views() for member in members]
    stays(lambda: [member.views() for member in members] == views, 3, "all views")
    for server in ensemble.servers:
        if not server._process:
            server.start(wait=False)
    for server in ensemble.servers:
        server.wait_ready()
    for member in members:
        member.say("status")
        wait_for(lambda: member.matching("^changed ")[-1].startswith("changed connected"), 15,
                 "connected")
    time.sleep(3)
    assert all(member.ids() == ["n1", "n2", "n3", "n4"] for member in members)
    check_one_view([*members, n4])


def test_a_dead_peer_is_out_long_before_its_session(zookeeper, make_member):
    n1, n2, n3 = start(make_member, zookeeper.address, 3, timeout=30000)
    n2.kill()
    begun = time.monotonic()
    for survivor in (n1, n3):
        survivor.down(n2)
        survivor.dead(n2)
    for survivor in (n1, n3):
        survivor.wait_ids(["n1", "n3"], 3)
    assert time.monotonic() - begun < 1
    check_one_view([n1, n3])
    assert len(n1.matching("peer_evicted") + n3.matching("peer_evicted")) == 1


def test_two_that_evict_each_other_end_with_both_back(zookeeper, make_member):
    n1, n2, n3 = start(make_member, zookeeper.address, 3)
    n1.down(n2)
    n2.down(n1)
    n1.dead(n2)
    n2.dead(n1)
    wait_for(lambda: n1.matching("registration_lost") or n2.matching("registration_lost"), 5,
             "one was evicted")
    time.sleep(1)
    for member in (n1, n2, n3):
        member.wait_ids(["n1", "n2", "n3"])
    check_one_view([n1, n2, n3])
    assert all(len(view[2]) == 3 for view in n3.views()[-2:])


def test_an_id_that_is_held(zookeeper, make_member):
    n1, _ = start(make_member, zookeeper.address, 2, peer="127.0.0.1:7999")
    twin = make_member(zookeeper.address, "n1", 77, probe="answers")
    assert twin.wait_line("^fatal ") == \
        "fatal id n1 is held by a live node at 127.0.0.1:7999 (instance 0000000000000001)"
    assert twin.wait_end() == 0
    stays(lambda: n1.ids() == ["n1", "n2"], 0.5, "n1's view")


def test_a_dead_holder_is_replaced_in_one_epoch(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2, timeout=30000)
    n1.kill()
    again = make_member(zookeeper.address, "n1", 77, probe="dead")
    again.wait_ids(["n1", "n2"], 3)
    n2.wait_line("^view .*n1:000000000000004d", 3)
    assert all(sorted(view[2]) == ["n1", "n2"] for view in n2.views()[-2:])


def test_a_holder_without_an_answer_is_waited_for(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2, timeout=2000)
    n1.kill()
    again = make_member(zookeeper.address, "n1", 77, probe="unknown", timeout=2000)
    again.wait_line("id_held .*probe=unknown")
    again.wait_ids(["n1", "n2"], 8)
    assert n2.id == "n2"


def ask(client, root, node_id, number, kind, **fields):
    client.ensure_path(f"{root}/requests")
    path = f"{root}/requests/{node_id}"
    data = json.dumps({"number": f"{number:016x}", "kind": kind, "state": "asked", **fields}).encode()
    if client.exists(path):
        client.set(path, data)
    else:
        client.create(path, data)


def test_requests_change_the_registration_in_one_epoch(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2)
    with zookeeper.client() as client:
        root = f"/ringhop/{make_member.cluster}"

        def request():
            return json.loads(client.get(f"{root}/requests/n1")[0])
        count = len(n2.views())
        ask(client, root, "n1", 1, "drain")
        n1.wait_line("^request drain working")
        n2.wait_line(r"^view .*n1:\w+:0 ")
        assert len(n2.views()) == count + 1
        wait_for(lambda: request()["state"] == "working", 5, "working")
        n1.say("progress 12 34")
        wait_for(lambda: request()["channels_left"] == 12, 5, "progress")
        assert request()["connections_left"] == 34
        n1.say("progress 0 0")
        wait_for(lambda: request()["state"] == "done", 5, "done")
        n1.wait_line("^request none")
        # A drained node that restarts stays drained.
        n1.say("leave_finish")
        n1.wait_line("^left")
        again = make_member(zookeeper.address, "n1", 5)
        again.wait_line("weight_from_request kind=drain weight=0")
        again.wait_line(r"^view .*n1:\w+:0 ")
        ask(client, root, "n1", 2, "weight", weight=2.5)
        n2.wait_line(r"^view .*n1:\w+:2500 ")
        ask(client, root, "n1", 3, "join")
        n2.wait_line(r"^view .*n1:0000000000000005:1000 ")


def test_leaving_in_two_steps(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2, timeout=30000)
    n1.say("leave")
    n2.wait_line(r"^view .*n1:\w+:0 ")
    n1.say("leave_finish")
    n1.wait_line("^left")
    assert n1.wait_end() == 0
    n2.down(n1)
    n2.wait_ids(["n2"], 3)


def test_a_session_that_ends_properly_is_gone_at_once(zookeeper, make_member):
    n1, n2 = start(make_member, zookeeper.address, 2, timeout=30000)
    n1.say("quit")
    assert n1.wait_end() == 0
    n2.down(n1)
    n2.wait_ids(["n2"], 3)


def test_another_session_timeout_than_asked_is_a_warning(zookeeper, make_member):
    n1 = make_member(zookeeper.address, "n1", 1, timeout=100)
    n1.wait_line("log warn zookeeper_timeout_differs asked_ms=100 granted_ms=1000")


def test_a_config_that_differs_is_refused(zookeeper, make_member):
    start(make_member, zookeeper.address, 1)
    n2 = make_member(zookeeper.address, "n2", 2, vnodes=65)
    assert n2.wait_line("^fatal ") == \
        "fatal ring.vnodes is 65 in the test and 64 in the cluster's config in ZooKeeper"


def test_servers_that_are_not_there_do_not_matter(zookeeper, make_member):
    servers = f"no-such-host.invalid:2181,127.0.0.1:1,localhost:{zookeeper.port}"
    n1 = make_member(servers, "n1", 1)
    n1.wait_ids(["n1"], 10)


@pytest.mark.parametrize("servers", ["", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:2181/chroot",
                                     "127.0.0.1:2181,,127.0.0.1:2182", "::1:2181", "a b:1"])
def test_a_server_list_that_is_none(make_member, servers):
    n1 = make_member(servers, "n1", 1)
    assert "is not host:port" in n1.wait_line("^fatal ")


def test_names_that_nobody_can_resolve_are_tried_again(make_member):
    n1 = make_member("no-such-host.invalid:2181", "n1", 1)
    n1.wait_line("zookeeper_waiting .*no-such-host.invalid: ", 30)


def test_many_join_at_once(zookeeper, make_member):
    members = start(make_member, zookeeper.address, 16)
    check_one_view(members)
    victims, rest = members[:4], members[4:]
    for victim in victims:
        victim.kill()
        for survivor in rest:
            survivor.down(victim)
            survivor.dead(victim)
    for survivor in rest:
        survivor.wait_ids([member.id for member in rest])
    check_one_view(rest)
