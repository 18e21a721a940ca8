# SPDX-License-Identifier: Apache-2.0
"""The ledger itself: what it must find, and what it must let pass. No node, no network."""
import pytest

from harness.ledger import KINDS, Ledger


class Story:
    """One key, one publisher, one subscriber."""

    def __init__(self, replication=True):
        self.ledger = Ledger(replication)
        self.subscriber = self.ledger.subscriber("k", "s")
        self.log = []
        self.incarnation = "a"

    def welcome(self, seq=0, recovered=True, incarnation=None):
        self.incarnation = incarnation or self.incarnation
        self.subscriber.welcome("n1", self.incarnation, seq, recovered)

    def message(self, seq, message_id=None):
        self.subscriber.message("n1", seq, message_id or f"m{seq}")

    def acknowledge(self, seq, message_id=None, incarnation=None):
        message_id = message_id or f"m{seq}"
        publish = self.ledger.publishes.get(message_id) or \
            self.ledger.publish("k", "p", message_id)
        self.ledger.attempt(publish, "n1", "201")
        self.ledger.acknowledged(publish, "n1", incarnation or self.incarnation, seq, False)

    def judge(self, log):
        """The counts that are not zero; `log` is the seqs that are in the log in the end."""
        self.ledger.audit("k", self.incarnation, min(log, default=1), max(log, default=0),
                          [(seq, f"m{seq}") for seq in log])
        report = self.ledger.judge()
        assert report.clean == (not any(report.counts.values()))
        assert report.summary() and report.details()
        return {kind: count for kind, count in report.counts.items() if count}


@pytest.fixture
def story():
    return Story()


def test_all_is_well(story):
    story.welcome()
    for seq in (1, 2, 3):
        story.message(seq)
        story.acknowledge(seq)
    story.subscriber.moved("n1", "n2", 3)
    story.welcome(3)
    story.message(4)
    story.acknowledge(4)
    story.subscriber.broken("n1", "reset")
    story.welcome(4)
    assert story.judge([1, 2, 3, 4]) == {}
    assert len(story.subscriber.moves) == 1 and story.subscriber.breaks[0][0] == "reset"


def test_an_acknowledged_message_that_is_not_in_the_log_is_lost(story):
    story.welcome()
    story.acknowledge(1)
    assert story.judge([])["lost"] == 2     # not in the log, and it came to nobody


def test_an_acknowledged_message_that_a_subscriber_missed_is_lost(story):
    story.welcome()
    story.acknowledge(1)
    assert story.judge([1]) == {"lost": 1}


def test_what_was_there_before_the_subscriber_is_not_owed(story):
    story.acknowledge(1)
    story.welcome(1)
    assert story.judge([1]) == {}


def test_a_delivered_message_that_is_not_in_the_log_is_lost(story):
    story.welcome()
    story.message(1)
    assert story.judge([]) == {"lost": 1}


def test_a_message_twice(story):
    story.welcome()
    story.message(1)
    story.message(1)
    assert story.judge([1]) == {"duplicated": 1}


def test_one_id_under_two_numbers(story):
    story.welcome()
    story.message(1, "m1")
    story.message(2, "m1")
    assert "duplicated" in story.judge([1])


def test_one_id_in_two_incarnations(story):
    story.acknowledge(1)
    story.ledger.place("k", "b", 1, "m1")
    assert story.judge([1]) == {"duplicated": 1}


def test_two_ids_under_one_number(story):
    story.welcome()
    story.message(1, "other")
    story.acknowledge(1, "m1")
    assert story.judge([1])["forked"] >= 1


def test_a_gap(story):
    story.welcome()
    story.message(2)
    assert story.judge([1, 2]) == {"gaps": 1}


def test_a_gap_in_the_log(story):
    assert story.judge([1, 3]) == {"gaps": 1}


def test_a_gap_over_two_connections(story):
    story.welcome()
    story.welcome(2)
    assert story.judge([1, 2]) == {"gaps": 1}


def test_numbers_that_go_back(story):
    story.welcome(5)
    story.message(4)
    assert story.judge([4, 5]) == {"reordered": 1}


def test_a_publisher_whose_numbers_go_back(story):
    story.acknowledge(2)
    story.acknowledge(1)
    assert story.judge([1, 2]) == {"reordered": 1}


def test_a_reset(story):
    story.welcome()
    story.message(1)
    story.welcome(0, recovered=False, incarnation="b")
    assert story.judge([]) == {"resets": 1}


def test_a_reset_of_the_same_incarnation(story):
    story.welcome()
    story.welcome(7, recovered=False)
    assert story.judge([8]) == {"resets": 1}


def test_a_reset_that_nobody_announced(story):
    story.welcome()
    story.message(1)
    story.welcome(1, recovered=True, incarnation="b")
    assert story.judge([]) == {"unannounced": 1}


def test_a_position_in_moved_that_is_not_the_subscribers(story):
    story.welcome()
    story.subscriber.moved("n1", "n2", 1)
    assert story.judge([]) == {"gaps": 1}


def test_polls_are_held_to_the_same(story):
    def polled(messages, position, recovered=True, incarnation="a"):
        story.subscriber.polled("n1", {
            "incarnation": incarnation, "recovered": recovered, "position": position,
            "messages": [{"seq": seq, "id": f"m{seq}"} for seq in messages]})
    polled([], "0", incarnation=None)
    polled([1, 2], "a:2")
    polled([], "a:2")
    polled([3], "a:3")
    assert story.ledger.counts == {}
    polled([5], "a:5")
    polled([], "0", recovered=False, incarnation=None)
    assert story.judge([1, 2, 3, 4, 5]) == {"gaps": 1, "resets": 1}


@pytest.mark.parametrize("outcomes, kind", [
    (["503 not_ready", "?504 unknown_outcome"], "unknown"), (["503 not_ready"], "failed")])
def test_a_publish_that_is_given_up(story, outcomes, kind):
    publish = story.ledger.publish("k", "p", "m1")
    for outcome in outcomes:
        story.ledger.attempt(publish, "n1", outcome)
    story.ledger.given_up(publish)
    assert story.judge([]) == {kind: 1}


def test_without_replication_an_announced_reset_explains_what_is_gone():
    story = Story(replication=False)
    story.welcome()
    story.message(1)
    story.acknowledge(1)
    story.acknowledge(2)
    story.welcome(0, recovered=False, incarnation="b")
    story.message(1)
    story.acknowledge(1)
    assert story.judge([1]) == {}


def test_without_replication_nothing_else_is_allowed():
    story = Story(replication=False)
    story.welcome()
    story.message(1)
    story.message(1)
    story.message(3)
    story.acknowledge(4)
    story.welcome(0, recovered=True, incarnation="b")
    counts = story.judge([])
    assert counts["duplicated"] == counts["gaps"] == counts["unannounced"] == 1


def test_the_story_of_a_key_has_everything_in_order(story):
    story.ledger.mark("something happens")
    story.welcome()
    story.message(2)
    report = story.ledger.judge()
    assert set(report.counts) == set(KINDS)
    lines = report.details().splitlines()
    places = [next(i for i, line in enumerate(lines) if text in line) for text in
              ("--- k", "something happens", "welcome by n1", "2 m2 from n1", "LEDGER")]
    assert places == sorted(places)
