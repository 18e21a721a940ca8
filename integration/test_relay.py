# SPDX-License-Identifier: Apache-2.0
"""A node carries the connections of its clients to the owner of their channel: they never notice where
that is."""
import json
import pathlib
import signal
import subprocess
import threading
import time

import pytest

from harness.events import CurlEvents, NpmEvents
from harness.http import Raw, quote, request
from harness.wait import stays, wait_for
from harness.ws import Client, RawClient


def events_url(node, key, **query):
    text = "&".join(f"{name}={value}" for name, value in {"route": "relay", **query}.items())
    return f"{node.url}/v1/channels/{quote(key)}/events?{text}"


def relayed(node, key, **query):
    return Client(node.ws_url(key, route="relay", **query))


def seqs(client):
    return [message["seq"] for message in client.messages()]


class Publishing:
    """Publishes to the keys, one after the other, through a node that lives, until it is left; what was
    acknowledged is in `last`. A publish that fails is tried again with its id."""

    def __init__(self, node, keys, every=0.005):
        self.last = dict.fromkeys(keys, 0)
        self._node, self._keys, self._every = node, keys, every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def another_each(self):
        """Waits until every key got one more."""
        before = dict(self.last)
        wait_for(lambda: all(self.last[key] > before[key] for key in before), 60,
                 "every key is published to")

    def _run(self):
        number = 0
        while not self._done.is_set():
            key = self._keys[number % len(self._keys)]
            answer = self._publish(key, f"p{number}")
            self.last[key] = max(self.last[key], answer["seq"])
            number += 1
            self._done.wait(self._every)

    def _publish(self, key, message_id):
        def tried():
            answer = self._node.publish(key, message_id, message_id=message_id)
            assert answer.status == 201, answer
            return answer.json()
        return wait_for(tried, 60, "a publish goes through")


def check_whole(client, last, bound=30):
    """Everything up to `last`, once and in order; nothing but messages after one welcome."""
    wait_for(lambda: client.messages() and client.messages()[-1]["seq"] >= last, bound,
             f"all messages up to {last}; heard {client.messages()[-2:]}")
    assert seqs(client) == list(range(1, len(seqs(client)) + 1))


def check_unnoticed(client):
    """A WebSocket that was never told anything but a welcome and messages."""
    assert client.is_open()
    assert {event["type"] for event in client.events} == {"welcome", "message"}
    assert len(client.of_type("welcome")) == 1


# --- nothing happens -----------------------------------------------------------------------------

def test_a_websocket_is_served_by_whichever_node_it_reached(steady, key):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    owner.publish(key, "before")
    client = relayed(wrong, key)
    welcome = client.welcome()
    assert welcome["node"] == wrong.id and welcome["channel"] == key
    assert welcome["seq"] == 1 and welcome["recovered"] is True
    owner.publish(key, "one")
    client.send({"type": "publish", "id": "a", "data": "two"})
    client.send({"type": "ping"})
    assert [message["data"] for message in client.wait_messages(2)] == ["one", "two"]
    assert client.wait_event("ack") == {"type": "ack", "id": "a", "seq": 3}
    client.wait_event("pong")
    assert owner.channel(key)["connections"] == 1
    assert wrong.metrics()["ringhop_relayed_connections"] == 1
    assert owner.metrics()["ringhop_remote_connections"] == 1
    assert (wrong.status()["relayed"], owner.status()["remote"]) == (1, 1)
    client.close()
    wait_for(lambda: owner.channel(key)["connections"] == 0, 5, "the owner knows that it went")
    assert wrong.status()["relayed"] == 0 and owner.status()["remote"] == 0


def test_a_position_is_resumed_or_told_to_be_lost_as_at_the_owner(steady, key):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    first = owner.publish(key, "1").json()
    for number in range(2, 6):
        owner.publish(key, str(number))
    client = relayed(wrong, key, after=f"{first['incarnation']}:2")
    assert client.welcome()["recovered"] is True and client.welcome()["seq"] == 2
    client.wait_messages(3)
    assert seqs(client) == [3, 4, 5]
    foreign = relayed(wrong, key, after=f"{'f' * 16}:2")
    assert foreign.welcome()["recovered"] is False
    foreign.wait_messages(5)
    assert seqs(foreign) == [1, 2, 3, 4, 5]
    client.close()
    foreign.close()


