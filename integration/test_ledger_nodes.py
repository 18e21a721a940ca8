# SPDX-License-Identifier: Apache-2.0
"""Nodes come, go, die and stop while clients publish and listen: a ledger of all that was promised
stays clean. scripts/soak does the same for longer, in random order."""
import pytest


@pytest.fixture
def run_drill(run_drill, shared_zookeeper, make_cluster):
    """run_drill(name, ...): on three fresh nodes."""
    def run(name, **options):
        run_drill(name, make_cluster(shared_zookeeper, session_timeout="1s"), **options)
    return run


def test_a_join_and_an_orderly_leave(run_drill):
    run_drill("join_and_leave")


def test_two_nodes_join_at_once(run_drill):
    run_drill("two_join_at_once")


def test_a_drain(run_drill):
    run_drill("drain_and_join")


def test_a_sigkill(run_drill):
    run_drill("sigkill")


def test_a_sigkill_and_a_restart_at_once(run_drill):
    run_drill("sigkill_and_restart_at_once")


def test_a_sigstop_that_outlasts_the_session(run_drill):
    run_drill("sigstop")


@pytest.mark.parametrize("who", ["source", "target"])
def test_a_node_is_killed_amid_a_handoff(run_drill, who):
    run_drill("kill_amid_handoff", who=who)


def test_a_newcomer_is_killed_amid_its_join(run_drill):
    run_drill("kill_amid_join")
