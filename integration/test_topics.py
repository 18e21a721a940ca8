# SPDX-License-Identifier: Apache-2.0
"""Channels that follow others: what is published to a topic reaches each follower once, in order, also
while nodes come, go and die."""
import collections
import json
import subprocess
import threading

import pytest

from harness.http import quote
from harness.wait import wait_for
from harness.ws import Client, Follower


def follow(node, key, topic, after=None, method="PUT"):
    query = "" if after is None else f"?after={after}"
    return node.get(f"/v1/channels/{quote(key)}/follows/{quote(topic)}{query}", method=method,
                    timeout=20)


def follows(node, key):
    return {f["topic"]: f["position"]
            for f in node.get(f"/v1/channels/{quote(key)}/follows").json()["follows"]}


def test_what_is_published_to_a_topic_reaches_who_follows_it(steady, key):
    topics = [f"{key}:room:{n}" for n in range(4)]
    client = Client(steady.owner(key).ws_url(key))
    client.welcome()
    for number, topic in enumerate(topics):
        answer = follow(steady.running()[number % 3], key, topic)
        assert answer.status == 200, answer.body
    assert set(follows(steady["n1"], key)) == set(topics)
    for number in range(40):
        topic = topics[number % 4]
        assert steady.running()[number % 3].publish(topic, str(number), message_id=f"id-{number}").status == 201
    messages = client.wait_messages(40)
    for index, topic in enumerate(topics):
        mine = [m for m in messages if m["topic"] == topic]
        assert [int(m["data"]) for m in mine] == list(range(index, 40, 4))
        assert [m["id"] for m in mine] == [f"id-{n}" for n in range(index, 40, 4)]
        incarnation = steady["n1"].channel(topic)["incarnation"]
        assert [m["topic_position"] for m in mine] == [f"{incarnation}:{n}" for n in range(1, 11)]
    assert [m["seq"] for m in messages] == list(range(1, 41))
    client.close()


def test_follows_are_listed_changed_and_refused_in_words(steady, key):
    topic, node = f"{key}:topic", steady["n2"]
    assert follows(node, key) == {}
    assert node.channel(key)["incarnation"] is None        # asking creates nothing
    assert follow(node, key, topic, method="DELETE").json() == {"key": key, "follows": []}
    answer = follow(node, key, topic).json()
    assert answer["key"] == key and [f["topic"] for f in answer["follows"]] == [topic]
    position = answer["follows"][0]["position"]
    assert position == f"{node.channel(topic)['incarnation']}:0"
    assert follow(node, key, topic, after=0).json() == answer   # it goes on from where it is
    for path, status, code in (
            (f"/follows/{quote(key)}", 400, "bad_key"), ("/follows/", 400, "bad_key"),
            ("/follows/%01", 400, "bad_key"), ("/follows/a/b", 404, "not_found"),
            (f"/follows/{quote(topic)}?after=x", 400, "bad_position")):
        problem = node.get(f"/v1/channels/{quote(key)}{path}", method="PUT")
        assert (problem.status, problem.code) == (status, code), path
    assert node.get(f"/v1/channels/{quote(key)}/follows/a", method="POST").status == 405
    assert node.get(f"/v1/channels/{quote(key)}/follows", method="PUT").status == 405
    assert follow(node, key, topic, method="DELETE").json()["follows"] == []


def test_a_channel_follows_a_hundred_topics_and_no_more(steady, key):
    for number in range(100):
        assert follow(steady["n1"], key, f"{key}:{number}", after=0).status == 200
    problem = follow(steady["n2"], key, f"{key}:one more")
    assert (problem.status, problem.code) == (409, "conflict")
    assert len(follows(steady["n3"], key)) == 100
    follow(steady["n3"], key, f"{key}:0", method="DELETE")
    assert follow(steady["n2"], key, f"{key}:one more").status == 200


def followers(node, topic, query=""):
    answer = node.get(f"/v1/channels/{quote(topic)}/followers{query}")
    assert answer.status == 200, answer.body
    return answer.json()


