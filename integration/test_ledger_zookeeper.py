# SPDX-License-Identifier: Apache-2.0
"""ZooKeeper goes, forgets, elects and expires while clients publish and listen: a ledger of all
that was promised stays clean."""
from harness.drills import Drills
from harness.traffic import Traffic


def run_drill(name, cluster, figure, zookeeper=None, proxy=None, **options):
    with Traffic(cluster) as traffic:
        drills = Drills(cluster, traffic, seed=name, zookeeper=zookeeper, proxy=proxy)
        drills.flow(1)
        getattr(drills, name)(**options)
        drills.flow(1)
        report = traffic.finish()
    figure(f"ledger of {name}: {report.summary()}")
    report.check()


def test_an_outage_of_20_seconds_drops_no_connection_and_fails_no_publish(zookeeper, make_cluster,
                                                                         figure):
    cluster = make_cluster(zookeeper, session_timeout="4s")
    run_drill("zookeeper_outage", cluster, figure, zookeeper=zookeeper)


def test_wiped_data(zookeeper, make_cluster, figure):
    cluster = make_cluster(zookeeper, session_timeout="1s")
    run_drill("zookeeper_wiped", cluster, figure, zookeeper=zookeeper)


def test_an_ensemble_that_loses_its_leader(ensemble, make_cluster, figure):
    cluster = make_cluster(ensemble, session_timeout="2s")
    run_drill("ensemble_leader_lost", cluster, figure, zookeeper=ensemble)


def test_all_sessions_expire_at_once_and_nothing_moves(zookeeper, make_cluster, make_proxy, figure):
    proxy = make_proxy(zookeeper.port)
    cluster = make_cluster(zookeeper, session_timeout="1s", start=False)
    for node in cluster.nodes.values():
        node.zookeeper = proxy.address
    cluster.start()
    run_drill("expiry_of_all", cluster, figure, zookeeper=zookeeper, proxy=proxy)
