# SPDX-License-Identifier: Apache-2.0
"""The state document over WebSockets, and its changes for those who watch it."""
import json
import threading

import pytest

from harness.events import CurlEvents
from harness.http import quote, request
from harness.wait import wait_for
from harness.ws import Client, RawClient


def path(key):
    return f"/v1/channels/{quote(key)}/state"


def write(node, key, body, content_type="text/plain", method="PUT"):
    return request(node.url + path(key), method, body, {"Content-Type": content_type})


def ask(client, **message):
    """What answers a message, which gets an id for that."""
    ask.number = getattr(ask, "number", 0) + 1
    name = f"r{ask.number}"
    client.send({"id": name, **message})

    def answer():
        found = [event for event in client.events if event.get("id") == name]
        assert found, f"{client.events[-3:]}"
        return found[0]
    return wait_for(answer, 10.0, f"the answer to {message}")


def shown(client):
    return [event for event in client.of_type("state") if "id" not in event]


def wait_shown(client, version, bound=20.0):
    """The latest state that a client that watches was shown, once that has the version."""
    def check():
        assert shown(client) and shown(client)[-1]["version"] == version, shown(client)[-3:]
        return shown(client)[-1]
    return wait_for(check, bound, f"version {version}")


def test_a_websocket_gets_puts_and_deletes(steady, key):
    owner = steady.owner(key)
    client = Client(owner.ws_url(key))
    client.welcome()
    assert ask(client, type="state_get")["code"] == "no_state"
    assert ask(client, type="state_delete")["code"] == "no_state"
    assert ask(client, type="state_put", json={"a": [1, 2]}) == {
        "type": "ack", "id": f"r{ask.number}", "version": 1}
    found = ask(client, type="state_get")
    assert found == {"type": "state", "id": f"r{ask.number}", "version": 1, "exists": True,
                     "content_type": "application/json", "json": {"a": [1, 2]}}
    http = request(owner.url + path(key))
    assert (http.body, http.headers["etag"]) == (b'{"a": [1, 2]}', '"1"')
    assert http.headers["content-type"] == "application/json"
    assert ask(client, type="state_put", data="text é")["version"] == 2
    assert request(owner.url + path(key)).headers["content-type"] == "text/plain; charset=utf-8"
    assert ask(client, type="state_put", base64="/wA=", content_type="image/png")["version"] == 3
    found = ask(client, type="state_get")
    assert (found["content_type"], found["base64"]) == ("image/png", "/wA=")
    assert request(owner.url + path(key)).body == b"\xff\x00"
    assert ask(client, type="state_delete")["version"] == 4
    assert request(owner.url + path(key)).status == 404
    assert not shown(client) and not client.messages()
    client.close()


def test_conditions_hold_as_over_http(steady, key):
    client = Client(steady.owner(key).ws_url(key))
    client.welcome()

    def put(**condition):
        return ask(client, type="state_put", data="x", **condition)
    for wrong in (1, 0, "*"):
        conflict = put(if_version=wrong)
        assert (conflict["type"], conflict["code"], conflict["version"]) == (
            "error", "version_conflict", None)
    assert put(if_version=None)["version"] == 1
    conflict = put(if_version=None)
    assert (conflict["code"], conflict["version"]) == ("version_conflict", 1)
    assert put(if_version=1)["version"] == 2
    assert put(if_version=1)["version"] == 2 and put(if_version=1)["type"] == "error"
    assert put(if_version="*")["version"] == 3
    assert ask(client, type="state_delete", if_version=2)["code"] == "version_conflict"
    assert ask(client, type="state_delete", if_version=3)["version"] == 4
    client.close()


@pytest.mark.parametrize("message, code", [
    ({"type": "state_put"}, "bad_payload"),
    ({"type": "state_put", "data": "x", "json": 1}, "bad_payload"),
    ({"type": "state_put", "data": "x", "if_version": "1"}, "bad_condition"),
    ({"type": "state_put", "data": "x", "if_version": -1}, "bad_condition"),
    ({"type": "state_delete", "if_version": None}, "bad_condition"),
    ({"type": "state_put", "data": "x", "content_type": "é"}, "bad_content_type"),
    ({"type": "state_put", "data": "x", "content_type": "x" * 256}, "bad_content_type"),
    ({"type": "state_patch"}, "bad_message"),
])
def test_what_makes_no_sense_gets_a_code_and_the_connection_stays(steady, key, message, code):
    client = Client(steady.owner(key).ws_url(key))
    client.welcome()
    client.send(message)
    assert client.wait_event("error")["code"] == code
    assert ask(client, type="state_put", data="x")["version"] == 1
    client.close()


def test_a_document_may_be_larger_than_a_message(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=1, settings={
        "limits": "{message_bytes: 1KiB, state_bytes: 100KiB}"})
    client = Client(cluster["n1"].ws_url(key))
    client.welcome()
    body = "\x01" * 102400
    assert ask(client, type="state_put", data=body)["version"] == 1
    assert ask(client, type="state_get")["data"] == body
    assert ask(client, type="state_put", data=body + "x")["code"] == "too_large"
    assert ask(client, type="publish", data="x" * 1025)["code"] == "too_large"
    client.close()