def test_events_are_relayed_to_curl_and_to_npm(steady, key):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    incarnation = owner.publish(key, "1").json()["incarnation"]
    with CurlEvents(events_url(wrong, key, after=0)) as curl, \
            NpmEvents(events_url(wrong, key, after=0)) as npm:
        npm.wait_for("welcome")
        owner.publish(key, "2")
        assert [event["id"] for event in curl.wait_for("message", 2)] == \
            [f"{incarnation}:1", f"{incarnation}:2"]
        npm.wait_for("message", 2)
        assert seqs(curl) == seqs(npm) == [1, 2]
        assert json.loads(curl.of("welcome")[0]["data"])["node"] == wrong.id


def test_polls_are_relayed_to_curl(steady, key):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    base = f"{wrong.url}/v1/channels/{quote(key)}/messages?route=relay"

    def curl(query, *arguments):
        done = subprocess.run(["curl", "-s", "--max-time", "60", "-w", "\n%{http_code}", *arguments,
                               base + query], capture_output=True, text=True, check=True, timeout=90)
        body, _, status = done.stdout.rpartition("\n")
        assert status == "200", done.stdout
        return json.loads(body)
    assert curl("&after=0") == {"channel": key, "incarnation": None, "recovered": True,
                                "messages": [], "position": "0", "more": False}
    for number in range(1, 6):
        owner.publish(key, str(number))
    page = curl("&after=0&limit=2")
    assert [message["seq"] for message in page["messages"]] == [1, 2] and page["more"] is True
    rest = curl(f"&after={page['position']}")
    assert [message["seq"] for message in rest["messages"]] == [3, 4, 5] and rest["more"] is False
    assert curl(f"&after={rest['position']}&wait=1")["messages"] == []


@pytest.mark.parametrize("after", ["", "&after=0"])
def test_a_long_poll_is_answered_by_the_next_message(steady, key, after):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    with Raw(wrong.client_port, timeout=30) as raw:
        raw.send(f"GET /v1/channels/{quote(key)}/messages?route=relay&wait=30{after} HTTP/1.1\r\n"
                 f"Host: h\r\n\r\n".encode())
        wait_for(lambda: owner.metrics()["ringhop_reads_waiting"] == 1, 10, "the poll waits")
        owner.publish(key, "it")
        answer = raw.response()
    assert [message["data"] for message in answer.json()["messages"]] == ["it"]
    assert wrong.metrics()["ringhop_relayed_connections"] == 0


def test_many_clients_of_one_node_share_what_comes_from_the_owner(steady, key):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    clients = [relayed(wrong, key) for _ in range(50)]
    for client in clients:
        client.welcome()
    before = owner.metrics()["ringhop_peer_messages_sent_total"]
    for number in range(20):
        owner.publish(key, str(number))
    for client in clients:
        client.wait_messages(20)
        assert seqs(client) == list(range(1, 21))
    sent = owner.metrics()["ringhop_peer_messages_sent_total"] - before
    assert sent < 20 * 50 / 2, "a message goes once to each node, not once to each client"
    for client in clients:
        client.close()


def test_who_asks_for_a_redirect_gets_one_where_relaying_is_the_default(shared_zookeeper,
                                                                       make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=2, settings={"route": "relay"})
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    client = Client(wrong.ws_url(key))
    assert client.welcome()["node"] == wrong.id
    redirected = Client(wrong.ws_url(key, route="redirect"))
    moved = redirected.wait_event("moved")
    assert moved["node"] == owner.id and "route=redirect" in moved["url"]
    assert wrong.poll(key, after=0).status == 200
    assert wrong.poll(key, after=0, route="redirect").status == 307
    owner.get(f"/v1/channels/{quote(key)}/state", method="PUT", body="x")
    assert wrong.get(f"/v1/channels/{quote(key)}/state").body == b"x"
    client.close()


