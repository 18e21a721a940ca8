# SPDX-License-Identifier: Apache-2.0
"""The cursors page of examples/: two people see each other move, while the channel does."""
import pytest

from harness.files import Files
from harness.wait import wait_for

KEY = "board:tea & talk"


class Person:
    """Somebody who has the page open."""

    def __init__(self, browser, files, cluster, name, **looks):
        self.name = name
        self.browser = browser
        nodes = ",".join(node.url for node in cluster.running())
        browser.open(files.url(f"examples/cursors/?nodes={nodes}&name={name}#tea%20%26%20talk"), **looks)
        wait_for(lambda: "connected to" in self.status(), 20, f"{name} is connected")
        self.box = browser.evaluate("""(() => { const { x, y, width, height } =
            document.querySelector("#board").getBoundingClientRect(); return [x, y, width, height]; })()""")

    def status(self):
        return self.browser.texts("#status")[0]

    def moves(self, x, y):
        """The mouse, to this part of the board."""
        left, top, width, height = self.box
        self.browser.move(left + x * width, top + y * height)

    def sees(self):
        """{name: (x, y)} of the others' cursors, as parts of the board."""
        places = self.browser.evaluate("""[...document.querySelectorAll(".cursor")].map((one) => {
            const at = new DOMMatrix(one.style.transform);
            return [one.textContent, at.e, at.f]; })""")
        return {name: (x / self.box[2], y / self.box[3]) for name, x, y in places}

    def wait_sees(self, name, x, y):
        def check():
            seen = self.sees()[name]
            assert abs(seen[0] - x) < 0.01 and abs(seen[1] - y) < 0.01, seen
            return True
        wait_for(check, 20, f"{self.name} sees {name} at {x}, {y}")


@pytest.fixture
def people(cluster, browser, other_browser):
    with Files() as files:
        yield (Person(browser, files, cluster, "Ada", width=900, height=600),
               Person(other_browser, files, cluster, "Grace", width=420, height=700, scheme="dark"))


def test_each_sees_the_other_at_the_same_part_of_the_board(cluster, people, tmp_path):
    ada, grace = people
    wait_for(lambda: list(ada.sees()) == ["Grace"] and list(grace.sees()) == ["Ada"], 20, "both are there")
    for x, y in ((0.25, 0.25), (0.7, 0.4), (0.5, 0.75)):
        ada.moves(x, y)
        grace.wait_sees("Ada", x, y)
    grace.moves(0.2, 0.6)
    ada.wait_sees("Grace", 0.2, 0.6)

    owner = cluster.owner(KEY)
    owner.kill()
    ada.moves(0.9, 0.9)
    grace.wait_sees("Ada", 0.9, 0.9)
    grace.moves(0.4, 0.3)
    ada.wait_sees("Grace", 0.4, 0.3)
    for person in people:
        person.browser.screenshot(tmp_path / f"{person.name}.png")
        assert person.browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert ada.browser.texts("#who li") == ["Grace"]
    grace.browser.open("about:blank")
    wait_for(lambda: ada.sees() == {}, 10, "Grace's cursor is gone")


def test_a_click_is_seen_and_a_name_is_text(people):
    ada, grace = people
    markup = "<img src=x onerror=1>"
    ada.browser.evaluate(f"""(() => {{ const name = document.querySelector("#name");
        name.value = {markup!r}; name.dispatchEvent(new Event("input")); }})()""")
    wait_for(lambda: markup in grace.sees(), 10, "the new name")
    assert grace.browser.texts("#who li") == [markup] and grace.browser.texts("img") == []
    grace.browser.evaluate("""new MutationObserver((changes) => { window.rings = (window.rings ?? 0) +
        changes.flatMap((change) => [...change.addedNodes]).filter((one) => one.className === "ring").length;
        }).observe(document.querySelector("#board"), { childList: true })""")
    ada.browser.click("#board")
    wait_for(lambda: grace.browser.evaluate("window.rings") == 1, 10, "the ring of a click")


def test_a_thousand_moves_are_a_few_messages(cluster, people):
    ada, grace = people
    ada.moves(0.1, 0.1)
    grace.wait_sees("Ada", 0.1, 0.1)
    before = cluster.owner(KEY).channel(KEY)["last_seq"]
    ada.browser.evaluate("""(() => { const board = document.querySelector("#board");
        const { left, top, width, height } = board.getBoundingClientRect();
        for (let step = 1; step <= 1000; step++) {
            board.dispatchEvent(new PointerEvent("pointermove",
                { clientX: left + width * step / 1000, clientY: top + height / 2 }));
        } })()""")
    grace.wait_sees("Ada", 1, 0.5)
    assert cluster.owner(KEY).channel(KEY)["last_seq"] - before < 20
