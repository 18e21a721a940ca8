# SPDX-License-Identifier: Apache-2.0
"""The request vectors of others (llhttp, h1spec), run against a server."""
import pathlib
import re
import subprocess

_RUNNER = pathlib.Path(__file__).parents[1] / "vectors" / "http1_corpus.py"

# What the vectors call valid and we refuse; docs/conformance.md says why. None of them is a request
# that must be refused.
STRICTER = {f"LLHTTP-{name}" for name in (
    "content-length-29", "transfer-encoding-42", "transfer-encoding-45", "transfer-encoding-52",
    "transfer-encoding-53", "connection-67", "connection-71", "method-77", "method-84", "sample-98",
    "uri-111", "uri-113")}


def run(port):
    """How many vectors passed, the names of those that failed, and all that the runner said."""
    done = subprocess.run(["/usr/bin/python3", _RUNNER, "127.0.0.1", str(port)],
                          capture_output=True, text=True, timeout=300, check=False)
    failed = set(re.findall(r"^FAIL +(\S+)", done.stdout, re.M))
    passed = re.search(r"^(\d+) passed, (\d+) failed", done.stdout, re.M)
    assert passed and int(passed.group(2)) == len(failed), done.stdout + done.stderr
    return int(passed.group(1)), failed, done.stdout
