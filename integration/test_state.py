# SPDX-License-Identifier: Apache-2.0
"""The state document: versions, conditions, who answers, and what it survives."""
import concurrent.futures
import subprocess
import urllib.parse

import pytest

from harness.http import quote, request
from harness.wait import wait_for


def path(key):
    return f"/v1/channels/{quote(key)}/state"


def read(node, key, follow=3, headers=None, query=""):
    return request(node.url + path(key) + query, follow=follow, headers=headers)


def write(node, key, body, content_type="text/plain", **conditions):
    headers = {"Content-Type": content_type}
    for name, value in conditions.items():
        headers[name.replace("_", "-")] = value
    return request(node.url + path(key), "PUT", body, headers)


def remove(node, key, **conditions):
    headers = {name.replace("_", "-"): value for name, value in conditions.items()}
    return request(node.url + path(key), "DELETE", headers=headers)


def test_a_state_is_created_read_changed_and_deleted_at_every_node(steady, key):
    for number, node in enumerate(steady.running()):
        name = f"{key}/{number} é"
        owner = steady.owner(name)
        missing = read(node, name)
        assert (missing.status, missing.code) == (404, "no_state")

        created = write(node, name, b"\x00one", "application/x-thing; a=1")
        assert (created.status, created.headers["etag"]) == (201, '"1"')
        answer = created.json()
        assert (answer["version"], answer["node"]) == (1, owner.id)
        assert answer["incarnation"] == node.channel(name)["incarnation"]

        found = read(node, name)
        assert (found.status, found.body, found.headers["etag"]) == (200, b"\x00one", '"1"')
        assert found.headers["content-type"] == "application/x-thing; a=1"
        assert found.headers["access-control-allow-origin"] == "*"

        changed = write(node, name, "two")
        assert (changed.status, changed.json()["version"]) == (200, 2)
        assert read(node, name).body == b"two"

        removed = remove(node, name)
        assert (removed.status, removed.json()["version"]) == (200, 3)
        assert read(node, name).status == 404
        assert remove(node, name).code == "no_state"
        again = write(node, name, "three")
        assert (again.status, again.json()["version"]) == (201, 4)


def test_conditions_decide_and_a_conflict_names_the_version(steady, key):
    node = steady.wrong_node(key)
    assert write(node, key, "a", If_Match='"1"').status == 412
    assert write(node, key, "a", If_Match="*").status == 412
    assert write(node, key, "a", If_None_Match="*").status == 201
    conflict = write(node, key, "b", If_None_Match="*")
    assert (conflict.status, conflict.code) == (412, "version_conflict")
    assert (conflict.json()["version"], conflict.headers["etag"]) == (1, '"1"')
    for tag in ('"2"', '"x"', 'W/"1"', '"01"'):
        assert write(node, key, "b", If_Match=tag).status == 412
    assert write(node, key, "b", If_Match='"1"').json()["version"] == 2
    assert write(node, key, "c", If_Match="*").json()["version"] == 3
    assert remove(node, key, If_Match='"2"').status == 412
    assert remove(node, key, If_Match='"3"').status == 200
    gone = write(node, key, "d", If_Match='"3"')
    assert (gone.status, gone.json()["version"]) == (412, None)
    assert "etag" not in gone.headers


@pytest.mark.parametrize("method, headers", [
    ("PUT", {"If-Match": "1"}), ("PUT", {"If-Match": '"1", "2"'}), ("PUT", {"If-Match": ""}),
    ("PUT", {"If-None-Match": '"1"'}), ("PUT", {"If-Match": '"1"', "If-None-Match": "*"}),
    ("DELETE", {"If-None-Match": "*"}),
])
def test_a_condition_that_cannot_be_meant_is_refused(steady, key, method, headers):
    answer = steady["n1"].get(path(key), method=method, body="x" if method == "PUT" else None,
                              headers=headers)
    assert (answer.status, answer.code) == (400, "bad_condition")


def test_a_read_of_a_known_version_is_304(steady, key):
    owner = steady.owner(key)
    write(owner, key, "a")
    for field in ('"1"', 'W/"1"', '"7", "1"', "*"):
        answer = read(owner, key, headers={"If-None-Match": field})
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", '"1"')
    assert read(owner, key, headers={"If-None-Match": '"2"'}).status == 200


