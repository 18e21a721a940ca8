# SPDX-License-Identifier: Apache-2.0
"""The page that a drill's report is, in a browser. Most results are samples: harness/drill_samples.py."""
import json
import os
import subprocess

import pytest

from harness.drill_samples import SAMPLES
from harness.node import ROOT, program

VIEWS = [(width, scheme) for width in (1200, 400) for scheme in ("light", "dark")]
TIMELINE = ["connections", "latency", "messages", "moves"]

# How much of each picture there is: the length of all that is drawn in its group of data.
DRAWN = """Object.fromEntries([...document.querySelectorAll("svg[id^=chart-]")].map((chart) =>
    [chart.id.slice(6), [...chart.querySelectorAll(".data path, .data rect")]
        .reduce((sum, one) => sum + one.getTotalLength(), 0)]))"""

# For each ring on the page, whose colour is at the middle of each cell.
RINGS = """[...document.querySelectorAll("svg.ring")].map((ring) => {
    const bands = [...ring.querySelectorAll(".data path")];
    return Array.from({ length: 720 }, (_, cell) => {
        const angle = 2 * Math.PI * (cell + 0.5) / 720;
        const point = new DOMPoint(Math.sin(angle) * 76, -Math.cos(angle) * 76);
        return bands.filter((band) => band.isPointInFill(point)).map((band) => band.dataset.node);
    });
})"""


@pytest.fixture
def report(tmp_path, browser):
    """report(result, width, scheme): its page, opened."""
    def write(result, width=1200, scheme="light"):
        source, page = tmp_path / "result.json", tmp_path / "report.html"
        source.write_text(json.dumps(result))
        subprocess.run([program("drill-report"), source, page], check=True, timeout=30)
        browser.open(page, width=width, scheme=scheme)
        return page
    return write


def changed(result):
    return [step for step in result["steps"] if step["ring_before"]]


def owners(ring):
    return [[ring["members"][cell]["node"]] for cell in ring["cells"]]


@pytest.mark.parametrize("width, scheme", VIEWS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_the_page_fits_and_has_no_fault(report, browser, tmp_path, sample, width, scheme):
    report(SAMPLES[sample](), width, scheme)
    shot = tmp_path / f"{sample}-{width}-{scheme}.png"
    browser.screenshot(shot)
    assert browser.seen() == ([], [])
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert shot.read_bytes()[16:20] == width.to_bytes(4, "big")   # of the PNG's header
    brightness = browser.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(brightness) < 64) if scheme == "dark" else (min(brightness) > 192)


@pytest.mark.parametrize("sample", ["scale_out", "node_crash", "rolling_restart"])
def test_every_chart_has_content(report, browser, sample):
    result = SAMPLES[sample]()
    report(result)
    drawn = browser.evaluate(DRAWN)
    assert set(drawn) == {*TIMELINE, "gaps"}
    assert all(length > 100 for length in drawn.values()), drawn
    assert len(browser.texts("#moved .name")) == len(changed(result))
    assert len(browser.texts("svg.ring")) == 2 * len(changed(result))


def test_each_cell_of_each_ring_has_the_colour_of_its_owner(report, browser):
    result = SAMPLES["node_crash"]()
    report(result)
    expected = [owners(step[ring]) for step in changed(result) for ring in ("ring_before", "ring_after")]
    assert browser.evaluate(RINGS) == expected


def test_a_ring_of_one_node_is_drawn_whole(report, browser):
    report(SAMPLES["failed"]())
    assert browser.evaluate(RINGS)[-1] == [["n1"]] * 720


def test_a_chart_tells_the_values_at_a_time(report, browser):
    result = SAMPLES["scale_out"]()
    report(result)
    browser.press("#chart-connections", "ArrowRight", times=25)
    series = result["series"]
    expected = [f"at {series['at_ms'][25] / 1000:.1f} s"]
    expected += [f"{node}{series['connections'][node][25]:,}" for node in series["nodes"]]
    assert browser.texts(".tip div") == expected


