"""Waiting for runs of the page, and asking for them."""

import time

from redream.ui.asked import Asked


def wait_until(condition, seconds=30.0):
    """Waits for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def asks(prompt="a dog", **fields):
    return Asked(prompt, "default", {}, **fields)
