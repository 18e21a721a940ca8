# SPDX-License-Identifier: Apache-2.0
"""Requests that others collected (llhttp, h1spec): a node accepts no invalid one."""
from harness import http_vectors


def test_no_invalid_request_is_accepted(steady):
    passed, failed, text = http_vectors.run(steady["n1"].client_port)
    assert failed == http_vectors.STRICTER, text
    assert passed > 130