def test_steps_are_numbered_on_every_chart_and_waits_only_if_something_happened(report, browser):
    result = SAMPLES["scale_out"]()
    first = result["steps"][0]
    wait = {**first, "name": "wait 5s", "started_ms": 0, "settled_ms": 5_000, "ring_before": None,
            "ring_after": None, "expected_moved": None, "actual_moved": 0}
    result["steps"] = [wait, first, {**wait, "started_ms": 9_000, "problem": "n1 has gone"},
                       result["steps"][-1]]
    report(result)
    assert browser.texts("#step-keys li") == ["1add n4", "2wait 5s", "3add n5"]
    assert browser.texts("#timeline .badge text") == ["1", "2", "3"] * len(TIMELINE)


def test_expected_and_actual_moves_stand_beside_each_other(report, browser):
    result = SAMPLES["scale_out"]()
    step = result["steps"][0]
    step.update(expected_moved=11_500, actual_moved=11_497)
    report(result)
    assert browser.texts("#moved .value")[0] == "11,497 of 11,500, −3"
    before, after = (next(member["share"] for member in step[ring]["members"] if member["node"] == "n1")
                     for ring in ("ring_before", "ring_after"))
    row = browser.texts(".step:first-child .bars > div")[0]
    moved = sum(member["share"] for member in step["ring_after"]["members"] if member["node"] == "n4")
    assert f"{moved:.1%}".replace("%", " %") in browser.texts(".step:first-child .ring .big")
    assert row == f"n1{before:.1%} → {after:.1%}".replace("%", " %")


def test_a_failed_drill_says_what_was_wrong_in_words(report, browser):
    result = SAMPLES["failed"]()
    report(result)
    assert browser.texts("h1") == ["A guarantee was broken"]
    assert browser.texts(".problems li") == result["problems"]
    assert browser.texts(".tile.broken h3") == ["Lost", "Gaps told", "Unexplained resets",
                                                  "Others disturbed"]
    assert browser.texts(".step.failed .problem") == [result["steps"][-1]["problem"]]
    assert browser.evaluate("document.title").startswith("✗ two-crashes")


def test_nothing_is_called_kept_that_was_not_checked(report, browser):
    report(SAMPLES["broken_at_once"]())
    assert browser.texts("h1") == ["The drill failed"]
    assert browser.texts(".tile .number") == ["not checked"] * 6
    assert browser.texts("#timeline") == ["The drill ended before anything was measured."]


def test_names_from_files_are_text_and_never_markup(report, browser):
    result = SAMPLES["scale_out"]()
    markup = "</script><img src=x onerror=alert(1)><script>alert(2)</script>"
    report(json.loads(json.dumps(result).replace('"n1"', json.dumps(markup))
                      .replace("add n4", json.dumps(f"add {markup}")[1:-1])))
    assert browser.seen() == ([], [])
    assert f"add {markup}" in browser.texts(".step h3")[0]
    assert browser.texts("img") == []


def test_on_paper_it_is_dark_on_light_whatever_the_screen(report, browser):
    report(SAMPLES["node_crash"](), scheme="dark")
    browser.print_view()
    assert browser.evaluate("getComputedStyle(document.body).color") == "rgb(31, 38, 48)"


def test_a_real_drill_is_shown_as_its_json_says(browser, tmp_path):
    page = tmp_path / "drill.html"
    done = subprocess.run(
        [program("ringhop"), "drill", "--json", "--report", page, "--connections", "200",
         "--channels", "100", "--rate", "100", ROOT / "drills" / "scale-out.yaml"],
        capture_output=True, text=True, timeout=120, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    browser.open(page)
    assert browser.seen() == ([], [])
    assert browser.texts("h1") == ["Every guarantee held"]
    assert browser.evaluate(RINGS) == [owners(step[ring]) for step in changed(result)
                                       for ring in ("ring_before", "ring_after")]
    assert all(length > 100 for length in browser.evaluate(DRAWN).values())
    step, = changed(result)
    assert browser.texts("#moved .value")[0].startswith(
        f"{step['actual_moved']:,} of {step['expected_moved']:,}")
