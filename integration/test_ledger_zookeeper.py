# SPDX-License-Identifier: Apache-2.0
"""ZooKeeper goes, forgets, elects and expires while clients publish and listen: a ledger of all
that was promised stays clean."""


def test_an_outage_of_20_seconds_drops_no_connection_and_fails_no_publish(zookeeper, make_cluster,
                                                                         run_drill):
    cluster = make_cluster(zookeeper, session_timeout="4s")
    run_drill("zookeeper_outage", cluster, zookeeper=zookeeper)


def test_wiped_data(zookeeper, make_cluster, run_drill):
    cluster = make_cluster(zookeeper, session_timeout="1s")
    run_drill("zookeeper_wiped", cluster, zookeeper=zookeeper)


def test_an_ensemble_that_loses_its_leader(ensemble, make_cluster, run_drill):
    cluster = make_cluster(ensemble, session_timeout="2s")
    run_drill("ensemble_leader_lost", cluster, zookeeper=ensemble)


def test_all_sessions_expire_at_once_and_nothing_moves(zookeeper, make_cluster, make_proxy,
                                                       run_drill):
    proxy = make_proxy(zookeeper.port)
    cluster = make_cluster(zookeeper, session_timeout="1s", start=False)
    for node in cluster.nodes.values():
        node.zookeeper = proxy.address
    cluster.start()
    run_drill("expiry_of_all", cluster, zookeeper=zookeeper, proxy=proxy)
