# SPDX-License-Identifier: Apache-2.0
"""The chat page of examples/: two people talk while nodes come and go."""
import pytest

from harness.files import Files
from harness.wait import wait_for

KEY = "room:tea & talk"


class Person:
    """Somebody who has the page open."""

    def __init__(self, browser, files, cluster, name, **looks):
        self.name = name
        self.browser = browser
        nodes = ",".join(node.url for node in cluster.running())
        browser.open(files.url(f"examples/chat/?nodes={nodes}&name={name}#tea%20%26%20talk"), **looks)
        wait_for(lambda: "connected" in self.status(), 20, f"{name} is connected")

    def status(self):
        return self.browser.texts("#status")[0]

    def says(self, text):
        self.browser.type("#text", text)
        self.browser.press("#text", "Enter")

    def sees(self):
        """(name, text) of each message."""
        return list(zip(self.browser.texts("#log .who b"), self.browser.texts("#log .text")))

    def notes(self):
        return self.browser.texts("#log .note")

    def unsent(self):
        return self.browser.texts("#log .pending, #log .failed")

    def wait_sees(self, *messages):
        def check():
            assert self.sees() == list(messages), f"{self.name}: {self.sees()}, {self.notes()}"
            return not self.unsent()
        wait_for(check, 45, f"{self.name} sees {len(messages)} messages")


@pytest.fixture
def people(cluster, browser, other_browser):
    with Files() as files:
        yield (Person(browser, files, cluster, "Ada", width=1000, height=700),
               Person(other_browser, files, cluster, "Grace", width=360, height=640, scheme="dark"))


def test_two_people_talk_while_a_node_is_killed_and_another_drained(cluster, people, tmp_path):
    ada, grace = people
    assert ada.browser.texts("#room") == ["# tea & talk"]
    ada.says("Is anybody here?")
    said = [("Ada", "Is anybody here?")]
    grace.wait_sees(*said)
    grace.says("<b>I am</b>")
    said.append(("Grace", "<b>I am</b>"))
    ada.wait_sees(*said)

    owner = cluster.owner(KEY)
    assert owner.id in ada.status() and owner.id in grace.status()
    owner.kill()
    ada.says("Did you hear that?")
    said.append(("Ada", "Did you hear that?"))
    for person in people:
        person.wait_sees(*said)
        wait_for(lambda who=person: "nothing was missed" in who.notes()[-1:][0], 45, "a note")
        assert person.notes()[-1].startswith("connection lost for")
    cluster.wait_settled()

    second = cluster.owner(KEY)
    assert second is not owner
    cluster.cli("drain", "--wait", second.id)
    third = cluster.owner(KEY)
    for person in people:
        wait_for(lambda who=person: third.id in who.status(), 30, "at the third node")
        assert person.notes()[-1] == \
            f"the room moved from {second.id} to {third.id}; nothing was missed"
    grace.says("Hear what?")
    said.append(("Grace", "Hear what?"))
    ada.wait_sees(*said)
    third.publish(KEY, "from a back end")
    said.append(("somebody", "from a back end"))
    for person in people:
        person.wait_sees(*said)
        assert not any("missing" in note for note in person.notes())
        person.browser.screenshot(tmp_path / f"{person.name}.png")
        assert person.browser.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_who_comes_later_reads_what_was_said_and_rooms_are_apart(cluster, people):
    ada, grace = people
    for number in range(3):
        ada.says(f"line {number}")
    said = [("Ada", f"line {number}") for number in range(3)]
    ada.wait_sees(*said)
    for person, mine in ((ada, [text for _, text in said]), (grace, [])):
        person.browser.evaluate("location.reload()")
        person.wait_sees(*said)
        assert person.browser.texts("#log .mine .text") == mine
    grace.browser.evaluate("location.hash = 'elsewhere'")
    wait_for(lambda: grace.browser.texts("#room") == ["# elsewhere"], 10, "the other room")
    ada.says("only here")
    ada.wait_sees(*said, ("Ada", "only here"))
    assert grace.sees() == []
    grace.browser.evaluate("history.back()")
    grace.wait_sees(*said, ("Ada", "only here"))


def test_without_any_node_a_message_stays_pale_and_arrives_later(cluster, people):
    ada, grace = people
    ada.says("before")
    grace.wait_sees(("Ada", "before"))
    for node in cluster.running():
        node.pause()
    ada.says("meanwhile")
    assert ada.unsent() and grace.sees() == [("Ada", "before")]
    for node in cluster.running():
        node.resume()
    for person in people:
        person.wait_sees(("Ada", "before"), ("Ada", "meanwhile"))
