# SPDX-License-Identifier: Apache-2.0
"""What a client sees of copies: channels keep their content when nodes come, go and die. For builds
whose nodes replicate."""
import threading

import pytest

from harness.wait import stays, wait_for
from harness.ws import Client


@pytest.fixture
def copies(shared_zookeeper, make_cluster):
    """copies(nodes=3, replicas=2): a cluster that keeps copies; skips where there are none."""
    def make(nodes=3, replicas=2, session_timeout="1s", **options):
        cluster = make_cluster(shared_zookeeper, nodes=nodes, session_timeout=session_timeout,
                               settings={"ring": f"{{vnodes: 512, replicas: {replicas}, seed: 0}}",
                                         **options})
        if not cluster.replicates():
            pytest.skip("this build keeps one copy")
        return cluster
    return make


def publish(node, key, *numbers):
    answers = [node.publish(key, f"m{number}", message_id=f"{key}-{number}") for number in numbers]
    assert [answer.status for answer in answers] == [201] * len(numbers), answers
    return [answer.json() for answer in answers]


def content(node, key):
    answer = node.get(f"/v1/channels/{key}/messages?after=0&limit=1000", follow=3).json()
    return [message["data"] for message in answer["messages"]]


def holders(cluster, key):
    """The nodes that have a copy: owner first."""
    info = cluster.running()[0].channel(key)
    return [cluster[node_id] for node_id in [info["owner"], *info["replicas"]]]


def follow(url):
    """Where one gets in: a channel may go back to a node that registers again at once."""
    while True:
        client = Client(url)
        first = wait_for(lambda: client.events and client.events[0], 15, f"a word from {url}")
        if first["type"] != "moved":
            return client
        url = first["url"]


def outsider(cluster, key):
    return next(node for node in cluster.running() if node not in holders(cluster, key))


def test_every_channel_has_its_copies(copies):
    cluster = copies(nodes=4, replicas=3)
    for number in range(40):
        publish(cluster["n1"], f"k{number}", 1)
    held = [node.status()["copies"] for node in cluster.running()]
    assert sum(of["acting"] for of in held) == 40
    assert sum(of["held"] for of in held) == 120
    cluster.wait_whole()


def test_a_moved_channel_keeps_content_and_incarnation(copies):
    cluster = copies()
    keys = [f"k{number}" for number in range(30)]
    before = {key: publish(cluster["n1"], key, 1, 2, 3)[0] for key in keys}
    clients = {key: Client(cluster.owner(key).ws_url(key)) for key in keys}
    owners = cluster.owners(keys)
    cluster.add("n4")
    cluster.wait_settled(bound=40)
    cluster.wait_whole()
    moving = [key for key, owner in cluster.owners(keys).items() if owner != owners[key]]
    assert moving
    for key in keys:
        assert content(cluster["n2"], key) == ["m1", "m2", "m3"]
        assert cluster["n2"].channel(key)["incarnation"] == before[key]["incarnation"]
        if key not in moving:
            assert clients[key].is_open() and clients[key].of_type("moved") == []
            continue
        moved = clients[key].wait_event("moved")
        assert moved["node"] == "n4" and moved["seq"] == 3
        there = Client(moved["url"])
        welcome = there.welcome()
        assert (welcome["node"], welcome["seq"], welcome["recovered"]) == ("n4", 3, True)
        publish(cluster["n1"], key, 4)
        assert there.wait_messages(1)[0]["seq"] == 4
        there.close()
    for client in clients.values():
        client.close()


def test_a_killed_owner_loses_nothing(copies, key):
    cluster = copies()
    first = publish(cluster["n1"], key, *range(1, 51))
    owner, other = holders(cluster, key)[0], outsider(cluster, key)
    owner.kill()
    wait_for(lambda: content(other, key) == [f"m{number}" for number in range(1, 51)], 10,
             "all messages at the new owner")
    # The window of ids came along: a retry is known.
    again, = publish(other, key, 50)
    assert again["duplicate"] is True
    assert (again["seq"], again["incarnation"]) == (50, first[0]["incarnation"])
    assert publish(other, key, 51)[0]["seq"] == 51


def test_copies_are_made_again_after_a_loss(copies):
    cluster = copies(nodes=4)
    keys = [f"k{number}" for number in range(40)]
    for key in keys:
        publish(cluster["n1"], key, 1)
    for node_id in ("n2", "n3"):
        cluster[node_id].kill()
        cluster.wait_settled(bound=30)
        cluster.wait_whole(bound=30)
    for key in keys:
        assert content(cluster["n1"], key) == ["m1"]


