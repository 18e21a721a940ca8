# SPDX-License-Identifier: Apache-2.0
"""ZooKeeper goes, comes back, forgets, or holds what it should not."""
import json
import signal
import time

import pytest

from harness.wait import stays, wait_for
from harness.ws import Client, Follower
from harness.zookeeper import Registry


def followers_everywhere(cluster, count=30):
    keys = [f"k{number}" for number in range(count)]
    owners = cluster.owners(keys)
    return {key: Follower(cluster[owners[key]].ws_url(key)) for key in keys}


def check_undisturbed(followers):
    for key, follower in followers.items():
        assert follower.problems == [], key
        assert follower.moves == [], key
        follower.close()


def test_an_outage_drops_no_connection_and_fails_no_publish(zookeeper, make_cluster):
    cluster = make_cluster(zookeeper, session_timeout="1s")
    before = cluster["n1"].ring()
    followers = followers_everywhere(cluster)
    zookeeper.stop()
    # Longer than the session timeout, and publishing all the while.
    end, sent = time.monotonic() + 3, 0
    while time.monotonic() < end:
        for node in cluster.running():
            for key in list(followers)[:10]:
                assert node.publish(key, f"{sent}").status == 201
                sent += 1
    assert all(node.ready() for node in cluster.running())
    zookeeper.start()
    cluster.wait_settled()
    ring = cluster["n1"].ring()
    assert ring["digest"] == before["digest"]
    assert {m["node"]: m["instance"] for m in ring["members"]} == {
        m["node"]: m["instance"] for m in before["members"]}
    for key in followers:
        assert cluster["n2"].publish(key, "after").status == 201
    wait_for(lambda: all(f.messages and f.messages[-1]["data"] == "after"
                         for f in followers.values()), 10, "the last message everywhere")
    assert sum(len(f.messages) for f in followers.values()) == sent + len(followers)
    check_undisturbed(followers)


def test_sessions_that_expired_in_an_outage_move_nothing(zookeeper, make_cluster, make_proxy):
    """The nodes lose ZooKeeper, ZooKeeper loses the nodes; all register again with the same
    instance within the grace time, and nobody is moved."""
    proxy = make_proxy(zookeeper.port)
    cluster = make_cluster(zookeeper, session_timeout="1s", start=False)
    for node in cluster.nodes.values():
        node.zookeeper = proxy.address
    cluster.start()
    before = cluster["n1"].ring()
    followers = followers_everywhere(cluster)
    with zookeeper.client() as client:
        registry = Registry(client, cluster.name)
        proxy.cut()
        wait_for(lambda: registry.member_names() == [], 15, "all sessions expired")
        for key in followers:
            assert cluster["n3"].publish(key, "meanwhile").status == 201
        proxy.restore()
        wait_for(lambda: sorted(registry.members()) == ["n1", "n2", "n3"], 15, "all registered again")
    wait_for(lambda: all(node.ring()["epoch"] > before["epoch"] for node in cluster.running()), 10,
             "the new epoch")
    ring = cluster.wait_settled()
    assert {m["node"]: m["instance"] for m in ring["members"]} == {
        m["node"]: m["instance"] for m in before["members"]}
    check_undisturbed(followers)


def test_one_node_whose_session_expired_re_registers_and_moves_nothing(zookeeper, make_cluster,
                                                                       make_proxy):
    proxy = make_proxy(zookeeper.port)
    cluster = make_cluster(zookeeper, session_timeout="1s", start=False)
    cluster["n2"].zookeeper = proxy.address
    cluster.start()
    followers = followers_everywhere(cluster)
    epoch = cluster["n1"].ring()["epoch"]
    with zookeeper.client() as client:
        registry = Registry(client, cluster.name)
        proxy.cut()
        wait_for(lambda: "n2" not in registry.members(), 15, "n2's session expired")
        proxy.restore()
        wait_for(lambda: "n2" in registry.members(), 5, "n2 registered again")
    wait_for(lambda: cluster["n1"].ring()["epoch"] > epoch, 10, "a new epoch")
    cluster.wait_settled()
    check_undisturbed(followers)


def test_a_node_that_stays_without_zookeeper_is_left_out_after_the_grace(zookeeper, make_cluster,
                                                                        make_proxy):
    proxy = make_proxy(zookeeper.port)
    cluster = make_cluster(zookeeper, session_timeout="1s", start=False)
    cluster["n2"].zookeeper = proxy.address
    cluster.start()
    proxy.cut()
    wait_for(lambda: [m["node"] for m in cluster["n1"].ring()["members"]] == ["n1", "n3"], 20,
             "n2 is left out")
    proxy.restore()
    cluster.wait_settled(members=["n1", "n2", "n3"])


def test_a_deleted_registration_is_made_again(zookeeper, make_cluster):
    """As after an eviction by mistake."""
    cluster = make_cluster(zookeeper)
    followers = followers_everywhere(cluster, 15)
    with zookeeper.client() as client:
        registry = Registry(client, cluster.name)
        name = next(n for n in registry.member_names() if n.startswith("n2."))
        client.delete(f"{registry.root}/members/{name}")
        wait_for(lambda: "n2" in registry.members(), 10, "n2 registered again")
    cluster.wait_settled()
    check_undisturbed(followers)


def test_wiped_data_raises_the_generation_and_all_come_back(zookeeper, make_cluster):
    cluster = make_cluster(zookeeper, session_timeout="1s")
    before = cluster["n1"].ring()
    followers = followers_everywhere(cluster, 15)
    zookeeper.wipe()
    zookeeper.start()
    wait_for(lambda: all(node.ring()["generation"] > before["generation"]
                         for node in cluster.running()), 20, "a higher generation")
    ring = cluster.wait_settled()
    assert ring["digest"] == before["digest"]
    assert cluster.cli_json("check")["ok"] is True
    check_undisturbed(followers)


