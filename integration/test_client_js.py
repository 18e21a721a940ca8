# SPDX-License-Identifier: Apache-2.0
"""clients/js against real nodes, in Node.js and in Chromium: whatever happens to its channel, it
delivers every message once."""
import itertools
import shutil
import subprocess
import threading

import pytest

from harness.client_js import ClientError, FOLDER, JsChannel, NodeRuntime, PageRuntime, followers, state
from harness.files import Files
from harness.node import ROOT
from harness.npm import install
from harness.wait import wait_for

TRANSPORTS = ["websocket", "events", "poll"]
RUNTIMES = ["node", "chromium"]


@pytest.fixture(scope="module")
def files():
    with Files() as server:
        yield server


@pytest.fixture(params=RUNTIMES)
def runtime(request):
    if request.param == "node":
        with NodeRuntime() as runtime:
            yield runtime
    else:
        yield PageRuntime(request.getfixturevalue("browser"), request.getfixturevalue("files"))


@pytest.fixture
def node_runtime():
    with NodeRuntime() as runtime:
        yield runtime


def whole(channel, upto, bound=60.0):
    """Until message `upto` is there; then all of 1 to `upto` must be, once each and in order."""
    wait_for(lambda: channel.seqs()[-1:] == [upto], bound, f"message {upto}")
    assert channel.seqs() == list(range(1, upto + 1))
    assert channel.of("gap") == [] and channel.of("error") == []