def test_a_read_is_sent_to_the_owner_and_at_the_bound_passed_on(steady, key):
    owner, node = steady.owner(key), steady.wrong_node(key)
    write(node, key, "a")
    answer = read(node, key, follow=0)
    assert answer.status == 307
    assert answer.headers["ringhop-node"] == owner.id
    url = urllib.parse.urlsplit(answer.headers["location"])
    assert (url.netloc, url.path) == (owner.host, path(key))
    query = dict(urllib.parse.parse_qsl(url.query))
    assert query["hops"] == "1"
    epoch = node.ring()["epoch"]
    for query in ("?route=relay", "?hops=3&epoch=1", f"?hops=1&epoch={epoch}"):
        answer = read(node, key, follow=0, query=query)
        assert (answer.status, answer.body) == (200, b"a")


def test_head_and_other_methods(steady, key):
    owner = steady.owner(key)
    write(owner, key, "abc")
    head = owner.get(path(key), method="HEAD")
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", '"1"')
    assert head.headers["content-length"] == "3"
    other = owner.get(path(key), method="POST", body="x")
    assert (other.status, other.headers["allow"]) == (405, "GET, HEAD, PUT, DELETE, OPTIONS")
    preflight = owner.get(path(key), method="OPTIONS")
    assert preflight.status == 204
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert "If-Match" in preflight.headers["access-control-allow-headers"]


def test_a_state_has_a_limit_of_its_own(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=2, settings={
        "limits": "{message_bytes: 1KiB, state_bytes: 200KiB}"})
    node = cluster.wrong_node(key)
    body = bytes(range(256)) * 800
    assert write(node, key, body).status == 201
    assert read(node, key).body == body
    assert read(node, key, query="?route=relay", follow=0).body == body
    assert write(node, key, body + b"x").status == 413
    message = node.publish(key, "x" * 1025)
    assert (message.status, message.code) == (413, "too_large")
    owner = cluster.owner(key)
    assert owner.metrics()["ringhop_state_bytes"] == len(body)
    assert owner.metrics()["ringhop_state_writes_total"] == 1


def test_a_content_type_is_printable_ascii_and_has_a_default(steady, key):
    owner = steady.owner(key)
    assert write(owner, key, "a", "é").code == "bad_content_type"
    assert write(owner, key, "a", "x" * 256).code == "bad_content_type"
    assert write(owner, key, "a", "x" * 255).status == 201
    assert read(owner, key).headers["content-type"] == "x" * 255
    assert write(owner, key, "a", None).status == 200
    assert read(owner, key).headers["content-type"] == "application/octet-stream"


def test_reads_and_failed_writes_make_no_channel_and_writes_number_no_messages(steady, key):
    node = steady.wrong_node(key)
    read(node, key)
    remove(node, key)
    write(node, key, "a", If_Match='"1"')
    assert node.channel(key)["incarnation"] is None
    node.publish(key, "m1")
    write(node, key, "a")
    node.publish(key, "m2")
    assert node.channel(key)["last_seq"] == 2
    messages = steady.owner(key).poll(key, after="0").json()["messages"]
    assert [message["seq"] for message in messages] == [1, 2]


def test_of_writers_that_compare_and_set_none_is_lost(steady, key):
    """Each counts up by what it read, through any node: the last value is their number."""
    nodes = steady.running()
    write(nodes[0], key, "0")

    def count_up(number):
        conflicts = 0
        done = 0
        while done < 20:
            found = read(nodes[number % len(nodes)], key)
            value = str(int(found.body) + 1)
            node = nodes[(number + done + conflicts) % len(nodes)]
            answer = write(node, key, value, If_Match=found.headers["etag"])
            assert answer.status in (200, 412)
            done += answer.status == 200
            conflicts += answer.status == 412
        return conflicts

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(count_up, range(6)))
    found = read(nodes[0], key)
    assert (found.body, found.headers["etag"]) == (b"120", '"121"')