@pytest.mark.parametrize("field", ["Origin: http://a.example", "Sec-Fetch-Mode: cors"])
def test_what_looks_like_a_browsers_eventsource_is_relayed_unless_it_says_otherwise(steady, key, field):
    wrong, accept = steady.wrong_node(key), "text/event-stream"
    url = f"{wrong.url}/v1/channels/{quote(key)}/events"
    with CurlEvents(url, "-H", field, "-H", f"Accept: {accept}") as curl:
        assert json.loads(curl.wait_for("welcome")[0]["data"])["node"] == wrong.id
    name, _, value = field.partition(": ")
    assert request(url, headers={name: value}).status == 307
    answer = request(f"{url}?route=redirect", headers={name: value, "Accept": accept})
    assert answer.status == 307 and "route=redirect" in answer.headers["location"]


def test_a_chain_of_redirects_ends_in_a_relay(steady, key):
    wrong = steady.wrong_node(key)
    epoch = wrong.ring()["epoch"]
    for query in ({"hops": 3, "epoch": epoch - 1}, {"hops": 1, "epoch": epoch}):
        client = Client(wrong.ws_url(key, **query))
        assert client.welcome()["node"] == wrong.id
        client.close()
        answer = wrong.poll(key, after=0, **query)
        assert answer.status == 200
        refused = wrong.poll(key, after=0, route="redirect", **query)
        assert refused.status == 503 and refused.code == "redirect_limit"


# --- the channel moves ---------------------------------------------------------------------------

def check_goes_on(node, key, end):
    """Clients of all kinds at the node notice nothing of the end of their owner."""
    socket = relayed(node, key, after=0)
    with CurlEvents(events_url(node, key, after=0)) as curl, \
            NpmEvents(events_url(node, key, after=0)) as npm:
        for client in (curl, npm):
            client.wait_for("welcome")
        with Publishing(node, [key]) as publishing:
            wait_for(lambda: len(socket.messages()) > 20, 10, "messages before")
            end()
            count = len(socket.messages())
            wait_for(lambda: len(socket.messages()) > count + 20, 30, "messages after")
        for client in (socket, curl, npm):
            check_whole(client, publishing.last[key])
        check_unnoticed(socket)
        for client in (curl, npm):
            assert len(client.of("welcome")) == 1 and client.of("moved") == []
    socket.close()


def test_a_drain_of_the_owner_is_not_noticed(cluster, key):
    owner = cluster.owner(key)
    check_goes_on(cluster.wrong_node(key), key, lambda: cluster.cli("drain", owner.id, "--wait"))
    assert owner.channel(key)["owner"] != owner.id


def test_the_death_of_the_owner_is_not_noticed(cluster, key):
    check_goes_on(cluster.wrong_node(key), key, cluster.owner(key).kill)


def test_an_owner_that_stands_still_is_replaced_unnoticed(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, session_timeout="1s")
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    client = relayed(wrong, key, after=0)
    client.welcome()
    with Publishing(wrong, [key]) as publishing:
        wait_for(lambda: len(client.messages()) > 20, 10, "messages before")
        owner.pause()
        count = len(client.messages())
        wait_for(lambda: len(client.messages()) > count + 20, 30, "messages after")
        owner.resume()
        count = len(client.messages())
        wait_for(lambda: len(client.messages()) > count + 20, 30, "messages after it woke up")
    check_whole(client, publishing.last[key])
    check_unnoticed(client)
    client.close()


def test_a_relaying_node_that_becomes_the_owner_serves_its_clients_itself(cluster):
    """And one that ceases to be the owner relays them: a client that asked for it never moves."""
    first, second = cluster["n1"], cluster["n2"]
    cluster.cli("drain", "n3", "--wait")
    keys = [f"k{number}" for number in range(40)]
    before = cluster.owners(keys)
    clients = {key: relayed(first, key, after=0) for key in keys}
    for client in clients.values():
        client.welcome()
    assert first.status()["relayed"] == list(before.values()).count("n2")
    with Publishing(first, keys) as publishing:
        cluster.cli("join", "n3", "--wait")         # some of both go to the third
        publishing.another_each()
        cluster.cli("drain", "n2", "--wait")        # and the second's to either
        assert second.status()["remote"] == 0
        publishing.another_each()
        cluster.cli("join", "n2", "--wait")         # and back
        publishing.another_each()
    after = list(cluster.owners(keys).values())
    assert set(after) == {"n1", "n2", "n3"}
    wait_for(lambda: first.status()["relayed"] == len(keys) - after.count("n1"), 10,
             "who is served elsewhere is relayed")
    for key, client in clients.items():
        check_whole(client, publishing.last[key])
        check_unnoticed(client)
        client.close()