def test_any_node_tells_who_follows_a_topic(steady, key):
    topic = f"{key}:topic"
    nothing = {"key": topic, "count": 0, "followers": [], "truncated": False, "nodes": [], "missing": []}
    for node in steady.running():
        assert followers(node, topic) == nothing
    assert steady["n1"].channel(topic)["incarnation"] is None       # asking creates nothing
    names = sorted(f"{key}:follower:{number}" for number in range(30))
    for name in names:
        assert follow(steady["n1"], name, topic, after=0).status == 200
    counts = collections.Counter(steady["n1"].where(name)["node"] for name in names)
    for node in steady.running():
        said = followers(node, topic)
        assert (said["count"], said["followers"]) == (30, names)
        assert (said["truncated"], said["missing"]) == (False, [])
        assert {entry["node"]: entry["count"] for entry in said["nodes"]} == counts
        some = followers(node, topic, "?limit=7")
        assert some["truncated"] and some["count"] == 30 and len(set(some["followers"])) == 7
        assert set(some["followers"]) <= set(names)
    follow(steady["n2"], names[0], topic, method="DELETE")
    assert followers(steady["n3"], topic)["followers"] == names[1:]
    for query in ("?limit=0", "?limit=1001", "?limit=x"):
        problem = steady["n1"].get(f"/v1/channels/{quote(topic)}/followers{query}")
        assert (problem.status, problem.code) == (400, "bad_query")
    assert steady["n1"].get(f"/v1/channels/{quote(topic)}/followers", method="PUT").status == 405


def test_curl_and_the_cli_tell_who_follows(steady, key):
    topic = f"{key}:room/7"
    for number in range(3):
        follow(steady["n1"], f"{key}:{number}", topic, after=0)
    names = [f"{key}:{number}" for number in range(3)]
    url = f"http://127.0.0.1:{steady['n2'].client_port}/v1/channels/{quote(topic)}/followers"
    curl = subprocess.run(["curl", "-fsS", url], capture_output=True, text=True, check=True)
    assert json.loads(curl.stdout)["followers"] == names
    assert steady.cli("followers", topic).splitlines() == names
    assert steady.cli_json("followers", topic, "--limit", "2")["count"] == 3
    assert len(steady.cli("followers", topic, "--limit", "2").splitlines()) == 2
    steady.cli("followers", topic, "--limit", "0", code=2)
    steady.cli("followers", "", code=2)


def test_who_follows_is_known_after_moves_and_deaths_and_a_silent_node_is_named(
        shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, session_timeout="20s")     # who is paused stays a member
    topic = "topic"
    names = sorted(f"follower:{number}" for number in range(40))
    for name in names:
        assert follow(cluster["n1"], name, topic, after=0).status == 200
    paused = cluster["n3"]
    there = [name for name in names if cluster["n1"].where(name)["node"] == "n3"]
    paused.pause()
    said = followers(cluster["n1"], topic)
    assert said["missing"] == ["n3"]
    assert said["followers"] == [name for name in names if name not in there]
    by_hand = cluster.cli_run("followers", topic)
    assert by_hand.returncode == 1 and "n3 did not answer" in by_hand.stderr
    assert by_hand.stdout.splitlines() == said["followers"]
    paused.resume()
    wait_for(lambda: followers(cluster["n1"], topic)["followers"] == names, 30, "all that follow")
    cluster["n2"].kill()
    wait_for(lambda: followers(cluster["n1"], topic)["missing"] == []
             and followers(cluster["n3"], topic)["followers"] == names, 30, "what the dead node served")


def test_after_brings_what_the_topic_holds(steady, key):
    topic = f"{key}:topic"
    for number in range(1, 6):
        steady["n1"].publish(topic, str(number))
    incarnation = steady["n1"].channel(topic)["incarnation"]
    afters = {"all": "0", "part": f"{incarnation}:3", "new": None, "other": "00000000000000aa:3"}
    for suffix, after in afters.items():
        assert follow(steady["n1"], key + suffix, topic, after).status == 200
    steady["n2"].publish(topic, "6")
    for suffix, wanted in (("all", "123456"), ("part", "456"), ("new", "6"), ("other", "123456")):
        name = key + suffix
        wait_for(lambda name=name, wanted=wanted: [
            m["data"] for m in steady.owner(name).poll(name, after=0).json()["messages"]]
            == list(wanted), what=suffix)