def test_a_document_larger_than_the_send_queue_reaches_who_watches_and_reads_slowly(
        shared_zookeeper, make_cluster, key):
    """It is shown what there is when there is room, not every version, and is not closed."""
    cluster = make_cluster(shared_zookeeper, nodes=1, settings={
        "limits": "{message_bytes: 1KiB, send_queue: 64KiB, state_bytes: 1MiB}"})
    node = cluster["n1"]
    body = "x" * (1 << 20)
    write(node, key, body)
    late = Client(node.ws_url(key, watch="state"))
    assert wait_shown(late, 1)["data"] == body
    with RawClient(node, key, "?watch=state") as slow:
        for number in range(40):
            write(node, key, f"{number:04}" + body[4:])
        version = write(node, key, "the last").json()["version"]
        wait_shown(late, version)
        versions = []
        while not versions or versions[-1] < version:
            event = slow.take_event()
            if event["type"] == "state":
                versions.append(event["version"])
        assert versions == sorted(versions) and len(versions) < version
    late.close()


def test_who_watches_is_shown_what_there_is_and_each_change(steady, key):
    """By WebSocket and by events, whoever writes and wherever; who does not watch hears nothing."""
    owner, other = steady.owner(key), steady.wrong_node(key)
    watcher = Client(owner.ws_url(key, watch="state"))
    plain = Client(owner.ws_url(key))
    with CurlEvents(f"{owner.url}/v1/channels/{quote(key)}/events?watch=state") as curl:
        assert wait_shown(watcher, 0) == {"type": "state", "version": 0, "exists": False}
        curl.wait_for("state", 1)
        write(other, key, "one")
        assert wait_shown(watcher, 1)["data"] == "one"
        assert ask(plain, type="state_put", json=[2])["version"] == 2
        assert wait_shown(watcher, 2)["json"] == [2]
        write(other, key, None, method="DELETE")
        assert wait_shown(watcher, 3) == {"type": "state", "version": 3, "exists": False}
        events = curl.wait_for("state", 4)
        assert [json.loads(event["data"])["version"] for event in events] == [0, 1, 2, 3]
        assert all("id" not in event for event in events)
    late = Client(owner.ws_url(key, watch="state"))
    assert wait_shown(late, 3)["exists"] is False
    assert not plain.of_type("state")
    for client in (watcher, plain, late):
        client.close()


def test_a_watcher_at_the_wrong_node_watches_at_the_owner(steady, key):
    owner, other = steady.owner(key), steady.wrong_node(key)
    write(other, key, "one")
    turned = Client(other.ws_url(key, watch="state"))
    url = turned.wait_event("moved")["url"]
    assert "watch=state" in url
    client = Client(url)
    assert wait_shown(client, 1)["data"] == "one"
    with CurlEvents(f"{other.url}/v1/channels/{quote(key)}/events?watch=state", "-L") as curl:
        assert json.loads(curl.wait_for("state")[0]["data"])["data"] == "one"
    client.close()
    assert request(f"{owner.url}/v1/channels/{quote(key)}/ws?watch=all").code == "bad_query"


def test_through_a_drain_nobody_who_watches_misses_the_last_version(cluster, key):
    """A planned move while the document is written all the time, and through the old connections:
    every watcher ends with what the last write wrote, and no version comes after a later one."""
    if not cluster.replicates():
        pytest.skip("these nodes keep one copy of a channel")
    owner = cluster.owner(key)
    others = [node for node in cluster.running() if node is not owner]
    watchers = [[Client(owner.ws_url(key, watch="state"))] for _ in range(5)]
    for connections in watchers:
        wait_shown(connections[0], 0)
    written, stop = [], threading.Event()

    def keep_writing():
        while not stop.is_set():
            answer = write(others[len(written) % 2], key, f"value {len(written)}")
            assert answer.status in (200, 201), answer
            written.append(answer.json()["version"])
    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        wait_for(lambda: len(written) > 20, 20.0, "writes")
        cluster.cli("drain", owner.id, "--timeout", "1s")
        for connections in watchers:
            moved = connections[0].wait_event("moved", bound=30.0)
            connections.append(Client(moved["url"]))
        # What is written on the connection that lingers is done, and seen at the new one.
        assert ask(watchers[0][0], type="state_put", data="lingering")["type"] == "ack"
        before = len(written)
        wait_for(lambda: len(written) > before + 20, 20.0, "writes")
    finally:
        stop.set()
        writer.join()
    answer = write(others[0], key, "the last")
    version = answer.json()["version"]
    assert version == len(written) + 2
    for first, second in watchers:
        assert wait_shown(second, version)["data"] == "the last"
        for client in (first, second):
            versions = [event["version"] for event in shown(client)]
            assert versions == sorted(versions)
            assert len(versions) > 10
        client.close()


def test_after_the_death_of_the_owner_a_watcher_is_shown_what_was_kept(cluster, key):
    if not cluster.replicates():
        pytest.skip("these nodes keep one copy of a channel")
    owner = cluster.owner(key)
    other = next(node for node in cluster.running() if node is not owner)
    client = Client(owner.ws_url(key, watch="state"))
    client.welcome()
    for number in range(1, 6):
        write(other, key, str(number))
    wait_shown(client, 5)
    owner.kill()
    client.wait_closed()

    def back():
        again = Client(other.ws_url(key, watch="state"), bound=10.0)
        wait_for(lambda: again.events, 10.0, "a welcome, or where to go")
        moved = again.of_type("moved")
        again = Client(moved[0]["url"], bound=10.0) if moved else again
        return wait_shown(again, 5, bound=5.0)
    assert wait_for(back, 30.0, "the state at the new owner")["data"] == "5"