def test_curl_reads_writes_and_is_told_of_a_conflict(steady, key):
    def curl(*arguments):
        run = subprocess.run(
            ["curl", "-sS", "-L", "-w", "\n%{http_code}", *arguments,
             steady.wrong_node(key).url + path(key)], capture_output=True, text=True, check=True)
        body, _, status = run.stdout.rpartition("\n")
        return int(status), body

    assert curl("-X", "PUT", "-H", "Content-Type: application/json", "-d", '{"a":1}')[0] == 201
    assert curl() == (200, '{"a":1}')
    assert curl("-X", "PUT", "-H", 'If-Match: "1"', "-d", "b")[0] == 200
    assert curl("-X", "PUT", "-H", 'If-Match: "1"', "-d", "c")[0] == 412
    assert curl("-X", "DELETE")[0] == 200
    assert curl()[0] == 404


def test_a_state_moves_with_its_channel_and_survives_its_owner(cluster, key):
    if not cluster.replicates():
        pytest.skip("these nodes keep one copy of a channel")
    owner = cluster.owner(key)
    other = next(node for node in cluster.running() if node is not owner)
    for value in range(1, 6):
        assert write(other, key, str(value)).status in (200, 201)
    owner.kill()

    def found():
        answer = read(other, key)
        assert (answer.status, answer.body) == (200, b"5")
        return answer
    answer = wait_for(found, 30.0)
    assert answer.headers["etag"] == '"5"'
    conflict = write(other, key, "x", If_Match='"4"')
    assert conflict.status == 412
    assert write(other, key, "6", If_Match='"5"').json()["version"] == 6
    owner.start()
    cluster.wait_settled()
    cluster.wait_whole()
    assert cluster.owner(key) is owner
    answer = read(other, key)
    assert (answer.body, answer.headers["etag"]) == (b"6", '"6"')
    assert write(owner, key, "7", If_Match='"6"').status == 200


# --- the command line -----------------------------------------------------------------------------

def test_the_cli_sets_gets_and_deletes(steady, key):
    assert steady.cli("state", "get", key, code=1) == ""
    assert "created, version 1, at " in steady.cli("state", "set", key, "one")
    assert steady.cli("state", "get", key) == "one"
    written = steady.cli_json("state", "set", key, "-", "--type", "json", stdin='{"a":1}')
    assert (written["version"], written["node"]) == (2, steady.owner(key).id)
    assert steady.cli_json("state", "get", key) == {
        "key": key, "version": 2, "content_type": "application/json", "json": {"a": 1}}
    assert read(steady.owner(key), key).headers["content-type"] == "application/json"
    assert "deleted, version 3" in steady.cli("state", "delete", key)
    steady.cli("state", "delete", key, code=1)
    steady.cli("state", "set", key, "x", "--type", "image/png")
    found = steady.cli_json("state", "get", key)
    assert (found["content_type"], found["data"]) == ("image/png", "x")
    write(steady.owner(key), key, b"\xff\x00")
    assert steady.cli_json("state", "get", key)["base64"] == "/wA="


def test_the_cli_ends_with_6_when_a_condition_does_not_hold(steady, key):
    steady.cli("state", "set", key, "a", "--if-version", "1", code=6)
    steady.cli("state", "set", key, "a", "--if-absent")
    run = steady.cli_run("state", "set", key, "b", "--if-absent")
    assert run.returncode == 6
    assert "the state has version 1" in run.stderr
    steady.cli("state", "set", key, "b", "--if-version", "1")
    steady.cli("state", "delete", key, "--if-version", "1", code=6)
    steady.cli("state", "delete", key, "--if-version", "2")


@pytest.mark.parametrize("arguments", [
    ("get",), ("put", "k"), ("get", "k", "data"), ("get", "k", "--if-version", "1"),
    ("delete", "k", "--if-absent"), ("delete", "k", "--type", "text"),
    ("set", "k", "x", "--if-version", "0"), ("set", "k", "x", "--type", "nonsense"),
    ("set", "k", "x", "--if-version", "1", "--if-absent"), ("get", ""),
])
def test_the_cli_refuses_what_it_cannot_make_sense_of(steady, arguments):
    assert steady.cli_run("state", *arguments).returncode == 2