@pytest.mark.parametrize("locate", ["where", "redirect"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_it_gets_to_the_owner_from_any_node(steady, key, runtime, transport, locate):
    wrong, owner = steady.wrong_node(key), steady.owner(key)
    wrong.publish(key, "text")
    wrong.publish(key, '{"a": [1]}', "application/json")
    channel = JsChannel(runtime, [wrong], key, {"locate": locate}, after="0",
                        transports=[transport])
    first, second = channel.wait_for("message", 2)
    assert (first["kind"], first["data"]) == ("text", "text")
    assert (second["kind"], second["data"]) == ("json", {"a": [1]})
    wrong.publish(key, b"\x00\xff", "application/octet-stream")
    third = channel.wait_for("message", 3)[2]
    assert (third["kind"], third["data"]) == ("bytes", {"bytes": [0, 255]})
    assert third["position"].endswith(":3")
    welcome, = channel.of("welcome")
    assert welcome["transport"] == transport and welcome["recovered"] is True
    if transport != "poll":
        assert welcome["node"] == owner.id
    whole(channel, 3)
    channel.close()
    assert channel.of("status")[-1]["status"] == "closed"
    wait_for(lambda: owner.channel(key)["connections"] == 0, 15, "the connection is gone")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_it_waits_for_a_channel_that_is_not_there_yet(steady, key, node_runtime, transport):
    channel = JsChannel(node_runtime, steady.running(), key, transports=[transport])
    channel.wait_for("welcome")
    steady.owner(key).publish(key, "first")
    assert channel.wait_for("message")[0]["data"] == "first"
    whole(channel, 1)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_publish_is_acknowledged_and_its_id_counts_once(steady, key, runtime, transport):
    channel = JsChannel(runtime, steady.running(), key, after="0", transports=[transport])
    channel.wait_for("welcome")
    assert channel.publish("a", id="one")["seq"] == 1
    assert channel.publish("a", id="one")["seq"] == 1
    assert channel.publish({"b": 2})["seq"] == 2
    channel.wait_for("message", 2)
    assert [message["data"] for message in channel.of("message")] == ["a", {"b": 2}]
    whole(channel, 2)
    channel.close()


def test_a_message_that_is_too_large_is_refused_by_name_and_the_channel_goes_on(steady, key,
                                                                                runtime):
    channel = JsChannel(runtime, steady.running(), key, after="0")
    channel.wait_for("welcome")
    for size in (65 << 10, 1 << 20):
        with pytest.raises(ClientError) as error:
            channel.publish("x" * size)
        assert error.value.fields["code"] == "too_large"
    assert channel.publish("small")["seq"] == 1
    whole(channel, 1)
    channel.close()


def test_a_key_that_is_none_is_refused_at_once(steady, runtime):
    for key in ("", "a\nb", "x" * 513, ".."):
        with pytest.raises(ClientError) as error:
            JsChannel(runtime, steady.running(), key)
        assert error.value.fields["name"] == "TypeError"


def test_the_state_document_has_versions(steady, key, runtime):
    def call(name, *arguments):
        return state(runtime, steady.running(), key, name, *arguments)
    assert call("get") is None
    assert call("set", {"a": 1}, {"ifVersion": None})["version"] == 1
    assert call("get") == {"version": 1, "contentType": "application/json", "text": '{"a":1}'}
    with pytest.raises(ClientError) as error:
        call("set", "x", {"ifVersion": None})
    assert error.value.fields["name"] == "VersionConflict" and error.value.fields["version"] == 1
    assert call("set", "text", {"ifVersion": 1})["version"] == 2
    with pytest.raises(ClientError) as error:
        call("delete", {"ifVersion": 1})
    assert error.value.fields["version"] == 2
    assert call("delete", {"ifVersion": 2})["version"] == 3
    assert call("get") is None


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_watches_the_state_follows_it_through_a_drain_of_its_owner(cluster, key, runtime,
                                                                       transport):
    owner = cluster.owner(key)
    others = [node for node in cluster.running() if node is not owner]
    channel = JsChannel(runtime, cluster.running(), key, watch=["state"], transports=[transport],
                        client={"pollWait": 1})
    assert channel.wait_for("state")[0] == {"version": 0, "exists": False}
    assert channel.write("set", {"n": 1}, {"ifVersion": None})["version"] == 1
    shown = channel.wait_for("state", 2)[1]
    assert (shown["version"], shown["kind"], shown["data"]) == (1, "json", {"n": 1})
    cluster.cli("drain", owner.id, "--wait")
    for number in range(2, 6):
        assert state(runtime, others, key, "set", {"n": number}, {"ifVersion": number - 1})
    with pytest.raises(ClientError) as error:
        channel.write("set", "late", {"ifVersion": 1})
    assert error.value.fields["name"] == "VersionConflict" and error.value.fields["version"] == 5
    assert channel.write("delete", {"ifVersion": 5})["version"] == 6

    def gone():
        assert channel.of("state")[-1]["exists"] is False, channel.of("state")[-1]
        return True
    wait_for(gone, 30.0)
    versions = [one["version"] for one in channel.of("state")]
    assert versions == sorted(versions)
    if transport != "poll":
        assert versions[-1] == 6 and len(set(versions)) == len(versions)
        assert channel.of("welcome")[-1]["node"] != owner.id
    channel.close()


@pytest.mark.parametrize("transport", ["websocket", "events"])
def test_who_is_there_is_told_once_through_a_drain_and_the_death_of_an_owner(
        shared_zookeeper, make_cluster, key, runtime, transport):
    cluster = make_cluster(shared_zookeeper, nodes=4, settings={
        "ring": "{vnodes: 512, replicas: 2, seed: 0}", "presence": "{grace: 3s}",
        "rebalance": "{moved_linger: 1s}"})

    def join(name, **more):
        return JsChannel(runtime, cluster.running(), key, transports=[transport], client_id=name,
                         watch=["presence"], **more)

    def names(channel, kind):
        return [one["client"] for told in channel.of("presence") for one in told[kind]]

    def there(channel):
        return {one["client"] for one in channel.of("presence")[-1]["clients"]}

    def wait_there(channel, *wanted):
        def check():
            assert channel.of("presence") and there(channel) == set(wanted)
            return True
        wait_for(check, 45.0, f"{wanted} to be there")
    ada = join("ada", meta={"n": 1})
    bob, eve = join("bob"), join("eve")
    wait_there(ada, "ada", "bob", "eve")
    drained = cluster.owner(key)
    cluster.cli("drain", drained.id, "--wait")
    for channel in (ada, bob, eve):
        channel.wait_for("welcome", 2)
    second = cluster.owner(key)
    second.kill()
    for channel in (ada, bob, eve):
        channel.wait_for("welcome", 3, bound=60)
    eve.close()
    wait_there(ada, "ada", "bob")
    dan = join("dan")
    wait_there(ada, "ada", "bob", "dan")
    wait_there(bob, "ada", "bob", "dan")
    assert sorted(names(ada, "joined")) == ["ada", "bob", "dan", "eve"]
    assert names(ada, "left") == ["eve"] and names(bob, "left") == ["eve"]
    for channel in (ada, bob, dan):
        channel.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_one_connection_carries_all_rooms(steady, key, runtime, transport):
    rooms = [f"{key}:room:{number}" for number in range(3)]
    channel = JsChannel(runtime, steady.running(), key, after="0", transports=[transport])
    steady["n1"].publish(rooms[0], "old")
    for room in rooms:
        channel.follows("add", room, {"after": "0"})
    assert [follow["topic"] for follow in channel.follows("list")] == rooms
    for number, room in enumerate(rooms * 5):
        steady.running()[number % 3].publish(room, str(number))
    whole(channel, 16)
    for index, room in enumerate(rooms):
        heard = [m["data"] for m in channel.of("message") if m["topic"] == room]
        assert heard == ["old"][index:] + [str(n) for n in range(index, 15, 3)]
    assert followers(runtime, steady.running(), rooms[0]) == {
        "count": 1, "followers": [key], "truncated": False, "missing": []}
    channel.follows("remove", rooms[0])
    assert followers(runtime, steady.running(), rooms[0], limit=1)["count"] == 0
    steady["n2"].publish(rooms[0], "not this one")
    steady["n2"].publish(rooms[1], "this one")
    whole(channel, 17)
    assert channel.of("message")[-1]["data"] == "this one"
    assert [follow["topic"] for follow in channel.follows("list")] == rooms[1:]
    channel.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_join_that_moves_the_channel_loses_nothing(shared_zookeeper, make_cluster, runtime,
                                                     transport):
    cluster = make_cluster(shared_zookeeper, nodes=2)
    # Few, since a browser opens six HTTP/1.1 connections to a host and no more.
    keys = ["join:0", "join:3", "join:4"]
    before = cluster.owners(keys)
    channels = {key: JsChannel(runtime, cluster.running(), key, after="0", transports=[transport])
                for key in keys}
    for channel in channels.values():
        channel.stream()
        channel.wait_for("published", 3)
    cluster.add("n3")
    cluster.wait_settled()
    cluster.wait_whole()
    after = cluster.owners(keys)
    assert [after[key] == "n3" for key in keys] == [False, True, True]
    for key, channel in channels.items():
        acknowledged = channel.pause()
        assert acknowledged == list(range(1, len(acknowledged) + 1)), key
        whole(channel, len(acknowledged))
        if transport != "poll":     # which notices nothing but a redirect
            moves = int(after[key] != before[key])
            assert len(channel.of("moved")) == moves, key
            assert len(channel.of("welcome")) == 1 + moves, key
            assert channel.of("welcome")[-1]["node"] == after[key]
        assert "waiting" not in [one["status"] for one in channel.of("status")]
        channel.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_killed_owner_costs_nothing(cluster, key, runtime, transport):
    owner = cluster.owner(key)
    channel = JsChannel(runtime, cluster.running(), key, after="0", transports=[transport])
    channel.stream()
    channel.wait_for("message", 5)
    owner.kill()
    seen = len(channel.of("published"))
    channel.wait_for("published", seen + 10, bound=60)
    acknowledged = channel.pause()
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    whole(channel, len(acknowledged))
    if transport != "poll":
        assert channel.of("welcome")[-1]["node"] != owner.id
    channel.close()


def test_the_transport_changes_in_the_middle_of_moves_and_nothing_is_missed(shared_zookeeper,
                                                                            make_cluster, runtime):
    # Slow, so that every channel moves amid changes of its transport.
    cluster = make_cluster(shared_zookeeper, nodes=3, settings={
        "rebalance": "{channels_per_second: 2, moved_linger: 1s}"})
    fillers = [f"filler:{number}" for number in range(36)]
    for key in fillers:
        cluster["n1"].publish(key, "x")
    keys = [f"switch:{number}" for number in range(3)]
    before = cluster.owners(keys)
    leaving = cluster[before[keys[0]]]
    staying = [node for node in cluster.running() if node is not leaving]
    channels = {key: JsChannel(runtime, staying, key, after="0") for key in keys}
    for channel in channels.values():
        channel.stream()
        channel.wait_for("published", 3)
    drain = threading.Thread(target=cluster.cli, args=("drain", "--wait", leaving.id))
    drain.start()
    rounds = 0
    for transport in itertools.cycle(["events", "poll", "websocket"]):
        for channel in channels.values():
            channel.switch_to(transport)
        for channel in channels.values():
            channel.wait_transport(transport)
        rounds += drain.is_alive()
        if not drain.is_alive():
            break
    drain.join()
    assert rounds >= 3, "the drain was over too soon to show anything"
    for key, channel in channels.items():
        acknowledged = channel.pause()
        assert acknowledged == list(range(1, len(acknowledged) + 1)), key
        whole(channel, len(acknowledged))
        channel.close()


def test_a_log_that_was_trimmed_is_told_as_a_gap(shared_zookeeper, make_cluster, key, runtime):
    cluster = make_cluster(shared_zookeeper, nodes=1, settings={"limits": "{log_messages: 10}"})
    node = cluster["n1"]
    incarnation = node.publish(key, "1").json()["incarnation"]
    for number in range(2, 31):
        node.publish(key, str(number))
    for transport in TRANSPORTS:
        channel = JsChannel(runtime, [node], key, after=f"{incarnation}:5", transports=[transport])
        gap, = channel.wait_for("gap")
        assert gap == {"before": f"{incarnation}:5", "position": f"{incarnation}:20"}
        channel.wait_for("message", 10)
        assert channel.seqs() == list(range(21, 31))
        channel.close()


def test_the_types_are_those_of_the_module():
    install(FOLDER)
    done = subprocess.run(
        ["node", FOLDER / "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--target",
         "es2022", "--module", "nodenext", "--lib", "es2022,dom",
         FOLDER / "types.mts"], text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout
    names = "Object.keys(await import(process.argv[1])).sort().join()"
    exported = subprocess.run(
        ["node", "--input-type=module", "-e", f"console.log({names})",
         str(ROOT / "clients/js/ringhop.js")], text=True, capture_output=True, timeout=60, check=True)
    assert exported.stdout.strip() == "Channel,Client,RinghopError,VersionConflict"


def test_the_package_installs_and_holds_what_it_needs(tmp_path):
    source = tmp_path / "clients" / "js"
    shutil.copytree(ROOT / "clients/js", source)
    shutil.copy(ROOT / "LICENSE", tmp_path)
    def npm(*arguments, cwd):
        return subprocess.run(["npm", *arguments], cwd=cwd, text=True, capture_output=True,
                              timeout=120, check=True, stdin=subprocess.DEVNULL).stdout
    archive = npm("pack", "--silent", cwd=source).split()[-1]
    user = tmp_path / "user"
    user.mkdir()
    (user / "package.json").write_text('{"private": true}')
    npm("install", "--offline", "--no-audit", "--no-fund", str(source / archive), cwd=user)
    installed = user / "node_modules" / "ringhop"
    assert sorted(path.name for path in installed.iterdir()) == [
        "LICENSE", "README.md", "package.json", "ringhop.d.ts", "ringhop.js"]
    subprocess.run(["node", "--input-type=module", "-e",
                    'import { Client } from "ringhop"; new Client("http://a", {WebSocket: null})'],
                   cwd=user, timeout=60, check=True)