def test_a_node_that_starts_before_zookeeper_waits_and_joins(zookeeper, make_cluster):
    zookeeper.stop()
    cluster = make_cluster(zookeeper, nodes=2, start=False)
    for node in cluster.nodes.values():
        node.start(wait=False)
    wait_for(lambda: "ookeeper" in cluster["n1"].log(), 10, "a log line that names ZooKeeper")
    stays(lambda: cluster["n1"].running(), 1, "n1")
    assert not cluster["n1"].ready()
    assert cluster["n1"].publish("k", "x").status == 503
    assert cluster["n1"].get("/v1/ring").code == "not_ready"
    zookeeper.start()
    cluster.wait_settled()
    assert cluster["n1"].publish("k", "x").status == 201


def test_an_ensemble_loses_its_leader_and_a_node_joins(ensemble, make_cluster):
    cluster = make_cluster(ensemble)
    followers = followers_everywhere(cluster, 10)
    ensemble.leader().stop()
    for key in followers:
        assert cluster["n1"].publish(key, "meanwhile").status == 201
    cluster.add("n4")
    cluster.wait_settled()
    assert cluster.cli_json("check")["ok"] is True
    for follower in followers.values():
        assert follower.problems == []
        follower.close()


# --- what stands in ZooKeeper --------------------------------------------------------------------

def test_what_a_node_writes_into_zookeeper(zookeeper, make_cluster):
    cluster = make_cluster(zookeeper, nodes=2)
    with zookeeper.client() as client:
        registry = Registry(client, cluster.name)
        config = registry.config()
        assert config["generation"] == 1 and config["vnodes"] == 512 and config["replicas"] == 2
        members = registry.members()
        assert sorted(members) == ["n1", "n2"]
        instance = {m["node"]: m["instance"] for m in cluster["n1"].ring()["members"]}
        assert members["n1"]["instance"] == instance["n1"]
        for name in registry.member_names():
            stat = client.exists(f"{registry.root}/members/{name}")
            assert stat.ephemeralOwner != 0 and stat.version == 0
        assert cluster["n1"].ring()["epoch"] == registry.pzxid()


@pytest.mark.parametrize("field, ring", [
    ("vnodes", "{vnodes: 64, replicas: 2, seed: 0}"),
    ("replicas", "{vnodes: 512, replicas: 3, seed: 0}"),
    ("seed", "{vnodes: 512, replicas: 2, seed: 7}"),
])
def test_a_config_that_disagrees_is_refused_by_field(shared_zookeeper, make_cluster, field, ring):
    cluster = make_cluster(shared_zookeeper, nodes=1)
    node = cluster.add("n9", start=False)
    cluster.settings["ring"] = ring
    cluster.config_write()
    node.start(wait=False)
    assert node.process.wait(15) != 0
    last = node.log().splitlines()[-1]
    assert field in node.log(), last
    assert [m["node"] for m in cluster["n1"].ring()["members"]] == ["n1"]


def test_malformed_registrations_are_ignored(zookeeper, make_cluster):
    cluster = make_cluster(zookeeper, nodes=2)
    with zookeeper.client() as client:
        registry = Registry(client, cluster.name)
        good = registry.members()["n1"]
        for name, data in {
                "n5.0000000000": b"", "n6.0000000000": b"not json", "bad": b"{}",
                "n7.0000000000": json.dumps({**good, "id": "n8"}).encode(),
                "n8.0000000000": json.dumps({**good, "id": "n8", "weight": -1}).encode(),
                "n9.0000000000": b"\xff" * 100, "deep.0000000000": b"[" * 10000}.items():
            client.create(f"{registry.root}/members/{name}", data)
        cluster.add("n3")
        ring = cluster.wait_settled(members=["n1", "n2", "n3"])
        assert ring["epoch"] == registry.pzxid()
    assert all(node.running() for node in cluster.nodes.values())


def test_a_malformed_request_does_not_disturb(zookeeper, make_cluster):
    cluster = make_cluster(zookeeper, nodes=2)
    with zookeeper.client() as client:
        root = f"/ringhop/{cluster.name}/requests"
        client.ensure_path(root)
        for data in (b"", b"{", b'{"kind":"explode"}', b"\xff" * 50):
            path = f"{root}/n1"
            client.set(path, data) if client.exists(path) else client.create(path, data)
            stays(lambda: cluster["n1"].running(), 0.3, "n1")
    cluster.cli("drain", "n1")
    cluster.wait_settled()


def test_the_session_ends_with_the_node(zookeeper, make_cluster):
    cluster = make_cluster(zookeeper, nodes=2, session_timeout="30s")
    with zookeeper.client() as client:
        registry = Registry(client, cluster.name)
        cluster["n2"].process.signal(signal.SIGTERM)
        assert cluster["n2"].process.wait() == 0
        assert sorted(registry.members()) == ["n1"]


def test_readyz_stays_through_an_outage_and_new_clients_are_served(zookeeper, make_cluster):
    cluster = make_cluster(zookeeper, nodes=2)
    zookeeper.stop()
    key = "some"
    node = cluster[cluster["n1"].where(key)["node"]]
    client = Client(node.ws_url(key))
    client.welcome()
    other = next(n for n in cluster.running() if n is not node)
    assert other.publish(key, "x").status == 201
    client.wait_messages(1)
    client.close()
    zookeeper.start()
    cluster.wait_settled()
