"""Waiting for what other processes do."""

import time


def wait_for(what, driver, seconds=1500):
    """Waits until something is there while a command runs.

    Args:
        what: Gives it, or something false.
        driver: The command's process, whose stderr is a pipe of text.
        seconds: How long at most.

    Returns:
        What there is.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        assert driver.poll() is None, driver.stderr.read()
        time.sleep(0.05)
    raise AssertionError("it did not come about")
