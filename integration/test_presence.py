# SPDX-License-Identifier: Apache-2.0
"""Presence: who is in a channel, told to who watches, through moves and deaths."""
import json
import subprocess
import sys
import time
import urllib.parse

import pytest

from harness.events import CurlEvents
from harness.http import quote, request
from harness.wait import wait_for
from harness.ws import Client

GRACE_S = 2
LINGER_S = 1
SETTINGS = {"presence": f"{{grace: {GRACE_S}s}}", "rebalance": f"{{moved_linger: {LINGER_S}s}}",
            "heartbeat": "{interval: 1s, timeout: 3s}"}


@pytest.fixture(scope="module")
def steady(shared_zookeeper, make_steady):
    return make_steady(shared_zookeeper, settings=SETTINGS)


def url(node, key, client=None, meta=None, watch=False, events=False):
    query = {}
    if client is not None:
        query["client"] = client
    if meta is not None:
        query["meta"] = json.dumps(meta)
    if watch:
        query["watch"] = "presence"
    base = f"{node.url if events else node.ws}/v1/channels/{quote(key)}/"
    return base + ("events?" if events else "ws?") + urllib.parse.urlencode(query)


def snapshot(node, key):
    """{client: connections}, asked of any node."""
    answer = request(f"{node.url}/v1/channels/{quote(key)}/presence")
    assert answer.status == 200, answer
    return {one["client"]: one["connections"] for one in answer.json()["clients"]}


class Watched:
    """What a watcher makes of what it is told: who is there, and each join and leave in order."""

    def __init__(self, client):
        self.client = client

    def of(self, kind):
        return [one["client"] for event in self.client.of_type("presence")
                for one in event.get(kind, [])]

    def there(self):
        """Who is there by what was told; that what is told fits to what was before is checked."""
        there = None
        for event in self.client.of_type("presence"):
            if "id" in event:
                continue
            if "clients" in event:
                there = {one["client"] for one in event["clients"]}
                continue
            for one in event["left"]:
                there.remove(one["client"])
            for one in event["joined"]:
                assert one["client"] not in there, event
                there.add(one["client"])
            assert {one["client"] for one in event["changed"]} <= there
        return there

    def wait_there(self, *clients, bound=20.0):
        def check():
            assert self.there() == set(clients), self.there()
            return True
        wait_for(check, bound, f"{clients} to be there")


def watcher(node, key, **names):
    client = Client(url(node, key, watch=True, **names))
    client.wait_event("presence")
    return Watched(client)


def arrive(node, key, client, **more):
    made = Client(url(node, key, client, **more))
    made.welcome()
    return made


def test_who_watches_is_shown_all_and_then_who_comes_and_goes(steady, key):
    owner = steady.owner(key)
    ada = arrive(owner, key, "ada", meta={"name": "Ada é", "n": [1]})
    watched = watcher(owner, key)
    whole = watched.client.wait_event("presence")
    assert whole == {"type": "presence", "clients": [
        {"client": "ada", "meta": {"name": "Ada é", "n": [1]}, "connections": 1}]}
    bob = arrive(owner, key, "bob")
    assert watched.client.wait_event("presence", 2) == {
        "type": "presence", "left": [], "joined": [{"client": "bob"}], "changed": []}
    ada.close()
    left = watched.client.wait_event("presence", 3)
    assert [one["client"] for one in left["left"]] == ["ada"]
    other = arrive(owner, key, "bob", meta=7)
    changed = watched.client.wait_event("presence", 4)
    assert changed["changed"] == [{"client": "bob", "meta": 7}] and not changed["joined"]
    for node in steady.running():
        assert snapshot(node, key) == {"bob": 2}
    for client in (bob, other, watched.client):
        client.close()


