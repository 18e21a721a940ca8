# SPDX-License-Identifier: Apache-2.0
"""Positions, replay, poll and long poll, and the limits of the log."""
import threading
import time

import pytest

from harness.http import quote
from harness.node import Cluster
from harness.wait import wait_for
from harness.ws import Client


@pytest.fixture(scope="module")
def small(shared_zookeeper, tmp_path_factory):
    """One node whose logs are short."""
    cluster = Cluster(shared_zookeeper, tmp_path_factory.mktemp("small"), nodes=1, settings={
        "limits": "{log_messages: 10, log_bytes: 4KiB, message_bytes: 2KiB, log_age: 2s, "
                  "channel_idle: 2s}"})
    yield cluster.start()
    cluster.stop()


def publish(node, key, count, start=1):
    return [node.publish(key, f"m{number}").json() for number in range(start, start + count)]


def data(messages):
    return [message["data"] for message in messages]


# --- WebSocket -----------------------------------------------------------------------------------

def test_without_a_position_only_new_messages_come(steady, key):
    owner = steady.owner(key)
    publish(owner, key, 3)
    client = Client(owner.ws_url(key))
    assert client.welcome()["seq"] == 3
    publish(owner, key, 1, 4)
    assert data(client.wait_messages(1)) == ["m4"]
    client.close()


def test_after_0_replays_all_that_the_log_holds(steady, key):
    owner = steady.owner(key)
    publish(owner, key, 250)
    client = Client(owner.ws_url(key, after=0))
    welcome = client.welcome()
    assert welcome["seq"] == 0 and welcome["recovered"] is True
    assert data(client.wait_messages(250)) == [f"m{n}" for n in range(1, 251)]
    assert [m["seq"] for m in client.messages()] == list(range(1, 251))
    client.close()


def test_a_position_replays_what_came_after_it(steady, key):
    owner = steady.owner(key)
    answers = publish(owner, key, 5)
    client = Client(owner.ws_url(key, after=f"{answers[2]['incarnation']}:3"))
    welcome = client.welcome()
    assert welcome["recovered"] is True and welcome["seq"] == 3
    assert data(client.wait_messages(2)) == ["m4", "m5"]
    client.close()


def test_a_position_of_another_incarnation_is_not_recovered(steady, key):
    owner = steady.owner(key)
    publish(owner, key, 2)
    client = Client(owner.ws_url(key, after="00000000deadbeef:1"))
    welcome = client.welcome()
    assert welcome["recovered"] is False
    assert data(client.wait_messages(2)) == ["m1", "m2"]
    client.close()


def test_a_position_ahead_of_the_log_is_not_recovered(steady, key):
    owner = steady.owner(key)
    answers = publish(owner, key, 2)
    client = Client(owner.ws_url(key, after=f"{answers[0]['incarnation']}:99"))
    if steady.replicates():
        # Somebody may know more than this node: it waits for that, and then says that it cannot tell.
        assert client.wait_closed() == 1013 and client.events[-1]["code"] == "not_ready"
        return
    assert client.welcome()["recovered"] is False
    client.close()


def test_a_position_older_than_the_log_is_not_recovered(small, key):
    node = small["n1"]
    incarnation = publish(node, key, 30)[0]["incarnation"]
    client = Client(node.ws_url(key, after=f"{incarnation}:1"))
    welcome = client.welcome()
    assert welcome["recovered"] is False
    assert welcome["seq"] == 20
    assert data(client.wait_messages(10)) == [f"m{n}" for n in range(21, 31)]
    client.close()


@pytest.mark.parametrize("position", ["1", "x", "12:3", "00000000deadbeef", "00000000deadbeef:",
                                      "00000000deadbeef:-1", "0000000000000000:1",
                                      "00000000DEADBEEF:1x", ":", "00000000deadbeef:9223372036854775808"])
def test_a_bad_position_is_refused(steady, key, position):
    for endpoint in ("messages", "ws"):
        answer = steady["n1"].get(
            f"/v1/channels/{quote(key)}/{endpoint}?after={quote(position)}",
            headers={"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                     "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} if endpoint == "ws" else None)
        assert answer.status == 400
        assert answer.code == "bad_position"


# --- poll ----------------------------------------------------------------------------------------

def test_a_poll_of_no_channel_creates_none(steady, key):
    answer = steady.owner(key).poll(key, after=0)
    assert answer.status == 200
    assert answer.json() == {"channel": key, "incarnation": None, "recovered": True,
                             "messages": [], "position": "0", "more": False}
    assert steady.owner(key).channel(key)["incarnation"] is None


def test_a_poll_pages_through_the_log(steady, key):
    owner = steady.owner(key)
    publish(owner, key, 7)
    seen, position, pages = [], "0", 0
    while True:
        page = owner.poll(key, after=position, limit=3).json()
        seen += data(page["messages"])
        position = page["position"]
        pages += 1
        assert page["recovered"] is True
        if not page["more"]:
            break
    assert seen == [f"m{n}" for n in range(1, 8)]
    assert pages == 3
    assert owner.poll(key, after=position).json()["messages"] == []