def test_three_copies_survive_two_at_once(copies, key):
    cluster = copies(nodes=4, replicas=3)
    publish(cluster["n1"], key, *range(1, 11))
    cluster.wait_whole()
    *doomed, last = holders(cluster, key)
    for node in doomed:
        node.kill()
    wait_for(lambda: content(last, key) == [f"m{number}" for number in range(1, 11)], 20,
             "all messages at the last that has them")


def test_a_channel_whose_holders_all_die_begins_anew_and_says_so(copies, key):
    cluster = copies(nodes=4)
    before = publish(cluster["n1"], key, 1, 2)[0]
    survivor = outsider(cluster, key)
    doomed = holders(cluster, key)
    for node in doomed:
        node.kill()
    # Nothing of it is left, so its creation waits until nobody can be acting any more.
    answer = wait_for(lambda: (lambda a: a if a.status == 201 else None)(
        survivor.publish(key, "m3", message_id=f"{key}-3")), 30, "a publish to the new channel").json()
    assert answer["incarnation"] != before["incarnation"] and answer["seq"] == 1
    poll = survivor.get(f"/v1/channels/{key}/messages?after={before['incarnation']}:2",
                        follow=3).json()
    assert poll["recovered"] is False and [m["data"] for m in poll["messages"]] == ["m3"]


def test_a_drained_node_holds_nothing(copies):
    cluster = copies()
    for number in range(60):
        publish(cluster["n1"], f"k{number}", 1)
    cluster.cli("drain", "--wait", "n2")
    status = cluster["n2"].status()
    assert status["copies"]["held"] == status["channels"] == status["connections"] == 0
    cluster.wait_whole()
    for number in range(60):
        assert content(cluster["n2"], f"k{number}") == ["m1"]
    cluster.cli("join", "n2")
    cluster.wait_whole(bound=30)
    assert cluster["n2"].status()["copies"]["held"] > 0


def test_an_orderly_end_leaves_nothing_behind_but_copies(copies):
    cluster = copies()
    for number in range(60):
        publish(cluster["n1"], f"k{number}", 1)
    assert cluster["n2"].stop(bound=30) == 0
    for number in range(60):
        assert content(cluster["n1"], f"k{number}") == ["m1"]
    cluster.wait_whole(bound=30)


def test_a_cluster_that_was_stopped_in_order_starts_again(copies):
    cluster = copies()
    publish(cluster["n1"], "k", 1)
    for node in list(cluster.nodes.values()):
        assert node.stop(bound=30) == 0
    cluster.start()
    wait_for(lambda: cluster["n1"].publish("k", "x").status == 201, 20, "a publish")


def test_a_paused_owner_delivers_nothing_that_was_decided_without_it(copies, key):
    cluster = copies()
    publish(cluster["n1"], key, 1)
    owner, replica = holders(cluster, key)
    other = outsider(cluster, key)
    client = Client(owner.ws_url(key))
    client.welcome()
    owner.pause()
    try:
        wait_for(lambda: replica.channel(key).get("owner") == replica.id, 20, "another owner")
        wait_for(lambda: other.publish(key, "m2", message_id=f"{key}-2").status == 201, 20,
                 "a publish")
    finally:
        owner.resume()
    there = follow(client.wait_event("moved", bound=15)["url"])
    assert there.welcome()["recovered"] is True
    assert [message["data"] for message in client.messages() + there.wait_messages(1)] == ["m2"]
    client.close()
    there.close()


def test_nothing_is_committed_without_the_right_to(copies, key):
    """A group of which a member is silent commits nothing, and says that it does not know."""
    cluster = copies(session_timeout="10s")
    publish(cluster["n1"], key, 1)
    owner, replica = holders(cluster, key)
    replica.pause()
    try:
        client = Client(owner.ws_url(key))
        client.welcome()
        answers = []
        thread = threading.Thread(target=lambda: answers.append(
            owner.publish(key, "m2", message_id=f"{key}-2")))
        thread.start()
        stays(lambda: client.messages() == [] and answers == [], 2, "silence")
    finally:
        replica.resume()
    thread.join(20)
    assert answers[0].status == 201 and client.wait_messages(1)[0]["data"] == "m2"
    client.close()
