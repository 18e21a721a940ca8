# SPDX-License-Identifier: Apache-2.0
"""Requests that others collected (llhttp, h1spec): no invalid one is accepted."""
import pathlib
import re
import subprocess

VECTORS = pathlib.Path(__file__).parent / "vectors"


def test_no_invalid_request_is_accepted(steady):
    done = subprocess.run(
        ["/usr/bin/python3", VECTORS / "http1_corpus.py", "127.0.0.1", str(steady["n1"].client_port)],
        capture_output=True, text=True, timeout=300)
    passed, failed = map(int, re.search(r"(\d+) passed, (\d+) failed", done.stdout).groups())
    assert done.returncode == 0 and failed == 0, done.stdout[-4000:]
    assert passed > 100