def test_a_page_that_is_loaded_anew_and_a_second_tab_make_no_noise(steady, key):
    owner = steady.owner(key)
    watched = watcher(owner, key)
    first = arrive(owner, key, "ada")
    watched.wait_there("ada")
    for _ in range(5):
        first.close()
        first = arrive(owner, key, "ada")
    second = arrive(owner, key, "ada")
    first.close()
    mark = arrive(owner, key, "mark")       # what would have been told would have been before
    watched.wait_there("ada", "mark")
    second.close()
    watched.wait_there("mark", bound=GRACE_S + 10)
    assert watched.of("joined") == ["ada", "mark"] and watched.of("left") == ["ada"]
    for client in (mark, watched.client):
        client.close()


def test_events_name_themselves_and_watch_too(steady, key):
    owner, wrong = steady.owner(key), steady.wrong_node(key)
    ada = arrive(owner, key, "ada", meta=True)
    with CurlEvents(url(wrong, key, "curl", watch=True, events=True), "-L") as curl:
        whole, = curl.wait_for("presence")
        assert [one["client"] for one in json.loads(whole["data"])["clients"]] == ["ada", "curl"]
        assert "id" not in whole
        assert snapshot(wrong, key) == {"ada": 1, "curl": 1}
        bob = arrive(owner, key, "bob")
        told = curl.wait_for("presence", 2)[1]
        assert json.loads(told["data"])["joined"] == [{"client": "bob"}]
    wait_for(lambda: "curl" not in snapshot(wrong, key), GRACE_S + 15, "curl to leave")
    for client in (ada, bob):
        client.close()


def test_a_websocket_asks_who_is_there(steady, key):
    ada = arrive(steady.owner(key), key, "ada")
    ada.send({"type": "presence_get", "id": "p1"})
    assert ada.wait_event("presence") == {
        "type": "presence", "id": "p1", "clients": [{"client": "ada", "connections": 1}]}
    ada.close()


def test_the_command_line_shows_who_is_there(steady, key):
    assert steady.cli("presence", key) == ""
    ada = arrive(steady.owner(key), key, "ada", meta={"n": 1})
    bob = arrive(steady.owner(key), key, "bob\u2028")
    lines = steady.cli("presence", key).splitlines()
    assert lines[1].split() == ["ada", "1", '{"n":1}'] and lines[2].split()[1:] == ["1", "-"]
    shown = steady.cli_json("presence", key)
    assert shown["channel"] == key and shown["node"] == steady.owner(key).id
    assert shown["clients"][0] == {"client": "ada", "meta": {"n": 1}, "connections": 1}
    steady.cli("presence", "", code=2)
    steady.cli("presence", code=2)
    for client in (ada, bob):
        client.close()


def test_asking_makes_no_channel(steady, key):
    for node in steady.running():
        answer = request(f"{node.url}/v1/channels/{quote(key)}/presence").json()
        assert (answer["channel"], answer["incarnation"], answer["clients"]) == (key, None, [])
        assert node.channel(key)["incarnation"] is None


@pytest.mark.parametrize("query", [
    "client=%01", "client=" + "x" * 129, "client=%ff", "meta=1", "client=a&meta=%7B",
    "client=a&meta=" + "1" * 513, "client=a&meta=" + "[" * 17 + "]" * 17, "client=a&client=b",
    "watch=people", "watch=presence,presence",
])
def test_what_is_no_name_is_refused_and_says_why(steady, key, query):
    for endpoint in ("ws", "events"):
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} if endpoint == "ws" else {}
        answer = request(f"{steady['n1'].url}/v1/channels/{quote(key)}/{endpoint}?{query}",
                         headers=headers)
        assert (answer.status, answer.code) == (400, "bad_query"), answer
        word = query.split("=")[0] if not query.startswith("client=a&meta") else "meta"
        assert word in answer.json()["detail"]


