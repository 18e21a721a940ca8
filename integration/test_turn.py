# SPDX-License-Identifier: Apache-2.0
"""`ringhop turn` against Debian's coturn, with the config and the code that docs/webrtc.md shows."""
import base64
import hashlib
import hmac
import time

import pytest

from harness.coturn import SECRET, Coturn, block
from harness.node import ringhop


@pytest.fixture(scope="module")
def coturn(tmp_path_factory):
    with Coturn(tmp_path_factory.mktemp("coturn") / "server") as server:
        yield server


def sign(secret, username):
    return base64.b64encode(hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()).decode()


def test_coturn_takes_what_is_issued_and_nothing_else(coturn):
    issued = coturn.issue("--user", "user:42")
    assert coturn.relays(issued["username"], issued["credential"])
    assert not coturn.relays(issued["username"], sign("another secret", issued["username"]))
    later = issued["username"].replace(str(issued["expires"]), str(issued["expires"] + 60))
    assert not coturn.relays(later, issued["credential"])
    past = f"{int(time.time()) - 60}:user:42"
    assert not coturn.relays(past, sign(SECRET, past))


def test_what_is_issued_is_what_the_scheme_says(coturn):
    before = int(time.time())
    issued = coturn.issue("--ttl", "10m", coturn.url, "stun:stun.example.org")
    assert before + 600 <= issued["expires"] <= int(time.time()) + 600
    assert issued == {"urls": [coturn.url, "stun:stun.example.org"], "username": str(issued["expires"]),
                      "credential": sign(SECRET, issued["username"]), "expires": issued["expires"]}
    table = ringhop("turn", "--secret-file", coturn.secret_file, "--user", "ada").stdout.splitlines()
    username, credential, _ = table[1].split()
    assert table[0].split() == ["USERNAME", "CREDENTIAL", "EXPIRES"]
    assert username.endswith(":ada") and credential == sign(SECRET, username)


def test_the_python_of_the_docs_computes_the_same():
    names = {}
    exec(block("python", "import base64"), names)    # pylint: disable=exec-used
    made = names["credentials"](SECRET, "ada")
    assert made["credential"] == sign(SECRET, made["username"])


@pytest.mark.parametrize("arguments, code, said", [
    ([], 2, "--secret-file is missing"),
    (["--secret-file", "no/such/file"], 3, "no/such/file: cannot be read"),
    (["--secret-file", "empty"], 3, "empty: holds no secret"),
    (["--secret-file", "lines"], 3, "lines: holds more than one line"),
    (["--secret-file", "large"], 3, "large: "),
    (["--secret-file", "good", "--ttl", "0s"], 2, "--ttl: `0s` is not a duration of 1s or more"),
    (["--secret-file", "good", "--ttl", "600"], 2, "--ttl: `600` is not a duration"),
    (["--secret-file", "good", "--user", "a b"], 2, "--user: 1 to 256 printable"),
    (["--secret-file", "good", "http://turn"], 2, "`http://turn` is no URL of a TURN server"),
])
def test_what_is_wrong_is_named(tmp_path, arguments, code, said):
    for name, text in (("empty", "\n"), ("lines", "a\nb\n"), ("large", "s" * 5000), ("good", "s\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    done = ringhop("turn", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"ringhop turn: {said}"), done.stderr


def test_a_secret_that_all_can_read_is_pointed_out(coturn, tmp_path):
    path = tmp_path / "secret"
    path.write_text("s\n")
    path.chmod(0o644)
    done = ringhop("turn", "--secret-file", path)
    assert done.returncode == 0 and "everybody on this machine can read it" in done.stderr
