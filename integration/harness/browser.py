# SPDX-License-Identifier: Apache-2.0
"""Chromium without a window (browser_driver/driver.js)."""
import json
import pathlib
import shutil
import subprocess

from .npm import install
from .process import _die_with_parent

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "browser_driver"


class Browser:
    """One page at a time. Use as a context manager."""

    def __init__(self):
        install(FOLDER)
        chromium = shutil.which("chromium")
        assert chromium, "chromium is missing; scripts/test installs it"
        self._popen = subprocess.Popen(
            ["node", "driver.js", chromium], cwd=FOLDER, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=_die_with_parent)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._popen.stdin.close()    # the driver closes the browser and ends
        self._popen.wait(30)

    def _ask(self, **command):
        self._popen.stdin.write(json.dumps(command) + "\n")
        line = self._popen.stdout.readline()
        assert line, f"the driver of the browser ended with {self._popen.wait(10)}"
        answer = json.loads(line)
        assert answer["ok"], answer["error"]
        return answer.get("value")

    def open(self, page, width=1200, height=900, scheme="light"):
        """`page` is a path or a URL."""
        url = page if isinstance(page, str) else page.resolve().as_uri()
        self._ask(do="open", url=url, width=width, height=height, scheme=scheme)

    def evaluate(self, script):
        """What the expression `script` is in the page."""
        return self._ask(do="evaluate", script=script)

    def texts(self, selector):
        """The texts of all elements that match, without line breaks."""
        return [" ".join(text.split()) for text in self.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => one.textContent)")]

    def press(self, selector, key, times=1):
        self._ask(do="press", selector=selector, key=key, times=times)

    def type(self, selector, text):
        """Puts the text into a field, as somebody who types it."""
        self._ask(do="type", selector=selector, text=text)

    def click(self, selector):
        self._ask(do="click", selector=selector)

    def move(self, x, y):
        """The mouse, to this place of the window."""
        self._ask(do="move", x=x, y=y)

    def screenshot(self, path):
        self._ask(do="screenshot", path=str(path))

    def print_view(self):
        """From now on the page looks as it does on paper."""
        self._ask(do="print")

    def seen(self):
        """(errors of the page, addresses that it asked for)."""
        seen = self._ask(do="seen")
        return seen["errors"], seen["requests"]