def test_a_channel_has_so_many_clients_and_no_more(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=1, settings={
        **SETTINGS, "presence": "{grace: 1s, clients: 5, channel_clients: 3}"})
    node = cluster["n1"]
    clients = [arrive(node, key, f"c{number}") for number in range(3)]
    refused = Client(url(node, key, "c4"))
    assert refused.wait_event("error")["code"] == "limit_reached"
    assert refused.wait_closed() == 1013
    clients += [arrive(node, key, "c0"), arrive(node, key + "2", "c0"), arrive(node, key + "2", "c1")]
    refused = Client(url(node, key + "2", "c2"))
    assert refused.wait_event("error")["code"] == "limit_reached"
    clients[0].close()
    clients[3].close()

    def again():
        client = Client(url(node, key, "c4"))
        if client.of_type("error") or not client.of_type("welcome"):
            return None
        return client
    clients.append(wait_for(again, 20.0, "a place"))
    assert node.metrics()["ringhop_presence_clients"] == 5
    for client in clients:
        client.close()


# --- planned moves --------------------------------------------------------------------------------

def follow(clients):
    """Each goes where it was told, and lets go of the connection that it had."""
    moved = [(client, client.wait_event("moved", bound=30.0)) for client in clients]
    after = []
    for client, event in moved:
        after.append(Client(event["url"]))
        after[-1].welcome()
        client.close()
    return after


def test_a_drain_and_a_join_are_silent(shared_zookeeper, make_cluster, key):
    """And who goes in the middle of it leaves once, at the new owner."""
    cluster = make_cluster(shared_zookeeper, settings=SETTINGS)
    if not cluster.replicates():
        pytest.skip("these nodes keep one copy of a channel")
    owner = cluster.owner(key)
    others = [node for node in cluster.running() if node is not owner]
    clients = [arrive(owner, key, f"c{number}", meta={"n": number}) for number in range(8)]
    clients.append(arrive(owner, key, "c0"))
    gone = arrive(owner, key, "gone")
    watched = watcher(owner, key)
    first = watched
    gone.close()
    cluster.cli("drain", owner.id, "--timeout", "1s")
    *clients, watching = follow(clients + [watched.client])
    watched = Watched(watching)
    watched.client.wait_event("presence")
    names = {f"c{number}" for number in range(8)}
    assert watched.there() in (names, names | {"gone"})
    watched.wait_there(*names, bound=GRACE_S + LINGER_S + 15)
    assert set(snapshot(others[0], key)) == names
    assert snapshot(others[0], key)["c0"] == 2
    cluster.cli("join", owner.id, "--timeout", "1s")
    *clients, watching = follow(clients + [watched.client])
    back = Watched(watching)
    back.client.wait_event("presence")
    assert back.there() == names
    mark = arrive(owner, key, "mark")
    time.sleep(GRACE_S + LINGER_S)          # what is not told cannot be waited for
    back.wait_there("mark", *names)
    assert first.of("joined") == [] and set(first.of("left")) <= {"gone"}
    assert watched.of("joined") == [] and set(watched.of("left")) <= {"gone"}
    assert len(first.of("left") + watched.of("left")) == 1
    assert back.of("joined") == ["mark"] and back.of("left") == []
    whole = back.client.wait_event("presence")["clients"]
    assert {one["client"]: one.get("meta") for one in whole} == {
        f"c{number}": {"n": number} if number else None for number in range(8)}
    for client in [*clients, mark, back.client]:
        client.close()


def test_a_change_of_weight_is_silent(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=2, settings=SETTINGS)
    if not cluster.replicates():
        pytest.skip("these nodes keep one copy of a channel")
    owner = cluster.owner(key)
    clients = [arrive(owner, key, f"c{number}") for number in range(3)]
    watched = watcher(owner, key)
    cluster.cli("weight", owner.id, "0.001", "--timeout", "1s")
    *clients, watching = follow(clients + [watched.client])
    after = Watched(watching)
    after.wait_there("c0", "c1", "c2")
    mark = arrive(cluster.owner(key), key, "mark")
    time.sleep(GRACE_S + LINGER_S)
    after.wait_there("c0", "c1", "c2", "mark")
    assert after.of("joined") == ["mark"] and not after.of("left")
    assert not watched.of("joined") and not watched.of("left")
    for client in [*clients, mark, after.client]:
        client.close()