def test_a_relaying_node_that_drains_sends_its_clients_away(cluster, key):
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    owner.publish(key, "1")
    client = relayed(wrong, key, after=0)
    client.wait_messages(1)
    with CurlEvents(events_url(wrong, key, after=0)) as curl:
        curl.wait_for("message")
        cluster.cli("drain", wrong.id, "--wait")
        moved = client.wait_event("moved")
        assert moved["node"] == owner.id and moved["seq"] == 1
        assert "route=relay" in moved["url"] and moved["url"].startswith(owner.ws)
        assert client.wait_closed() == 4307
        assert json.loads(curl.wait_for("moved")[0]["data"])["node"] == owner.id
        assert curl.wait_ended() == 0
    assert wrong.status()["relayed"] == 0
    there = Client(moved["url"])
    assert there.welcome()["recovered"] is True and there.welcome()["seq"] == 1
    there.close()
    turned_away = Client(wrong.ws_url(key, route="relay"))
    assert turned_away.wait_event("moved")["node"] == owner.id
    answer = wrong.poll(key, after=0, route="relay")
    assert answer.status == 307 and "route=relay" in answer.headers["location"]


@pytest.mark.parametrize("end", ["drain", "kill"])
def test_a_long_poll_waits_on_when_its_owner_goes(cluster, key, end):
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    owner.publish(key, "old")
    with Raw(wrong.client_port, timeout=40) as raw:
        raw.send(f"GET /v1/channels/{quote(key)}/messages?route=relay&wait=40 HTTP/1.1\r\n"
                 f"Host: h\r\n\r\n".encode())
        wait_for(lambda: owner.metrics()["ringhop_reads_waiting"] == 1, 10, "the poll waits")
        if end == "drain":
            cluster.cli("drain", owner.id, "--wait")
        else:
            owner.kill()
        assert wait_for(lambda: wrong.publish(key, "new", message_id="new").status == 201, 30)
        answer = raw.response()
    assert [message["data"] for message in answer.json()["messages"]] == ["new"]
    assert answer.json()["recovered"] is True


def test_a_client_that_does_not_read_makes_nobody_keep_anything(shared_zookeeper, make_cluster, key):
    """What it was not sent stays in the log of the owner, and it is told to resume when that has gone on
    without it."""
    cluster = make_cluster(shared_zookeeper, settings={
        "limits": "{message_bytes: 16KiB, send_queue: 128KiB, log_messages: 300, log_bytes: 64MiB}"})
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    quick = relayed(wrong, key)
    slow = RawClient(wrong, key, query="?route=relay", timeout=20)
    welcome = slow.take_event()
    body, count, queued = "x" * 16000, 1200, []
    for number in range(count):
        assert owner.publish(key, f"{number}:{body}").status == 201
        if number % 4 == 3:
            quick.wait_messages(number + 1)
            queued.append(owner.metrics()["ringhop_peer_queued_bytes"])
    assert len(quick.wait_messages(count, bound=30)) == count
    assert max(queued) < 2 ** 20
    events, code = slow.take_rest()
    seen = [event["seq"] for event in events]
    assert code == 4408
    assert seen == list(range(1, len(seen) + 1)) and len(seen) < count - 300
    again = relayed(wrong, key, after=f"{welcome['incarnation']}:{seen[-1]}")
    assert again.welcome()["recovered"] is False
    again.wait_messages(300, bound=30)
    assert seqs(again) == list(range(count - 299, count + 1))
    for client in (quick, again):
        client.close()
    slow.raw.close()


