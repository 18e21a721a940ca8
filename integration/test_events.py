# SPDX-License-Identifier: Apache-2.0
"""Server-Sent Events: the same channels and positions as WebSocket and poll, for clients that we did
not write."""
import itertools
import json
import subprocess
import threading

import pytest

from harness.events import CurlEvents, NpmEvents
from harness.http import Raw, quote, request
from harness.wait import wait_for
from harness.ws import Client


def events_url(node, key, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{node.url}/v1/channels/{quote(key)}/events" + (f"?{text}" if text else "")


def seqs(client):
    return [message["seq"] for message in client.messages()]


def test_a_stream_begins_with_where_it_begins(steady, key):
    owner = steady.owner(key)
    owner.publish(key, "before")
    with CurlEvents(events_url(owner, key)) as curl:
        welcome, = curl.wait_for("welcome")
        said = json.loads(welcome["data"])
        assert said["type"] == "welcome" and said["channel"] == key and said["node"] == owner.id
        assert said["seq"] == 1 and said["recovered"] is True
        assert welcome["id"] == f"{said['incarnation']}:1"
        assert 500 <= int(welcome["retry"]) < 3000
        owner.publish(key, "after")
        event, = curl.wait_for("message")
        assert event["id"] == f"{said['incarnation']}:2"
        message = json.loads(event["data"])
        assert message["seq"] == 2 and message["data"] == "after" and message["type"] == "message"


def test_the_pause_before_coming_back_differs_between_clients(steady, key):
    owner = steady.owner(key)
    clients = [CurlEvents(events_url(owner, key)) for _ in range(8)]
    pauses = {client.wait_for("welcome")[0]["retry"] for client in clients}
    for client in clients:
        client.stop()
    assert len(pauses) > 1


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_json_with_line_ends_between_its_tokens_arrives_whole(steady, key, line_end):
    owner = steady.owner(key)
    with CurlEvents(events_url(owner, key)) as curl:
        curl.wait_for("welcome")
        owner.publish(key, line_end.join(['{"a":', "[1,", '"x\\ny"]}']), "application/json")
        owner.publish(key, "line\none\r\ntwo")
        curl.wait_for("message", 2)
        first, second = curl.messages()
        assert first["json"] == {"a": [1, "x\ny"]}
        assert second["data"] == "line\none\r\ntwo"


def test_any_node_sends_a_client_to_the_owner(steady, key):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    answer = request(events_url(wrong, key))
    assert answer.status == 307
    assert answer.headers["location"].startswith(f"//{owner.host}/")
    assert answer.headers["access-control-allow-origin"] == "*"
    with CurlEvents(events_url(wrong, key), "-L") as curl:
        curl.wait_for("welcome")
        wrong.publish(key, "x")
        assert curl.wait_for("message") and curl.messages()[0]["data"] == "x"


def test_last_event_id_goes_on_where_the_client_was_and_beats_the_url(steady, key):
    owner = steady.owner(key)
    incarnation = owner.publish(key, "1").json()["incarnation"]
    for number in range(2, 11):
        owner.publish(key, str(number))
    with CurlEvents(events_url(owner, key, after=0)) as curl:
        curl.wait_for("message", 10)
        assert seqs(curl) == list(range(1, 11))
    with CurlEvents(events_url(owner, key, after=f"{incarnation}:2"),
                    "-H", f"Last-Event-ID: {incarnation}:7") as curl:
        curl.wait_for("message", 3)
        assert seqs(curl) == [8, 9, 10]
        assert json.loads(curl.of("welcome")[0]["data"])["recovered"] is True
    with CurlEvents(events_url(owner, key), "-H", f"Last-Event-ID: {'f' * 16}:7") as curl:
        curl.wait_for("message", 10)
        assert json.loads(curl.of("welcome")[0]["data"])["recovered"] is False


@pytest.mark.parametrize("position", ["x", "1:2", "0000000000000000:1", f"{'f' * 16}:-1"])
def test_a_bad_last_event_id_is_refused(steady, key, position):
    owner = steady.owner(key)
    with Raw(owner.client_port) as raw:
        raw.send(f"GET /v1/channels/{quote(key)}/events HTTP/1.1\r\nHost: {owner.host}\r\n"
                 f"Last-Event-ID: {position}\r\n\r\n".encode())
        answer = raw.response()
    assert answer.status == 400 and answer.json()["code"] == "bad_position"
    assert "Last-Event-ID" in answer.json()["detail"]


def test_what_a_client_sends_on_a_stream_is_not_read_as_a_request(steady, key):
    owner = steady.owner(key)
    path = f"/v1/channels/{quote(key)}"
    with Raw(owner.client_port) as raw:
        raw.send(f"GET {path}/events HTTP/1.1\r\nHost: h\r\n\r\n"
                 f"POST {path}/messages HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx".encode())
        owner.publish(key, "one")
        text = raw.until(b'"one"')
    assert text.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
    assert b"Content-Length" not in text and text.count(b"HTTP/1.1") == 1
    assert owner.channel(key)["last_seq"] == 1


def test_a_silent_stream_gets_comments(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=1, settings={
        "heartbeat": "{interval: 1s, timeout: 2s}"})
    with CurlEvents(events_url(cluster["n1"], key)) as curl:
        curl.wait_for("welcome")
        wait_for(lambda: curl.comments >= 3, 20, "three comments")
        cluster["n1"].publish(key, "still there")
        curl.wait_for("message")
    wait_for(lambda: cluster["n1"].channel(key)["connections"] == 0, 10, "the node sees it go")


def test_one_that_does_not_read_is_ended_and_misses_nothing(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=1, settings={
        "limits": "{message_bytes: 16KiB, send_queue: 128KiB, log_messages: 5000, log_bytes: 64MiB}"})
    node = cluster["n1"]
    with Raw(node.client_port) as raw:
        raw.send(f"GET /v1/channels/{quote(key)}/events HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        head = raw.until(b"\n\n")
        for number in range(600):
            assert node.publish(key, f"{number}:" + "x" * 16000).status == 201
        text = head + raw.rest()
    whole = [part for part in text.decode().split("\n\n") if "event: message\n" in part]
    last = [line for line in whole[-1].splitlines() if line.startswith("id: ")][0][4:]
    seen = int(last.split(":")[1])
    assert 0 < seen < 600
    with CurlEvents(events_url(node, key), "-H", f"Last-Event-ID: {last}") as curl:
        curl.wait_for("message", 600 - seen, bound=30)
        assert seqs(curl) == list(range(seen + 1, 601))


def test_a_moving_channel_tells_where_it_goes_and_npm_follows_without_a_gap(cluster):
    keys = [f"events:{number}" for number in range(24)]
    owners = cluster.owners(keys)
    clients = {key: NpmEvents(events_url(cluster[owners[key]], key, after=0)) for key in keys[:8]}
    try:
        for client in clients.values():
            client.wait_for("welcome")
        sent = 0
        leaving = cluster[owners[keys[0]]]
        entry = next(node for node in cluster.running() if node is not leaving)
        for _ in range(20):
            sent += 1
            for key in clients:
                assert entry.publish(key, str(sent)).status == 201
        cluster.cli("drain", leaving.id, "--wait")
        for _ in range(20):
            sent += 1
            for key in clients:
                assert entry.publish(key, str(sent)).status == 201
        cluster.wait_settled()
        for key, client in clients.items():
            moves = owners[key] == leaving.id
            wait_for(lambda c=client: sent in seqs(c), 30, f"{key}: all {sent} messages")
            unique = sorted(set(seqs(client)))
            assert unique == list(range(1, sent + 1))
            assert seqs(client) == unique, f"{key}: twice or out of order"
            assert len(client.of("moved")) == moves, key
            if moves:
                assert json.loads(client.of("welcome")[1]["data"])["recovered"] is True
    finally:
        for client in clients.values():
            client.stop()


def test_npm_comes_back_by_itself_when_the_owner_dies(cluster, key):
    owner = cluster.owner(key)
    entry = cluster.wrong_node(key)
    with NpmEvents(events_url(entry, key, after=0)) as client:
        client.wait_for("welcome")
        for number in range(5):
            entry.publish(key, str(number))
        client.wait_for("message", 5)
        owner.kill()
        for number in range(5):
            answer = {}
            def published(number=number):
                answer["it"] = entry.publish(key, str(number), message_id=f"again-{number}")
                return answer["it"].status == 201
            wait_for(published, 30, "a publish after the crash")
        client.wait_for("message", 10, bound=60)
        assert seqs(client) == list(range(1, 11))
        assert json.loads(client.of("welcome")[-1]["data"])["recovered"] is True


def test_a_client_may_change_to_another_transport_and_misses_nothing(steady, key):
    owner = steady.owner(key)
    for number in range(3):
        owner.publish(key, str(number))
    with CurlEvents(events_url(owner, key, after=0)) as curl:
        last = curl.wait_for("message", 3)[-1]["id"]
    owner.publish(key, "3")
    polled = owner.poll(key, after=last).json()
    assert [message["seq"] for message in polled["messages"]] == [4]
    owner.publish(key, "4")
    socket = Client(owner.ws_url(key, after=polled["position"]))
    assert [message["seq"] for message in socket.wait_messages(1)] == [5]
    owner.publish(key, "5")
    assert [message["seq"] for message in socket.wait_messages(2)] == [5, 6]
    incarnation = socket.welcome()["incarnation"]
    socket.close()
    owner.publish(key, "6")
    with CurlEvents(events_url(owner, key), "-H", f"Last-Event-ID: {incarnation}:6") as curl:
        curl.wait_for("message")
        assert seqs(curl) == [7]


def heard_by_events(node, key, position):
    with CurlEvents(events_url(node, key), "-L", "-H", f"Last-Event-ID: {position}") as curl:
        wait_for(lambda: len(curl.messages()) >= 3 or curl.of("moved"), 20, "three messages, or moved")
        assert json.loads(curl.wait_for("welcome")[0]["data"])["recovered"] is True
        last = [event["id"] for event in list(curl.events) if event.get("id")][-1]
        wanted = [m for m in curl.messages() if m["seq"] <= int(last.split(":")[1])]
        return [m["data"] for m in wanted], last


def heard_by_poll(node, key, position):
    answer = json.loads(subprocess.run(
        ["curl", "-fsSL", f"{node.url}/v1/channels/{quote(key)}/messages?after={position}&limit=3&wait=20"],
        capture_output=True, check=True, timeout=40).stdout)
    assert answer["recovered"] is True
    return [m["data"] for m in answer["messages"]], answer["position"]


def heard_by_websocket(node, key, position):
    client = Client(node.ws_url(key, after=position), protocol=None)     # follows the 307
    wait_for(lambda: len(client.messages()) >= 3 or client.of_type("moved"), 20, "three messages, or moved")
    assert client.welcome()["recovered"] is True
    messages = client.messages()
    client.close()
    last = messages[-1]["seq"] if messages else client.welcome()["seq"]
    return [m["data"] for m in messages], f"{client.welcome()['incarnation']}:{last}"


def test_curl_and_websockets_take_turns_in_the_middle_of_a_move_and_miss_nothing(shared_zookeeper,
                                                                                 make_cluster):
    """Every turn is another program, another transport and another node, from the position of the one before."""
    cluster = make_cluster(shared_zookeeper, nodes=3, settings={
        "rebalance": "{channels_per_second: 2, moved_linger: 1s}"})
    keys = [f"filler:{number}" for number in range(36)]
    for key in keys:
        cluster["n1"].publish(key, "x")
    leaving = cluster.owner(keys[0])
    staying = [node for node in cluster.running() if node is not leaving]
    key = next(key for key, owner in cluster.owners(keys[::-1]).items() if owner == leaving.id)
    published, stop = [], threading.Event()

    def publish():
        while not stop.is_set():
            wait_for(lambda: stop.is_set() or len(published) < len(heard) + 50, 60, "the listener")
            text = str(len(published))
            wait_for(lambda text=text: staying[0].publish(key, text, message_id=text).status == 201, 30, "a publish")
            published.append(text)
    publisher = threading.Thread(target=publish)
    drain = threading.Thread(target=cluster.cli, args=("drain", "--wait", leaving.id))
    heard, position, turns = [], "0", 0
    publisher.start()
    drain.start()
    ways = itertools.cycle([heard_by_events, heard_by_poll, heard_by_websocket])
    while drain.is_alive() or turns % 3:
        data, position = next(ways)(staying[turns % 2], key, position)
        heard += data
        turns += 1
    drain.join()
    stop.set()
    publisher.join()
    assert cluster.owner(key) is not leaving and turns > 9
    while len(heard) < len(published) + 1:
        data, position = heard_by_poll(staying[turns % 2], key, position)
        heard += data
    assert heard == ["x", *published]


def test_a_node_that_stops_ends_its_streams(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=2)
    owner = cluster.owner(key)
    with CurlEvents(events_url(owner, key)) as curl:
        curl.wait_for("welcome")
        owner.stop()
        assert curl.wait_ended() == 0
        moved, = curl.of("moved")
        assert json.loads(moved["data"])["node"] != owner.id
        assert f"/v1/channels/{quote(key)}/events?after=" in json.loads(moved["data"])["url"]


def test_a_poll_that_would_come_to_the_same_position_is_304(steady, key):
    owner = steady.owner(key)
    owner.publish(key, "1")
    path = f"/v1/channels/{quote(key)}/messages?after=0"
    first = owner.get(path)
    tag = first.headers["etag"]
    assert first.status == 200 and tag == f'W/"{first.json()["position"]}"'
    assert first.headers["cache-control"] == "no-store"
    again = owner.get(path, headers={"If-None-Match": tag})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert owner.get(path, headers={"If-None-Match": 'W/"other"'}).status == 200
    waited = owner.get(f"/v1/channels/{quote(key)}/messages?after={first.json()['position']}&wait=1",
                       headers={"If-None-Match": f'"x", {tag}'})
    assert waited.status == 304
    owner.publish(key, "2")
    changed = owner.get(path, headers={"If-None-Match": tag})
    assert changed.status == 200 and len(changed.json()["messages"]) == 2


def test_curl_polls_with_its_own_etag_files(steady, key, tmp_path):
    owner = steady.owner(key)
    owner.publish(key, "1")
    tags = str(tmp_path / "etag")
    url = f"{owner.url}/v1/channels/{quote(key)}/messages?after=0"
    def poll():
        return subprocess.run(["curl", "-s", "-w", "%{http_code}", "--etag-save", tags,
                               "--etag-compare", tags, url], capture_output=True, text=True,
                              check=True, timeout=30).stdout
    assert poll().endswith("200")
    assert poll() == "304"
    owner.publish(key, "2")
    assert poll().endswith("200")