# --- deaths ---------------------------------------------------------------------------------------

def at_new_owner(node, key, **names):
    """Connects through a node that lives, until it is welcomed."""
    def welcomed():
        client = Client(url(node, key, **names), bound=10.0)
        try:
            wait_for(lambda: client.events, 8.0, "a word")
            moved = client.of_type("moved")
            if moved:
                client = Client(moved[0]["url"], bound=10.0)
            client.welcome()
        except Exception:
            client.close()
            raise
        return client
    return wait_for(welcomed, 30.0, "a welcome after the death of the owner")


def test_after_the_death_of_the_owner_who_does_not_come_back_leaves_once(shared_zookeeper,
                                                                         make_cluster, key):
    cluster = make_cluster(shared_zookeeper, settings=SETTINGS)
    if not cluster.replicates():
        pytest.skip("these nodes keep one copy of a channel")
    owner = cluster.owner(key)
    other = next(node for node in cluster.running() if node is not owner)
    clients = {f"c{number}": arrive(owner, key, f"c{number}") for number in range(6)}
    watched = watcher(owner, key)
    watched.wait_there(*clients)
    owner.kill()
    for client in clients.values():
        client.wait_closed()
    again = at_new_owner(other, key, watch=True)
    begun = time.monotonic()
    after = Watched(again)
    after.client.wait_event("presence")
    back = [at_new_owner(other, key, client=name) for name in ("c0", "c1", "c2")]
    after.wait_there("c0", "c1", "c2", bound=GRACE_S + LINGER_S + 5)
    assert time.monotonic() - begun < GRACE_S + LINGER_S + 5
    whole = after.client.of_type("presence")[0]
    assert {one["client"] for one in whole["clients"]} == set(clients), "nobody is forgotten"
    mark = at_new_owner(other, key, client="mark")
    after.wait_there("c0", "c1", "c2", "mark")
    time.sleep(GRACE_S)
    assert sorted(after.of("left")) == ["c3", "c4", "c5"]
    assert after.of("joined") == ["mark"]
    assert snapshot(other, key) == {"c0": 1, "c1": 1, "c2": 1, "mark": 1}
    for client in [*back, mark, after.client]:
        client.close()