def test_what_a_stopped_curl_does_not_read_is_kept_by_nobody_but_the_log(shared_zookeeper, make_cluster, key):
    """The relaying node holds no copy of the channel, so all that grows there would be the client's."""
    cluster = make_cluster(shared_zookeeper, settings={
        "limits": "{message_bytes: 16KiB, send_queue: 128KiB, log_messages: 5000, log_bytes: 64MiB}"})
    owner = cluster.owner(key)
    owner.publish(key, "first")
    relaying = next(node for node in cluster.running()
                    if node.id not in (owner.id, *owner.channel(key)["replicas"]))
    body, count = "x" * 16000, 2500     # 40 MB: more than all sockets between them take
    with CurlEvents(events_url(relaying, key, after=0)) as curl:
        curl.wait_for("message")
        curl.send_signal(signal.SIGSTOP)
        before = relaying.process.rss_bytes()
        for number in range(count):
            assert owner.publish(key, f"{number}:{body}").status == 201
        grown = relaying.process.rss_bytes() - before
        curl.send_signal(signal.SIGCONT)
        curl.wait_for("message", count + 1, bound=50)
        assert seqs(curl) == list(range(1, count + 2))
        assert len(curl.of("welcome")) == 1 and curl.of("error") == []
    assert grown < 2 ** 23, f"{grown} bytes more"


def test_one_that_is_only_slow_gets_all(shared_zookeeper, make_cluster, key):
    """A replay of far more than its send queue, over the tunnel, at the pace of the reader."""
    cluster = make_cluster(shared_zookeeper, settings={
        "limits": "{message_bytes: 16KiB, send_queue: 128KiB, log_messages: 5000, log_bytes: 64MiB}"})
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    for number in range(1000):
        assert owner.publish(key, f"{number}:" + "x" * 16000).status == 201
    slow = RawClient(wrong, key, query="?route=relay&after=0", timeout=20)
    seen = []
    slow.take_event()
    while len(seen) < 1000:
        seen.append(slow.take_event()["seq"])
    assert seen == list(range(1, 1001))
    slow.raw.close()


def test_a_slow_one_is_not_overfilled_when_its_node_becomes_the_owner_or_is_it_no_more(
        shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=2, settings={
        "limits": "{message_bytes: 16KiB, send_queue: 128KiB, log_messages: 5000, log_bytes: 64MiB}"})
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    slow = RawClient(wrong, key, query="?route=relay&after=0", timeout=20)
    assert slow.take_event()["type"] == "welcome"
    seen, published = [], 0
    for change in ("drain", "join", None):
        for _ in range(800):        # more than sockets hold, of what takes as much as it can
            assert wrong.publish(key, "\x01" * 2700).status == 201
        published += 800
        if change:
            cluster.cli(change, owner.id, "--wait")
            assert (wrong.status()["relayed"] == 0) == (change == "drain")
        seen += [slow.take_event()["seq"] for _ in range(200)]
    seen += [slow.take_event()["seq"] for _ in range(published - len(seen))]
    assert seen == list(range(1, published + 1))
    slow.raw.close()


def test_an_owner_takes_as_many_as_it_may(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, settings={"limits": "{relayed: 2}"})
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    clients = [relayed(wrong, key) for _ in range(2)]
    for client in clients:
        client.welcome()
    third = relayed(wrong, key)
    assert third.wait_event("error")["code"] == "limit_reached"
    assert third.wait_closed() == 1013
    assert wrong.poll(key, after=0, route="relay").code == "limit_reached"
    clients[0].close()
    wait_for(lambda: owner.status()["remote"] == 1, 5, "there is room")
    clients[0] = relayed(wrong, key)
    clients[0].welcome()
    for client in clients:
        client.close()


def test_the_death_of_the_relaying_node_is_the_end_of_its_clients_only(cluster, key):
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    direct, client = Client(owner.ws_url(key)), relayed(wrong, key)
    client.welcome()
    assert owner.channel(key)["connections"] == 2
    wrong.kill()
    wait_for(lambda: owner.channel(key)["connections"] == 1, 15, "the owner lets go of it")
    wait_for(lambda: owner.publish(key, "x", message_id="x").status == 201, 30)
    direct.wait_messages(1)
    assert direct.is_open()
    direct.close()