def test_who_does_not_follow_any_more_gets_nothing_more(steady, key):
    topic = f"{key}:topic"
    client = Client(steady.owner(key).ws_url(key))
    client.welcome()
    follow(steady["n1"], key, topic)
    steady["n1"].publish(topic, "one")
    client.wait_messages(1)
    follow(steady["n2"], key, topic, method="DELETE")
    steady["n1"].publish(topic, "two")
    steady["n1"].publish(key, "end")
    assert [m["data"] for m in client.wait_messages(2)] == ["one", "end"]
    assert "topic" not in client.messages()[1]
    client.close()


def test_what_came_by_a_topic_is_not_passed_on(steady, key):
    first, second, third = (f"{key}:{n}" for n in range(3))
    follow(steady["n1"], second, first)
    follow(steady["n1"], third, second)
    follow(steady["n1"], first, third)          # a circle
    steady["n1"].publish(first, "a")
    steady["n1"].publish(second, "b")
    steady["n1"].publish(third, "c")

    def heard(name):
        return sorted(m["data"] for m in
                      steady.owner(name).poll(name, after=0).json()["messages"])
    wait_for(lambda: (heard(first), heard(second), heard(third)) == (
        ["a", "c"], ["a", "b"], ["b", "c"]), what="each message one step further")


class Room:
    """Topics, channels that follow all of them with a client each, and a publisher that goes on
    until each publish is acknowledged."""

    def __init__(self, cluster, prefix, topics=4, followers=6):
        self.cluster = cluster
        self.topics = [f"{prefix}:topic:{n}" for n in range(topics)]
        self.names = [f"{prefix}:user:{n}" for n in range(followers)]
        self.sent = {topic: [] for topic in self.topics}
        self.homes = [node for node in cluster.running()]
        self.stopping = threading.Event()
        for name in self.names:
            for topic in self.topics:
                wait_for(lambda name=name, topic=topic:
                         follow(self.homes[0], name, topic).status == 200, 20, "a follow")
        self.clients = {}

    def listen(self, home):
        self.clients = {name: Follower(home.ws_url(name, after=0), home=home.ws_url(name))
                        for name in self.names}

    def publish(self, topic, number):
        def try_once():
            for node in self.cluster.running():
                if node.publish(topic, f"{topic} {number}", message_id=f"m{number}",
                                timeout=7).status == 201:
                    return True
            return False
        wait_for(try_once, 60, f"message {number} of {topic} is acknowledged")
        self.sent[topic].append(f"{topic} {number}")

    def _work(self, topic):
        number = 0
        while not self.stopping.is_set():
            self.publish(topic, number)
            number += 1

    def __enter__(self):
        self.threads = [threading.Thread(target=self._work, args=[topic]) for topic in self.topics]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(90)

    def flow(self, count):
        """Until so many more were acknowledged on each topic."""
        want = {topic: len(sent) + count for topic, sent in self.sent.items()}
        wait_for(lambda: all(len(self.sent[topic]) >= want[topic] for topic in want), 90, "a flow")

    def check(self, figure, what):
        """Every follower heard every message of every topic once and in order."""
        total = sum(len(sent) for sent in self.sent.values())
        wait_for(lambda: all(len(c.messages) >= total for c in self.clients.values()), 60,
                 "all messages")
        lost = doubled = disordered = 0
        for client in self.clients.values():
            for topic, sent in self.sent.items():
                heard = [m["data"] for m in client.messages if m["topic"] == topic]
                lost += len(set(sent) - set(heard))
                doubled += len(heard) - len(set(heard))
                disordered += [t for t in heard if t in set(sent)] != sent
            assert client.problems == []
            client.close()
        figure(f"topics, {what}: {total} messages to {len(self.clients)} followers, lost {lost}, "
               f"doubled {doubled}, out of order {disordered}")
        assert (lost, doubled, disordered) == (0, 0, 0)


def owned(cluster, node, names):
    owners = cluster.owners(names)
    return [name for name in names if owners[name] == node.id]


