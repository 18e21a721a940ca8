# SPDX-License-Identifier: Apache-2.0
"""The dashboard of the admin listener, in a browser."""
import json
import math
import socket

import pytest

from harness.http import Raw, quote, request
from harness.wait import wait_for
from harness.ws import Follower

VIEWS = [(width, scheme) for width in (1200, 400) for scheme in ("light", "dark")]
AT_REST = "At rest"

# Whose colour is at the middle of each cell of the picture.
CELLS = """(() => {
    const bands = [...document.querySelectorAll("svg.ring .data path")];
    return Array.from({ length: 720 }, (_, cell) => {
        const angle = 2 * Math.PI * (cell + 0.5) / 720;
        const point = new DOMPoint(Math.sin(angle) * 76, -Math.cos(angle) * 76);
        return bands.filter((band) => band.isPointInFill(point)).map((band) => band.dataset.node);
    });
})()"""

# Writes down every headline from now on.
REMEMBER_HEADLINES = """(() => {
    const title = document.querySelector("#headline h1");
    window.headlines = [title.textContent];
    new MutationObserver(() => window.headlines.push(title.textContent))
        .observe(title, { childList: true, characterData: true, subtree: true });
})()"""


def rows(browser):
    """{node: [texts of its row's cells]}"""
    return browser.evaluate("""Object.fromEntries(
        [...document.querySelectorAll("#members tbody tr")].map((row) =>
            [row.dataset.node, [...row.children].map((cell) => cell.textContent)]))""")


def column(browser, name):
    place = browser.texts("#members thead th").index(name)
    return {node: cells[place] for node, cells in rows(browser).items()}


def numbers(browser, name):
    return {node: int(text.replace(",", "")) for node, text in column(browser, name).items()}


def headline(browser):
    return browser.texts("#headline h1")[0]


def wait_headline(browser, title, bound=20):
    wait_for(lambda: headline(browser) == title, bound, f"the headline '{title}'")


def open_at(browser, node, **looks):
    browser.open(f"{node.admin}/", **looks)
    wait_headline(browser, AT_REST)


class Watch(Raw):
    """What a dashboard reads."""

    def __init__(self, node):
        super().__init__(node.admin_port)
        self.send(b"GET /v1/watch HTTP/1.1\r\nHost: a\r\n\r\n")
        self.is_open = self.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")

    def event(self):
        lines = self.until(b"\n\n").decode().splitlines()
        assert "event: cluster" in lines
        return json.loads("".join(line[len("data: "):] for line in lines if line.startswith("data: ")))


def first_event(node):
    with Watch(node) as watch:
        return watch.event()


def test_it_follows_a_node_that_joins_under_load(make_cluster, shared_zookeeper, browser, tmp_path):
    cluster = make_cluster(shared_zookeeper, settings={
        "rebalance": "{channels_per_second: 20, in_flight: 4}"})
    keys = [f"room:{number}" for number in range(240)]
    for key in keys:
        assert cluster["n2"].publish(key, "first").status == 201
    owners = cluster.owners(keys)
    clients = [Follower(cluster[owners[key]].ws_url(key)) for key in keys[:80]]

    def connections(now):
        return {node.id: sum(now[key] == node.id for key in keys[:80]) for node in cluster.running()}

    open_at(browser, cluster["n1"])
    browser.evaluate(REMEMBER_HEADLINES)
    wait_for(lambda: numbers(browser, "Connections") == connections(owners), 20, "80 connections")
    assert sum(numbers(browser, "Channels").values()) == len(keys)
    assert browser.texts(".tile .number")[:3] == ["3", "240", "80"]

    cluster.add("n4")
    cluster.wait_settled()
    cluster.wait_whole(60)
    owners = cluster.owners(keys)
    moved = sum(owner == "n4" for owner in owners.values())
    wait_for(lambda: numbers(browser, "Connections") == connections(owners), 20, "connections spread anew")
    wait_headline(browser, AT_REST)
    assert "Channels are moving" in browser.evaluate("window.headlines")
    assert numbers(browser, "Channels")["n4"] == moved
    said = " ".join(browser.texts("#changes li"))
    assert f"{moved} channels came to another node" in said, said
    assert "n4" in said and "at rest within" in said

    shares = {member["node"]: member["share"] for member in cluster["n3"].ring()["members"]}
    cells = browser.evaluate(CELLS)
    ring = first_event(cluster["n3"])["ring"]
    assert cells == [[ring["members"][cell]["node"]] for cell in ring["cells"]]
    for node, share in shares.items():
        assert abs(cells.count([node]) / 720 - share) < 0.06
        assert f"{share:.1%}".replace("%", " %") == column(browser, "Share")[node]
    assert browser.texts("#connections-chart .keys .key") == ["n1", "n2", "n3", "n4"]
    assert browser.evaluate("document.querySelectorAll('#moves-chart .data path')[0].getTotalLength()") > 10
    browser.screenshot(tmp_path / "scale-out.png")
    assert browser.seen()[0] == []
    for client in clients:
        client.close()
        assert client.problems == []


