"""What the tests of the page do in a browser, beside what every browser's test does."""

import json
import os
import time
from pathlib import Path

import numpy as np

PROMPT = "#prompt input, #prompt textarea"
OBJECT = "#objects iframe"


def asks_nobody_else(browser, url):
    """The page has asked its own server and no other, and nothing went wrong in it."""
    own = (url, "data:", "blob:", "about:")
    assert [each for each in browser.requests if not each.startswith(own)] == []
    # Babylon tries WebGPU first, and takes WebGL; a page that is left breaks off what it listens to
    known = ("WebGPU", "AbortError", "Connection errored out")
    unknown = [
        each for each in map(json.dumps, browser.complaints) if not any(k in each for k in known)
    ]
    assert unknown == []


def opens(browser, url, *size):
    """Opens the page and waits until it answers."""
    browser.open(url, *size)
    browser.wait("document.readyState == 'complete' && document.body?.dataset.ready == 'yes'")


def run_of(browser, seconds=60):
    """Waits until the address names a run, which it does after the run is shown; its name."""
    browser.wait("location.search.startsWith('?run=')", seconds)
    return browser.evaluate("new URLSearchParams(location.search).get('run')")


def saved(browser, name, **where):
    """Keeps a picture for whoever looks, where ``REDREAM_UI_PICTURES`` names a folder."""
    folder = os.environ.get("REDREAM_UI_PICTURES")
    if folder:
        time.sleep(1.0)
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.whole_page().save(Path(folder) / f"{name}.png")


def turns(browser):
    """Waits until the object is drawn, darker than what is behind it."""
    browser.wait(f"!!document.querySelector('{OBJECT}')")
    end = time.monotonic() + 60
    while float((np.asarray(browser.screenshot(OBJECT)).min(axis=-1) < 215).mean()) < 0.02:
        assert time.monotonic() < end, "the object is not to be seen"


def press_on(browser, selector, back=False):
    """Goes to a button or a link with Tab, and presses Enter."""
    reach(browser, selector, back)
    browser.press("Enter", number=13, text="\r")


def reach(browser, selector, back=False):
    """Presses Tab until an element has the focus, which it must show."""
    browser.wait(f"!!document.querySelector({json.dumps(selector)})?.checkVisibility()")
    for _ in range(80):
        browser.press("Tab", number=9, modifiers=8 if back else 0)
        if browser.evaluate(f"!!document.activeElement?.matches({json.dumps(selector)})"):
            shown = "(e => [e.outlineStyle, e.boxShadow])(getComputedStyle(document.activeElement))"
            assert browser.evaluate(shown) != ["none", "none"], f"{selector} shows no focus"
            return
    raise AssertionError(f"no way by the keyboard to {selector}")