@pytest.fixture
def behind_proxy(shared_zookeeper, make_cluster, make_proxy, key):
    """(relaying node, owner, proxy): others reach the relaying node, which has no copy of the key, only
    through the proxy."""
    cluster = make_cluster(shared_zookeeper, start=False, settings={
        "limits": "{log_messages: 100000, log_bytes: 64MiB}"})     # for as long as a cut takes
    proxies = {}
    for node in cluster.nodes.values():
        proxies[node.id] = make_proxy(node.peer_port)
        node.peer_advertise = proxies[node.id].address
    cluster.config_write()
    cluster.start()
    owner = cluster.owner(key)
    owner.publish(key, "first")
    holders = {owner.id, *owner.channel(key)["replicas"]}
    node, = [node for node in cluster.running() if node.id not in holders]
    return node, owner, proxies[node.id]


def test_links_that_break_again_and_again_lose_nothing(behind_proxy, key):
    node, owner, proxy = behind_proxy
    client = relayed(node, key, after=0)
    client.welcome()
    with Publishing(owner, [key], every=0.001) as publishing:
        for _ in range(8):
            count = len(client.messages())
            proxy.restore()         # resets what goes through it
            wait_for(lambda: len(client.messages()) > count + 50, 20, "messages after it")
    check_whole(client, publishing.last[key])
    check_unnoticed(client)
    assert node.metrics()["ringhop_tunnels_broken_total"] > 0
    client.close()


def test_a_cut_between_the_two_is_waited_for(behind_proxy, key):
    node, owner, proxy = behind_proxy
    client = relayed(node, key, after=0)
    client.welcome()
    with Publishing(owner, [key]) as publishing:
        wait_for(lambda: len(client.messages()) > 20, 10, "messages before")
        lost = node.metrics()["ringhop_tunnels_broken_total"]
        proxy.cut()
        wait_for(lambda: node.metrics()["ringhop_tunnels_broken_total"] > lost, 20,
                 "the relaying node hears nothing")
        count = len(client.messages())
        proxy.restore()
        wait_for(lambda: len(client.messages()) > count + 50, 30, "messages after the cut")
    check_whole(client, publishing.last[key])
    check_unnoticed(client)
    client.close()


# --- a browser -----------------------------------------------------------------------------------

PAGE = """<!doctype html><title>events</title><script>
const seen = {welcomes: [], seqs: [], moved: 0, errors: 0};
function listen(url) {
  const source = new EventSource(url);
  source.addEventListener("welcome", (event) => seen.welcomes.push(JSON.parse(event.data)));
  source.addEventListener("message", (event) => seen.seqs.push(JSON.parse(event.data).seq));
  source.addEventListener("moved", () => seen.moved++);
  source.onerror = () => seen.errors++;
}
</script>"""


@pytest.fixture
def page(browser, tmp_path):
    """Chromium with a page that listens as scripts everywhere do: with its own EventSource."""
    file = tmp_path / "page.html"
    file.write_text(PAGE)
    browser.open(file)
    return browser


@pytest.mark.parametrize("end", ["drain", "kill"])
def test_chromiums_own_eventsource_follows_through_the_end_of_the_owner(cluster, page, key, end):
    wrong, owner = cluster.wrong_node(key), cluster.owner(key)
    url = f"{wrong.url}/v1/channels/{quote(key)}/events?after=0"
    page.evaluate(f"listen({json.dumps(url)})")
    wait_for(lambda: page.evaluate("seen.welcomes.length") == 1, 15, "a welcome")
    with Publishing(wrong, [key]) as publishing:
        wait_for(lambda: page.evaluate("seen.seqs.length") > 20, 15, "messages before")
        if end == "drain":
            cluster.cli("drain", owner.id, "--wait")
            assert owner.stop() == 0
        else:
            owner.kill()
        count = page.evaluate("seen.seqs.length")
        wait_for(lambda: page.evaluate("seen.seqs.length") > count + 20, 30, "messages after")
    last = publishing.last[key]
    wait_for(lambda: page.evaluate("seen.seqs.at(-1)") >= last, 20, f"messages up to {last}")
    seen = page.evaluate("seen")
    assert seen["seqs"] == list(range(1, len(seen["seqs"]) + 1))
    assert [welcome["node"] for welcome in seen["welcomes"]] == [wrong.id]
    assert (seen["moved"], seen["errors"]) == (0, 0)
