# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition, never for a time."""
import time


def wait_for(condition, bound=10.0, what=None, every=0.02):
    """Calls `condition` until it returns something true, and returns that. Exceptions that mean
    "not yet" (connection errors, a connection that ends within an answer, AssertionError,
    LookupError) count as false. After `bound` seconds it fails, naming `what` and the last thing
    seen."""
    deadline = time.monotonic() + bound
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (OSError, EOFError, AssertionError, LookupError) as error:
            last = error
        if time.monotonic() >= deadline:
            name = what or getattr(condition, "__doc__", None) or "the condition"
            raise AssertionError(f"{name} did not come true in {bound} s; last seen: {last!r}")
        time.sleep(every)


def stays(condition, seconds, what=None, every=0.02):
    """Fails as soon as `condition` is false within `seconds`. For "nothing happens" only: such a
    claim has no event to wait for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"{what or 'the condition'} ended after {seconds} s had been asked for"
        time.sleep(every)
