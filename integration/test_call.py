# SPDX-License-Identifier: Apache-2.0
"""The call page of examples/: two browsers find each other over a channel, and talk without it."""
import json
import urllib.parse

import pytest

from harness.coturn import Coturn
from harness.files import Files
from harness.wait import wait_for

KEY = "call:tea & talk"


class Caller:
    """Somebody who has the page open."""

    def __init__(self, browser, files, cluster, name, ice=None, **looks):
        self.name = name
        self.browser = browser
        query = {"nodes": ",".join(node.url for node in cluster.running()), "name": name}
        if ice:
            query |= {"ice": json.dumps(ice), "relay": ""}
        browser.open(files.url(f"examples/call/?{urllib.parse.urlencode(query)}#tea%20%26%20talk"), **looks)

    def join(self, camera=True):
        self.browser.click("#join [value=camera]" if camera else "#join [value='']")
        wait_for(lambda: "signalling" in self.status(), 20, f"{self.name} is in the call")

    def status(self):
        return self.browser.texts("#status")[0]

    def others(self):
        """{name of another: how it is connected}"""
        return dict(zip(self.browser.texts(".peer .name"), self.browser.texts(".peer .how")))

    def wait_others(self, **how):
        def check():
            assert self.others() == how, f"{self.others()}, {self.browser.texts('#log li')}"
            return True
        wait_for(check, 30, f"{self.name} sees {how}")

    def says(self, text):
        self.browser.type("#text", text)
        self.browser.press("#text", "Enter")

    def wait_hears(self, text):
        wait_for(lambda: text in self.browser.texts("#log li"), 10, f"{self.name} hears '{text}'")

    def sees_video(self):
        """Whether pictures of the other arrive."""
        return self.browser.evaluate("""(() => { const video = document.querySelector(".peer video");
            return Boolean(video && video.videoWidth > 0 && video.currentTime > 0); })()""")


@pytest.fixture
def coturn(tmp_path):
    with Coturn(tmp_path / "coturn") as server:
        yield server


@pytest.fixture
def files():
    with Files() as server:
        yield server


def test_two_browsers_call_each_other_and_need_no_cluster_then(cluster, files, browser, other_browser, tmp_path):
    ada = Caller(browser, files, cluster, "Ada", width=1000, height=640)
    grace = Caller(other_browser, files, cluster, "Grace", width=420, height=760, scheme="dark")
    ada.join()
    grace.join()
    ada.wait_others(Grace="direct")
    grace.wait_others(Ada="direct")
    for one in (ada, grace):
        wait_for(one.sees_video, 20, f"{one.name} sees the other")

    owner = cluster.owner(KEY)
    said = json.dumps(owner.poll(KEY, after=0).json()["messages"])
    assert "a=fingerprint" in said and "candidate" in said    # it did go through the channel
    for node in cluster.running():
        node.pause()
    ada.says("<b>just you and me</b>")
    grace.wait_hears("Ada <b>just you and me</b>")
    grace.says("no node between us")
    ada.wait_hears("Grace no node between us")
    for node in cluster.running():
        node.resume()
    later = json.dumps(owner.poll(KEY, after=0).json()["messages"])
    assert "just you and me" not in later and "no node between us" not in later

    for one in (ada, grace):
        one.browser.screenshot(tmp_path / f"{one.name}.png")
        assert one.browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert one.browser.seen()[0] == []
    grace.browser.click("#leave")
    ada.wait_others()
    grace.join()
    ada.wait_others(Grace="direct")


def test_the_channel_moves_while_they_find_each_other(cluster, files, browser, other_browser):
    ada = Caller(browser, files, cluster, "Ada")
    grace = Caller(other_browser, files, cluster, "Grace")
    ada.join()
    before = cluster.owner(KEY)
    cluster.cli("drain", before.id)
    grace.join(camera=False)
    ada.wait_others(Grace="direct")
    grace.wait_others(Ada="direct")
    ada.says("hello")
    grace.wait_hears("Ada hello")
    wait_for(grace.sees_video, 20, "Ada's picture")
    assert not ada.sees_video()
    cluster.wait_settled()
    assert cluster.owner(KEY) is not before


def test_what_ringhop_issues_carries_a_call_through_coturn(cluster, files, browser, other_browser, coturn):
    callers = [Caller(one, files, cluster, name, ice=coturn.issue("--user", name, coturn.url))
               for one, name in ((browser, "Ada"), (other_browser, "Grace"))]
    for caller in callers:
        caller.join(camera=False)
    ada, grace = callers
    ada.wait_others(Grace="relayed by TURN")
    grace.wait_others(Ada="relayed by TURN")
    ada.says("the long way")
    grace.wait_hears("Ada the long way")
