# SPDX-License-Identifier: Apache-2.0
"""Fixtures. Every server that a test starts is gone when it ends, however it ends; when it fails,
the ends of the nodes' logs are in the report."""
import itertools
import resource
import shutil

import pytest

from harness.browser import Browser
from harness.drills import Drills
from harness.member import Member
from harness.node import Cluster
from harness.npm_ws import NpmWs
from harness.proxy import Proxy
from harness.traffic import Traffic
from harness.zookeeper import Ensemble, ZooKeeper

_clusters = []
_numbers = itertools.count(1)
_figures = []


@pytest.fixture(scope="session", autouse=True)
def file_descriptors():
    """As many as this machine allows: tests with thousands of connections need them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="session")
def shared_zookeeper(tmp_path_factory):
    """One server for all tests that leave ZooKeeper alone; each has its own cluster name."""
    server = ZooKeeper(tmp_path_factory.mktemp("zookeeper") / "server")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def zookeeper(tmp_path):
    """A server of the test's own, to stop, wipe and restart."""
    server = ZooKeeper(tmp_path / "zookeeper").start()
    yield server
    server.stop()


@pytest.fixture
def ensemble(tmp_path):
    servers = Ensemble(tmp_path / "ensemble").start()
    yield servers
    servers.stop()


def _cluster_maker(folder):
    made = []

    def make(zookeeper, start=True, **options):
        cluster = Cluster(zookeeper, folder=folder / f"cluster{len(made) + 1}", **options)
        made.append(cluster)
        _clusters.append(cluster)
        return cluster.start() if start else cluster

    def finish():
        for cluster in made:
            cluster.stop()
            _clusters.remove(cluster)
    return make, finish


@pytest.fixture
def make_cluster(tmp_path):
    """make_cluster(zookeeper, nodes=3, ...): a running cluster that ends with the test."""
    make, finish = _cluster_maker(tmp_path)
    yield make
    finish()


@pytest.fixture
def cluster(shared_zookeeper, make_cluster):
    """Three fresh nodes, for a test that changes them."""
    return make_cluster(shared_zookeeper)


@pytest.fixture(scope="module")
def make_steady(tmp_path_factory):
    """make_steady(zookeeper, nodes=3, ...): a running cluster that ends with the file."""
    make, finish = _cluster_maker(tmp_path_factory.mktemp("steady"))
    yield make
    finish()


@pytest.fixture(scope="module")
def steady(shared_zookeeper, make_steady):
    """Three nodes for all tests of a file that only talk to them. Use keys of your own."""
    return make_steady(shared_zookeeper)


@pytest.fixture
def key(request):
    """A channel key that no other test uses."""
    return f"{request.node.originalname[:60]}:{next(_numbers)}"


@pytest.fixture
def figure():
    """figure("text with a measured number"): stands at the end of the run's report."""
    return _figures.append


@pytest.fixture
def run_drill(figure):
    """run_drill(name, cluster, ...): one drill with traffic around it; checks the ledger."""
    def run(name, cluster, zookeeper=None, proxy=None, **options):
        with Traffic(cluster) as traffic:
            drills = Drills(cluster, traffic, seed=name, zookeeper=zookeeper, proxy=proxy)
            drills.flow(1)
            getattr(drills, name)(**options)
            drills.flow(1)
            report = traffic.finish()
        figure(f"ledger of {name}: {report.summary()}")
        report.check()
    return run


@pytest.fixture
def make_member(request):
    """make_member(servers, id, instance, ...): a registration without a node, in a cluster that is
    the test's own."""
    made = []
    cluster = request.node.name.split("[")[0]

    def make(servers, node_id, instance, **options):
        made.append(Member(servers, cluster, node_id, instance, **options))
        return made[-1]
    make.cluster = cluster
    yield make
    for member in made:
        member.close()


@pytest.fixture
def npm_ws():
    if not shutil.which("node"):
        pytest.fail("nodejs is missing; scripts/test installs it")
    with NpmWs() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser():
    with Browser() as driver:
        yield driver


@pytest.fixture(scope="module")
def other_browser():
    """That of somebody else."""
    with Browser() as driver:
        yield driver


@pytest.fixture
def make_proxy():
    made = []

    def make(port):
        made.append(Proxy(port))
        return made[-1]
    yield make
    for proxy in made:
        proxy.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for cluster in _clusters:
            report.sections.append((f"nodes of cluster {cluster.name}", cluster.report()))


def pytest_terminal_summary(terminalreporter):
    if _figures:
        terminalreporter.section("figures")
        for text in _figures:
            terminalreporter.line(text)
