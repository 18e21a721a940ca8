# SPDX-License-Identifier: Apache-2.0
"""clients/js, in Node.js or in a page (client_driver/session.mjs), used from plain test code."""
import itertools
import json
import pathlib
import subprocess

from .npm import install
from .reader import Reader
from .wait import wait_for

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "client_driver"


class ClientError(Exception):
    """What a call of the client rejected with: `name`, `code` and so on are in `fields`."""

    def __init__(self, fields):
        super().__init__(f"{fields.get('code')}: {fields.get('message')}")
        self.fields = fields


class NodeRuntime(Reader):
    """Node.js, with npm's ws. Use as a context manager."""

    def __init__(self):
        install(FOLDER)
        self._told = []
        self._answers = {}
        self._numbers = itertools.count(1)
        super().__init__(["node", "node.mjs"], cwd=FOLDER, stdin=subprocess.PIPE)

    def _take(self, line):
        object_ = json.loads(line)
        if "answer" in object_:
            self._answers[object_["number"]] = object_["answer"]
        else:
            self._told.append(object_)

    def told(self):
        return list(self._told)

    def run(self, **command):
        number = next(self._numbers)
        self._popen.stdin.write(json.dumps({"number": number, **command}) + "\n")
        wait_for(lambda: number in self._answers or self._popen.poll() is not None, 90,
                 f"the answer to {command}")
        assert number in self._answers, f"node ended with {self._popen.returncode}"
        return _value(self._answers.pop(number))


class PageRuntime:
    """A page in Chromium."""

    def __init__(self, browser, files):
        self._browser = browser
        self._told = []
        browser.open(files.url("integration/client_driver/page.html"))
        wait_for(lambda: browser.evaluate("document.title") == "ready", 15, "the page's script")

    def told(self):
        self._told += self._browser.evaluate("told.splice(0)")
        return self._told

    def run(self, **command):
        return _value(self._browser.evaluate(f"run({json.dumps(command)})"))


def _value(answer):
    if "error" in answer:
        raise ClientError(answer["error"])
    return answer["value"]


class JsChannel:
    """A channel of the client; `nodes` are its start URLs."""
    _numbers = itertools.count(1)

    def __init__(self, runtime, nodes, key, client=None, client_id=None, **channel):
        if client_id is not None:
            channel["client"] = client_id
        self._runtime = runtime
        self._id = f"c{next(JsChannel._numbers)}"
        runtime.run(do="open", id=self._id, urls=[node.url for node in nodes], key=key,
                    client={"publishTimeout": 120_000, "retryMax": 2000, **(client or {})},
                    channel=channel)

    def _do(self, what, **more):
        return self._runtime.run(do=what, id=self._id, **more)

    def of(self, event):
        return [told["detail"] for told in self._runtime.told()
                if told.get("id") == self._id and told["event"] == event]

    def seqs(self):
        return [message["seq"] for message in self.of("message")]

    def wait_for(self, event, count=1, bound=45.0):
        def check():
            found = self.of(event)
            assert len(found) >= count, f"{len(found)} times; status {self.of('status')[-3:]}"
            return found
        return wait_for(check, bound, f"{count} times {event}")

    def wait_transport(self, transport, bound=45.0):
        return wait_for(lambda: self.of("welcome") and
                        self.of("welcome")[-1]["transport"] == transport, bound, transport)

    def publish(self, data, **options):
        return self._do("publish", data=data, options=options)

    def stream(self):
        """Publishes 1, 2, 3 ... from now on, and retries each until it is acknowledged."""
        self._do("stream")

    def write(self, call, *arguments):
        """A call of its state document."""
        return self._do("write", call=call, arguments=list(arguments))

    def pause(self):
        """Ends that; the seqs of the acknowledgements."""
        return self._do("pause")

    def switch_to(self, transport):
        self._do("switch", transport=transport)

    def follows(self, call, *arguments):
        return self._do("follows", call=call, arguments=list(arguments))

    def close(self):
        self._do("close")


def state(runtime, nodes, key, call, *arguments):
    """A call of the client's state document."""
    return runtime.run(do="state", urls=[node.url for node in nodes], key=key, call=call,
                       arguments=list(arguments))


def followers(runtime, nodes, key, **options):
    """Who follows a channel."""
    return runtime.run(do="followers", urls=[node.url for node in nodes], key=key, options=options)
