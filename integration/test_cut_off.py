# SPDX-License-Identifier: Apache-2.0
"""A node that is cut off and lives: its clients are not left with it for ever."""
from contextlib import closing

import pytest

from harness.http import request
from harness.wait import wait_for
from harness.ws import Client

SESSION_S = 2


@pytest.fixture
def cut_off(zookeeper, make_cluster, make_proxy):
    """(cluster, n3, proxy, key, client): n3 reaches ZooKeeper through the proxy and has a client."""
    proxy = make_proxy(zookeeper.port)
    cluster = make_cluster(zookeeper, session_timeout=f"{SESSION_S}s", start=False)
    cluster["n3"].zookeeper = proxy.address
    cluster.start()
    key = cluster.key_owned_by(cluster["n3"])
    with closing(Client(cluster["n3"].ws_url(key))) as client:
        client.wait_event("welcome")
        cluster.wait_whole()
        yield cluster, cluster["n3"], proxy, key, client


def test_who_reaches_the_nodes_but_not_zookeeper_sends_its_clients_to_who_took_over(cut_off):
    cluster, n3, proxy, key, client = cut_off
    proxy.cut()
    client.wait_event("moved", bound=SESSION_S * 10)
    target = client.of_type("moved")[-1]["url"]
    assert n3.url not in target
    with closing(Client(target)) as again:
        assert again.welcome()["node"] != "n3"
    wait_for(lambda: "n3" not in {m["node"] for m in cluster["n1"].ring()["members"]}, 10, "n3 is out")
    proxy.restore()
    cluster.wait_settled()


def test_who_reaches_nobody_sends_its_clients_away_until_it_does(cut_off):
    cluster, n3, proxy, key, client = cut_off
    others = [cluster["n1"], cluster["n2"]]
    proxy.cut()
    for node in others:
        node.pause()  # which n3 cannot tell from a cut
    assert client.wait_closed(bound=SESSION_S * 10) == 1013
    assert "cut off" in client.close_reason
    answer = request(f"{n3.admin}/readyz")
    assert answer.status == 503 and b"cut off" in answer.body
    answer = n3.poll(key)
    assert answer.status == 503 and answer.code == "not_ready"
    for node in others:
        node.resume()
    proxy.restore()
    cluster.wait_settled()
    with closing(Client(n3.ws_url(key))) as again:
        again.welcome()
