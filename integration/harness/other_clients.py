# SPDX-License-Identifier: Apache-2.0
"""Clients that others wrote, as programs of other_clients/ drive them. Each has `events`, what it was
told (parsed, in order), and `trouble`, what else it said, e.g. "status 307" or "closed 1006"."""
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import urllib.parse

from .events import CurlEvents, NpmEvents
from .files import Server
from .process import Process
from .reader import Reader

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "other_clients"
GO_PATH = "/usr/share/gocode"       # where Debian puts the sources of Go packages


class Heard:
    """The lines that with_python.py describes."""

    def __init__(self):
        self.events = []
        self.trouble = []

    def take(self, line):
        kind, _, rest = line.partition(" ")
        if kind == "text":
            self.events.append(json.loads(rest))
        else:
            self.trouble.append(line)


class Program(Reader):
    def __init__(self, *arguments):
        self._heard = Heard()
        self.events, self.trouble = self._heard.events, self._heard.trouble
        super().__init__([argument for argument in arguments if argument is not None],
                         stderr=subprocess.DEVNULL)

    def _take(self, line):
        self._heard.take(line)


def python(library):
    return lambda url, protocol: Program("/usr/bin/python3", FOLDER / "with_python.py", library, url,
                                         protocol)


def compiled(path):
    return lambda url, protocol: Program(path, url, protocol)


def build_c(name, folder, *libraries):
    path = folder / name
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-o", path, FOLDER / f"{name}.c", *libraries],
                   check=True, timeout=60)
    return path


def build_go(name, folder):
    path = folder / name
    subprocess.run(["go", "build", "-o", path, FOLDER / f"{name}.go"], check=True, timeout=240,
                   env={**os.environ, "GO111MODULE": "off", "GOPATH": GO_PATH,
                        "GOCACHE": str(folder / "go-cache")})
    return path


class NpmSocket:
    """One client of the driver of npm's ws, which follows `moved` by itself."""

    def __init__(self, driver, name, url, protocol):
        self._client = driver.open(name, url, protocol=protocol, redirects=True)

    @property
    def events(self):
        return [event for _, event in list(self._client.events)]

    @property
    def trouble(self):
        return [event["message"] for event in self._client.errors]

    def stop(self):
        """The driver ends with the test."""


class NpmStream(NpmEvents):
    def __init__(self, url, _protocol=None):
        super().__init__(url)

    @property
    def events(self):
        return [json.loads(told["data"]) for told in list(self.told) if "data" in told]

    @property
    def trouble(self):
        return [json.dumps(told) for told in list(self.told) if told["event"] == "broken"]


class CurlStream:
    """`curl -L`; at `moved` another one, as a script would start it (when somebody looks)."""

    def __init__(self, url, _protocol=None):
        self._streams = [CurlEvents(url, "-L")]
        self.trouble = []

    @property
    def events(self):
        if moved := self._streams[-1].of("moved"):
            self._streams.append(CurlEvents(json.loads(moved[0]["data"])["url"], "-L"))
        return [json.loads(event["data"]) for stream in self._streams
                for event in list(stream.events)]

    def stop(self):
        for stream in self._streams:
            stream.stop()


class Pages(Server):
    """Serves other_clients/page.html and hears what browsers that have it open tell."""

    def __init__(self):
        self._heard = {}
        super().__init__(type("Handler", (_PageHandler,), {"heard_of": self.heard}))

    def heard(self, name):
        """What `browser client` has told."""
        return self._heard.setdefault(name, Heard())

    def page(self, browser, **urls):
        return self.url("?" + urllib.parse.urlencode({"browser": browser, **urls}))


class _PageHandler(http.server.BaseHTTPRequestHandler):
    heard_of = None    # of the class that Pages makes of it

    def do_GET(self):
        self._answer((FOLDER / "page.html").read_bytes())

    def do_POST(self):
        name = urllib.parse.unquote(self.path.partition("?")[2])
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).heard_of(name).take(body.decode())
        self._answer(b"")

    def _answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Firefox:
    """Firefox without a window, with one page open and a profile of its own."""
    PREFERENCES = {
        "browser.shell.checkDefaultBrowser": False, "browser.startup.page": 0,
        "app.update.enabled": False, "datareporting.policy.dataSubmissionEnabled": False,
        "toolkit.telemetry.enabled": False, "network.captive-portal-service.enabled": False,
        "network.connectivity-service.enabled": False, "browser.aboutwelcome.enabled": False,
        "extensions.update.enabled": False, "services.settings.server": "http://127.0.0.1:9/",
        "browser.safebrowsing.update.enabled": False, "network.proxy.type": 0,
    }

    def __init__(self, folder, url):
        folder.mkdir()
        (folder / "user.js").write_text("".join(
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
            for name, value in self.PREFERENCES.items()))
        program = shutil.which("firefox-esr")
        assert program, "firefox-esr is missing; scripts/test installs it"
        self._process = Process([program, "--headless", "--no-remote", "--profile", folder, url],
                                folder / "log", env={"HOME": str(folder)})

    def stop(self):
        self._process.terminate(20)