def test_a_key_that_is_typed_gets_its_owner_and_its_place(steady, browser):
    key = "doc:ä/ü?&=#+ 1"
    open_at(browser, steady["n2"])
    browser.type("#key", key)
    owner = steady.owner(key).id
    wait_for(lambda: browser.texts("#owner .owner")[0].startswith(f"{owner}owns it"), 10, "the owner")
    answer = request(f"{steady['n2'].admin}/v1/owner?key={quote(key)}").json()
    assert answer == {"key": key, "hash": answer["hash"], "owner": owner,
                      "replicas": steady["n1"].channel(key)["replicas"], "epoch": steady["n1"].ring()["epoch"]}
    assert browser.texts("#owner code") == [answer["hash"]]
    tip = browser.evaluate("""(() => { const line = document.querySelector(".needle line");
        return [line.getAttribute("x2"), line.getAttribute("y2")].map(Number); })()""")
    angle = math.atan2(tip[0], -tip[1]) % (2 * math.pi)
    assert abs(angle - 2 * math.pi * int(answer["hash"], 16) / 2**64) < 1e-3


def test_a_key_that_is_none_is_refused_in_words(steady, browser):
    for query in ("", "?key=", "?key=%0a", "?key=" + "x" * 513, "?key=%zz"):
        answer = request(f"{steady['n1'].admin}/v1/owner{query}")
        assert (answer.status, bool(answer.json()["detail"])) == (400, True), query
    open_at(browser, steady["n1"])
    browser.evaluate("""(() => { const field = document.querySelector("#key");
        field.value = "\\u00e4".repeat(300); field.dispatchEvent(new Event("input")); })()""")
    trouble = wait_for(lambda: browser.texts("#owner .trouble"), 10, "the reason")[0]
    assert "512" in trouble, trouble


@pytest.mark.parametrize("width, scheme", VIEWS)
def test_it_fits_and_has_no_fault(steady, browser, tmp_path, width, scheme):
    open_at(browser, steady["n3"], width=width, scheme=scheme)
    browser.screenshot(tmp_path / f"dashboard-{width}-{scheme}.png")
    errors, requests = browser.seen()
    assert errors == [] and requests == [f"{steady['n3'].admin}/v1/watch"]
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    said = browser.evaluate("nameCell('n1', {zone: 'a', weight: 2}, false).textContent")
    assert said == "n1zone\u00a0a, weight\u00a02"      # a line does not end within either
    brightness = browser.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(brightness) < 64) if scheme == "dark" else (min(brightness) > 192)


