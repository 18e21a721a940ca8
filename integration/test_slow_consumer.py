# SPDX-License-Identifier: Apache-2.0
"""A client that does not read holds up nobody, is told to resume, and misses nothing."""
from harness.ws import Client, RawClient


def test_is_closed_with_4408_and_resumes_without_gap(shared_zookeeper, make_cluster, key):
    cluster = make_cluster(shared_zookeeper, nodes=1, settings={
        "limits": "{message_bytes: 16KiB, send_queue: 128KiB, log_messages: 5000, log_bytes: 64MiB}"})
    node = cluster["n1"]
    quick = Client(node.ws_url(key))
    slow = RawClient(node, key, timeout=20)
    welcome = slow.take_event()
    body = "x" * 16000
    count = 600
    for number in range(count):
        assert node.publish(key, f"{number}:{body}").status == 201
        if number % 4 == 3:
            quick.wait_messages(number + 1)     # on a busy machine it might be too slow as well
    assert len(quick.wait_messages(count, bound=30)) == count

    events, code = slow.take_rest()
    seen = [event["seq"] for event in events]
    assert code == 4408
    assert seen == list(range(1, len(seen) + 1)) and len(seen) < count

    again = Client(node.ws_url(key, after=f"{welcome['incarnation']}:{seen[-1]}"))
    assert again.welcome()["recovered"] is True
    messages = again.wait_messages(count - len(seen), bound=30)
    assert [m["seq"] for m in messages] == list(range(len(seen) + 1, count + 1))
    assert quick.is_open()
    slow.raw.close()
    quick.close()
    again.close()


def test_a_replay_to_a_slow_reader_needs_no_memory(shared_zookeeper, make_cluster, key):
    """The whole log is larger than the send queue: it is replayed in batches."""
    cluster = make_cluster(shared_zookeeper, nodes=1, settings={
        "limits": "{message_bytes: 16KiB, send_queue: 128KiB, log_messages: 5000, log_bytes: 64MiB}"})
    node = cluster["n1"]
    for number in range(300):
        node.publish(key, f"{number}:" + "x" * 16000)
    client = Client(node.ws_url(key, after=0))
    assert [m["seq"] for m in client.wait_messages(300, bound=30)] == list(range(1, 301))
    client.close()