DYING = """
import asyncio, sys, websockets
async def main():
    sockets = [await websockets.connect(url, subprotocols=["ringhop.v1"]) for url in sys.argv[1:]]
    for socket in sockets:
        await socket.recv()
    print("ready", flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""


def test_clients_that_are_killed_leave(steady, key):
    owner = steady.owner(key)
    watched = watcher(owner, key, client="watcher")
    names = [f"victim{number}" for number in range(5)]
    process = subprocess.Popen([sys.executable, "-c", DYING, *(url(owner, key, name) for name in names)],
                               stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        watched.wait_there("watcher", *names)
    finally:
        process.kill()
        process.wait()
    watched.wait_there("watcher", bound=GRACE_S + 10)
    assert sorted(watched.of("left")) == names and sorted(watched.of("joined")) == names
    watched.client.close()


# --- relayed --------------------------------------------------------------------------------------

def relayed(node, key, **names):
    client = Client(url(node, key, **names) + "&route=relay")
    client.welcome()
    return client


def test_relayed_clients_are_present_and_watch(steady, key):
    owner = steady.owner(key)
    first, second = [node for node in steady.running() if node is not owner]
    ada = relayed(first, key, client="ada", meta={"n": 1})
    watched = Watched(relayed(second, key, client="bob", watch=True))
    watched.wait_there("ada", "bob")
    local = watcher(owner, key)
    assert snapshot(first, key) == {"ada": 1, "bob": 1}
    eve = relayed(first, key, client="eve")
    again = relayed(second, key, client="ada", meta={"n": 2})
    for one in (watched, local):
        one.wait_there("ada", "bob", "eve")
    wait_for(lambda: watched.of("changed") == ["ada"] and local.of("changed") == ["ada"], 10.0, "meta")
    ada.send({"type": "presence_get", "id": "p"})
    assert ada.wait_event("presence")["clients"] == [
        {"client": "ada", "meta": {"n": 2}, "connections": 2},
        {"client": "bob", "connections": 1}, {"client": "eve", "connections": 1}]
    eve.close()
    again.close()
    for one in (watched, local):
        one.wait_there("ada", "bob", bound=GRACE_S + 10)
        assert one.of("left") == ["eve"]
    for client in (ada, watched.client, local.client):
        client.close()


def test_relayed_clients_watch_the_state(steady, key):
    owner, wrong = steady.owner(key), steady.wrong_node(key)
    path = f"{wrong.url}/v1/channels/{quote(key)}/state"
    client = Client(f"{wrong.ws}/v1/channels/{quote(key)}/ws?route=relay&watch=state")
    assert client.wait_event("state") == {"type": "state", "version": 0, "exists": False}
    with CurlEvents(f"{wrong.url}/v1/channels/{quote(key)}/events?route=relay&watch=state") as curl:
        curl.wait_for("state")
        request(path, "PUT", "one", {"Content-Type": "text/plain"})
        assert client.wait_event("state", 2)["data"] == "one"
        assert json.loads(curl.wait_for("state", 2)[1]["data"])["version"] == 1
    client.send({"type": "state_put", "id": "w", "json": [2], "if_version": 1})
    assert client.wait_event("ack")["version"] == 2
    assert client.wait_event("state", 3)["json"] == [2]
    request(path, "DELETE")
    assert client.wait_event("state", 4) == {"type": "state", "version": 3, "exists": False}
    client.close()


def test_relayed_clients_stay_through_a_drain_and_the_death_of_the_owner(shared_zookeeper,
                                                                         make_cluster, key):
    """Nobody notices: no join, no leave, and the list is the same."""
    cluster = make_cluster(shared_zookeeper, nodes=4, settings=SETTINGS)
    if not cluster.replicates():
        pytest.skip("these nodes keep one copy of a channel")
    owner = cluster.owner(key)
    cluster.cli("drain", owner.id, "--wait")
    cluster.cli("join", owner.id, "--wait")
    # A node that is none of its owners in what follows.
    info = owner.channel(key)
    doomed = [info["owner"], *info["replicas"]]
    outside = next(node for node in cluster.running() if node.id not in doomed)
    clients = [relayed(outside, key, client=f"c{number}") for number in range(4)]
    watched = Watched(relayed(outside, key, watch=True))
    watched.wait_there("c0", "c1", "c2", "c3")
    cluster.cli("drain", owner.id, "--wait")
    wait_for(lambda: outside.channel(key)["owner"] != owner.id, 20.0, "another owner")
    assert snapshot(outside, key) == {f"c{number}": 1 for number in range(4)}
    second = cluster[outside.channel(key)["owner"]]
    if second is not outside:
        second.kill()
        wait_for(lambda: snapshot(outside, key) == {f"c{number}": 1 for number in range(4)}, 40.0,
                 "the list at the next owner")
    time.sleep(GRACE_S + LINGER_S)
    mark = Client(url(outside, key, client="mark") + "&route=relay")
    mark.welcome()
    watched.wait_there("c0", "c1", "c2", "c3", "mark")
    assert set(watched.of("joined")) <= {"c0", "c1", "c2", "c3", "mark"} and not watched.of("left")
    assert all(client.is_open() for client in clients)
    assert snapshot(outside, key) == {**{f"c{number}": 1 for number in range(4)}, "mark": 1}
    for client in [*clients, mark, watched.client]:
        client.close()