def test_nothing_but_its_own_scripts_can_run_in_it(steady, browser):
    answer = request(f"{steady['n1'].admin}/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    open_at(browser, steady["n1"])
    browser.evaluate("""(() => { const script = document.createElement("script");
        script.textContent = "window.intruder = true"; document.body.append(script);
        const image = document.createElement("img");
        image.setAttribute("onerror", "window.intruder = true"); image.src = "data:,";
        document.body.append(image); })()""")
    wait_for(lambda: len(browser.seen()[0]) >= 2, 10, "the browser's word that it refused both")
    assert browser.evaluate("window.intruder === undefined")


def test_what_stands_in_zookeeper_is_text_and_never_markup(cluster, browser):
    markup = "<img src=x onerror=alert(1)>"
    mute = socket.create_server(("127.0.0.1", 0))    # takes connections and says nothing
    entry = {"id": "stranger", "instance": "00000000000000aa", "weight": 0, "zone": "",
             "url": "ws://127.0.0.1:9", "peer": f"127.0.0.1:{mute.getsockname()[1]}",
             "admin": "127.0.0.1:9", "version": markup}
    open_at(browser, cluster["n1"])
    with cluster.zookeeper.client() as client:
        client.create(f"/ringhop/{cluster.name}/members/stranger.", json.dumps(entry).encode(),
                      ephemeral=True, sequence=True)
        wait_for(lambda: "stranger" in rows(browser), 20, "the stranger in the table")
        assert markup in rows(browser)["stranger"][0]
        assert browser.texts("img") == []
        assert browser.evaluate("document.querySelectorAll('[onerror]').length") == 0
        assert browser.seen()[0] == []
    mute.close()


def test_what_a_node_says_is_text_and_never_markup(steady, browser):
    markup = "</script><img src=x onerror=alert(1)>"
    open_at(browser, steady["n1"])
    event = json.dumps(first_event(steady["n1"])).replace('"n2"', json.dumps(markup))
    browser.evaluate(f"take({event})")
    assert markup in rows(browser) and browser.texts("img") == []
    assert browser.seen()[0] == []


def test_a_node_that_falls_silent_is_named_and_so_is_one_that_comes_back(make_cluster, shared_zookeeper, browser):
    cluster = make_cluster(shared_zookeeper, session_timeout="30s")
    open_at(browser, cluster["n1"])
    cluster["n3"].pause()
    wait_headline(browser, "n3 is silent")
    assert column(browser, "State")["n3"].startswith("silent for")
    cluster["n3"].resume()
    wait_headline(browser, AT_REST)


def test_a_page_whose_node_is_gone_says_so_and_goes_on_when_it_is_back(
        make_cluster, shared_zookeeper, browser):
    cluster = make_cluster(shared_zookeeper, session_timeout="1s",
                           settings={"rebalance": "{moved_linger: 0}"})
    open_at(browser, cluster["n1"])
    cluster["n1"].stop()
    wait_headline(browser, "No word from n1")
    cluster["n1"].start()
    cluster.wait_settled()
    wait_headline(browser, AT_REST)
    assert sorted(rows(browser)) == ["n1", "n2", "n3"]


def test_before_there_is_a_view_it_says_what_it_waits_for(shared_zookeeper, make_cluster, browser):
    cluster = make_cluster(shared_zookeeper, nodes=1, start=False)
    cluster["n1"].zookeeper = "127.0.0.1:1"
    cluster["n1"].start(wait=False)
    wait_for(lambda: request(f"{cluster['n1'].admin}/healthz").status == 200, 20, "the admin listener")
    browser.open(f"{cluster['n1'].admin}/")
    wait_headline(browser, "No view yet")
    assert browser.seen()[0] == []


def test_too_many_that_look_leave_room_for_the_metrics(steady):
    node = steady["n2"]
    watches = [Watch(node) for _ in range(16)]
    assert all(watch.is_open and watch.event()["ring"]["cluster"] == steady.name for watch in watches)
    refused = request(f"{node.admin}/v1/watch")
    assert (refused.status, refused.code) == (503, "limit_reached")
    assert request(f"{node.admin}/metrics").status == 200
    watches.pop().close()

    def one_more():
        with Watch(node) as watch:
            return watch.is_open
    wait_for(one_more, 10, "room for another")
    for watch in watches:
        watch.close()
    assert request(f"{node.admin}/v1/watch", method="HEAD").status == 405


def test_each_node_tells_of_all(steady):
    for node in steady.running():
        with Watch(node) as watch:
            def all_heard():
                event = watch.event()
                return event["node"] == node.id and all(one["status"] for one in event["nodes"]) and event
            event = wait_for(all_heard, 20, "all nodes in one event")
        for one in event["nodes"]:
            status = one["status"]
            assert (status["node"], status["state"]) == (one["node"], "member")
            assert set(status) == set(steady[one["node"]].status())