def test_a_poll_gives_100_messages_unless_asked(steady, key):
    owner = steady.owner(key)
    publish(owner, key, 101)
    page = owner.poll(key, after=0).json()
    assert len(page["messages"]) == 100 and page["more"] is True


def test_a_poll_without_position_starts_at_the_end(steady, key):
    owner = steady.owner(key)
    answer = publish(owner, key, 2)[1]
    page = owner.poll(key).json()
    assert page["messages"] == []
    assert page["position"] == f"{answer['incarnation']}:2"


def test_a_poll_of_a_trimmed_position_says_so(small, key):
    node = small["n1"]
    incarnation = publish(node, key, 30)[0]["incarnation"]
    page = node.poll(key, after=f"{incarnation}:1").json()
    assert page["recovered"] is False
    assert data(page["messages"]) == [f"m{n}" for n in range(21, 31)]


def test_a_message_has_id_time_and_payload(steady, key):
    owner = steady.owner(key)
    before = time.time()
    owner.publish(key, "x", message_id="my-id")
    message = owner.poll(key, after=0).json()["messages"][0]
    assert message["seq"] == 1 and message["id"] == "my-id" and message["data"] == "x"
    assert before - 5 <= message["time"] / 1000 <= time.time() + 5


# --- long poll -----------------------------------------------------------------------------------

def test_a_long_poll_times_out_with_an_empty_list(steady, key):
    owner = steady.owner(key)
    position = publish(owner, key, 1)[0]
    began = time.monotonic()
    page = owner.poll(key, after=f"{position['incarnation']}:1", wait=1)
    took = time.monotonic() - began
    assert page.status == 200
    assert page.json()["messages"] == [] and page.json()["more"] is False
    assert page.json()["position"] == f"{position['incarnation']}:1"
    assert 0.9 <= took < 5


@pytest.mark.parametrize("exists", [True, False])
def test_a_long_poll_wakes_up_with_the_next_message(steady, key, exists):
    owner = steady.owner(key)
    query = {"wait": 20}
    if exists:
        query["after"] = "{incarnation}:{seq}".format(**publish(owner, key, 1)[0])
    answer = []
    before = owner.metrics()["ringhop_reads_waiting"]
    thread = threading.Thread(target=lambda: answer.append(owner.poll(key, **query)))
    thread.start()
    wait_for(lambda: owner.metrics()["ringhop_reads_waiting"] == before + 1, 5, "the poll waits")
    steady.wrong_node(key).publish(key, "wake")
    thread.join(10)
    assert not thread.is_alive()
    assert data(answer[0].json()["messages"]) == ["wake"]


def test_a_long_poll_with_something_to_read_answers_at_once(steady, key):
    owner = steady.owner(key)
    publish(owner, key, 1)
    began = time.monotonic()
    assert data(owner.poll(key, after=0, wait=30).json()["messages"]) == ["m1"]
    assert time.monotonic() - began < 5


def test_polling_in_a_loop_misses_nothing(steady, key):
    owner = steady.owner(key)
    seen, position = [], "0"

    def publisher():
        for number in range(1, 41):
            steady["n2"].publish(key, f"m{number}")
    thread = threading.Thread(target=publisher)
    thread.start()
    deadline = time.monotonic() + 20
    while len(seen) < 40 and time.monotonic() < deadline:
        page = owner.poll(key, after=position, wait=5, limit=7).json()
        assert page["recovered"] is True
        seen += data(page["messages"])
        position = page["position"]
    thread.join(10)
    assert seen == [f"m{n}" for n in range(1, 41)]


# --- limits of the log ---------------------------------------------------------------------------

def test_the_log_keeps_to_its_count(small, key):
    node = small["n1"]
    publish(node, key, 12)
    info = node.channel(key)
    assert (info["first_seq"], info["last_seq"]) == (3, 12)


def test_the_log_keeps_to_its_bytes(small, key):
    node = small["n1"]
    for _ in range(8):
        node.publish(key, "x" * 1000)
    info = node.channel(key)
    assert info["last_seq"] == 8
    assert 3 <= info["last_seq"] - info["first_seq"] + 1 <= 4


def test_the_log_keeps_to_its_age_and_seq_goes_on(small, key):
    node = small["n1"]
    client = Client(node.ws_url(key))     # keeps the channel from being reclaimed
    client.welcome()
    publish(node, key, 3)
    info = wait_for(lambda: (i := node.channel(key))["first_seq"] == 4 and i, 10, "log emptied by age")
    assert info["last_seq"] == 3
    assert publish(node, key, 1)[0]["seq"] == 4
    client.close()


def test_an_idle_channel_is_reclaimed_and_comes_back_as_another(small, key):
    node = small["n1"]
    first = publish(node, key, 1)[0]
    wait_for(lambda: node.channel(key)["incarnation"] is None, 10, "channel reclaimed")
    second = publish(node, key, 1)[0]
    assert second["incarnation"] != first["incarnation"] and second["seq"] == 1
    page = node.poll(key, after=f"{first['incarnation']}:1").json()
    assert page["recovered"] is False and len(page["messages"]) == 1
