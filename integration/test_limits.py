# SPDX-License-Identifier: Apache-2.0
"""The ends of what the config allows, and what strangers make of it."""
import threading
import time

import pytest

from harness.wait import wait_for
from harness.ws import Client, RawClient


def test_a_replay_fits_in_the_smallest_send_queue(shared_zookeeper, make_cluster, key):
    """As JSON each of these messages is six times as long."""
    node = make_cluster(shared_zookeeper, nodes=1, settings={
        "limits": "{message_bytes: 1KiB, send_queue: 7KiB}"})["n1"]
    text = "\x01" * 1024
    for _ in range(70):
        assert node.publish(key, text).status == 201
    client = Client(node.ws_url(key, after=0))
    assert [m["seq"] for m in client.wait_messages(70)] == list(range(1, 71))
    page = node.poll(key, after=0).json()
    assert page["more"] is True and page["messages"][0]["data"] == text
    client.close()


def test_the_largest_message_reaches_its_owner_through_any_node(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=2, settings={
        "limits": "{message_bytes: 16MiB, log_bytes: 64MiB, send_queue: 128MiB}"})
    body = b"\xff" * (16 * 1024 * 1024)
    answer = cluster.wrong_node(key).publish(key, body, content_type="application/octet-stream")
    assert answer.status == 201, answer.body
    assert answer.json()["node"] == cluster.owner(key).id


def test_an_owner_that_stands_still_leaves_the_outcome_unknown(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=2, session_timeout="20s")
    owner, wrong = cluster.owner(key), cluster.wrong_node(key)
    owner.pause()
    started = time.monotonic()
    answer = wrong.publish(key, "x", message_id="a")
    elapsed = time.monotonic() - started
    owner.resume()
    assert answer.status == 504 and answer.code == "unknown_outcome"
    assert elapsed < 6


def test_what_is_passed_on_in_a_redirect_has_a_limit(steady, key):
    for name in ("ticket", "token", "client"):
        assert steady.wrong_node(key).poll(key, **{name: "x" * 4000}).status == 307
        answer = steady.wrong_node(key).poll(key, **{name: "x" * 4100})
        assert answer.status == 414 and answer.code == "target_too_long"


def test_a_drain_does_not_wait_for_strangers(cluster):
    """They come, are sent elsewhere, and do not even close."""
    node, key = cluster["n2"], cluster.key_owned_by(cluster["n1"])
    strangers, over = [], threading.Event()

    def come():
        while not over.wait(0.02):
            strangers.append(RawClient(node, key))
    thread = threading.Thread(target=come)
    thread.start()
    try:
        wait_for(lambda: len(strangers) > 10, 5, "strangers")
        started = time.monotonic()
        cluster.cli("drain", "n2")
        assert time.monotonic() - started < 5
    finally:
        over.set()
        thread.join()
        for stranger in strangers:
            stranger.raw.close()


def test_writes_are_refused_at_once_while_a_replica_has_no_room(shared_zookeeper, make_cluster):
    cluster = make_cluster(shared_zookeeper, nodes=2, session_timeout="1s", start=False, settings={
        "ring": "{vnodes: 512, replicas: 2, seed: 0}", "limits": "{channel_idle: 1s}"})
    owner, small = cluster["n1"], cluster["n2"]
    small.settings = {"limits": "{channel_idle: 1s, copies: 2}"}
    cluster.start()
    if not cluster.replicates():
        pytest.skip("this build keeps one copy")
    kept = cluster.key_owned_by(owner)
    idle = cluster.key_owned_by(owner, avoid=(kept,))
    late = cluster.key_owned_by(owner, avoid=(kept, idle))
    assert owner.publish(kept, "1", message_id="1").status == 201
    client = Client(owner.ws_url(idle))
    wait_for(lambda: client.events, 15, "a welcome")
    wait_for(lambda: small.status()["copies"]["held"] == 2, 15, "two copies")
    for node in (owner, small):         # both ways to it
        answer = node.publish(late, "x", message_id="a")
        assert (answer.status, answer.code) == (503, "limit_reached"), answer
        assert "retry-after" in answer.headers
    assert owner.get(f"/v1/channels/{late}/state", method="PUT", body="x").status == 503
    assert owner.publish(kept, "2", message_id="2").status == 201
    # Nor does it begin channels of its own.
    answer = owner.publish(cluster.key_owned_by(small), "x")
    assert (answer.status, answer.code) == (503, "limit_reached"), answer
    # The channel that nobody is in any more is reclaimed, and there is room again.
    client.close()
    wait_for(lambda: owner.publish(late, "x", message_id="a").status == 201, 60, "room again")
    page = owner.poll(late, after=0).json()
    assert [message["data"] for message in page["messages"]] == ["x"]