@pytest.mark.parametrize("victim", ["topic", "follower"])
def test_nothing_is_lost_or_doubled_when_an_owner_is_killed(cluster, figure, victim):
    room = Room(cluster, "killed")
    names = room.topics if victim == "topic" else room.names
    target = cluster.nodes[cluster.owners([names[0]])[names[0]]]
    home = next(node for node in cluster.running() if node is not target)
    room.listen(home)
    with room:
        room.flow(50)
        target.kill()
        room.flow(50)
        cluster.wait_settled()
        room.flow(50)
    room.check(figure, f"owner of a {victim} killed")


def test_nothing_is_lost_or_doubled_when_both_kinds_of_owners_are_killed_one_after_the_other(
        shared_zookeeper, make_cluster, figure):
    cluster = make_cluster(shared_zookeeper, nodes=4)
    room = Room(cluster, "both")
    topic_owner = cluster.owner(room.topics[0])
    follower_owner = next(cluster.nodes[o] for o in cluster.owners(room.names).values()
                          if o != topic_owner.id)
    home = next(n for n in cluster.running() if n not in (topic_owner, follower_owner))
    room.listen(home)
    with room:
        room.flow(30)
        topic_owner.kill()
        room.flow(10)
        cluster.wait_settled()
        cluster.wait_whole()
        follower_owner.kill()
        room.flow(30)
        cluster.wait_settled()
        topic_owner.start()
        cluster.wait_settled()
        room.flow(30)
    room.check(figure, "both owners killed")


def test_nothing_is_lost_or_doubled_through_a_drain_and_a_join(cluster, figure):
    room = Room(cluster, "moved")
    home = cluster["n1"]
    room.listen(home)
    with room:
        room.flow(30)
        cluster.cli("drain", "--wait", "n2")
        room.flow(30)
        cluster.cli("join", "--wait", "n2")
        cluster.add("n4")
        cluster.wait_settled()
        room.flow(30)
        cluster.wait_whole()
        room.flow(10)
    room.check(figure, "drain, join and a new node")


def test_a_follower_that_was_away_gets_what_it_missed(cluster):
    """The owner of the follower and its copies are gone for a while: paused."""
    key = cluster.key_owned_by(cluster["n1"], "away")
    topic = cluster.key_owned_by(cluster["n2"], "topic")
    assert follow(cluster["n3"], key, topic).status == 200
    cluster["n2"].publish(topic, "before")
    wait_for(lambda: cluster["n1"].channel(key)["last_seq"] == 1, what="the first message")
    cluster["n1"].pause()
    for number in range(20):
        wait_for(lambda number=number: cluster["n2"].publish(
            topic, str(number), message_id=str(number), timeout=7).status == 201, 30, "a publish")
    cluster["n1"].resume()

    def heard():
        owner = cluster.nodes[cluster["n3"].where(key)["node"]]
        return [m["data"] for m in owner.poll(key, after=0).json()["messages"]]
    wait_for(lambda: heard() == ["before", *map(str, range(20))], 60, "what it missed")


def test_a_relayed_connection_carries_all_rooms_as_well(steady, key):
    topic, entry = f"{key}:topic", steady.wrong_node(key)
    client = Client(entry.ws_url(key, route="relay"))
    client.welcome()
    assert client.port == entry.client_port
    assert follow(entry, key, topic).status == 200
    for number in range(5):
        steady["n1"].publish(topic, str(number))
    assert [(m["topic"], m["data"]) for m in client.wait_messages(5)] == [
        (topic, str(number)) for number in range(5)]
    client.close()


def test_the_cli_follows_lists_and_ends_it(steady, key):
    topic = f"{key}:room/7"
    steady["n1"].publish(topic, "before")
    assert steady.cli("follows", key) == ""
    assert steady.cli("follow", key, topic, "--after", "0").startswith(f"{topic}\t")
    steady.cli("publish", topic, "hello")
    lines = steady.cli("listen", "--after", "0", "--count", "2", key).splitlines()
    assert [line.split("\t")[1] for line in lines] == ["before", "hello"]
    listed = steady.cli_json("follows", key)
    assert listed == {"key": key, "follows": [{
        "topic": topic, "position": f"{steady['n1'].channel(topic)['incarnation']}:2"}]}
    assert steady.cli("unfollow", key, topic) == ""
    steady.cli("follow", key, key, code=6)
    steady.cli("follow", key, topic, "--after", "x", code=2)
    steady.cli("follow", key, "", code=2)
