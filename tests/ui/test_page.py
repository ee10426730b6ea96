"""The page in a real browser, over one server and one miniature run of the embedded world."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from chromium import Browser, find_browser
from PIL import Image

pytest.importorskip("gradio")

ROOT = Path(__file__).parents[2]
PROMPT = "#prompt input, #prompt textarea"
MODEL = "#model canvas"
HOSTILE = '<img src=x onerror="alert(1)">${alert(2)}{{alert(3)}}</script><b>'


class Server:
    """``redream ui`` as a user starts it; it can be killed and started again where it was."""

    def __init__(self, out, cache):
        self.out, self.port, self.process = out, 0, None
        self.environment = {**os.environ, "REDREAM_CACHE": str(cache), "PYTHONUNBUFFERED": "1"}
        self.start()

    def start(self):
        command = [sys.executable, "-m", "redream", "ui", "--out", str(self.out)]
        command += ["--port", str(self.port), "--config", str(ROOT / "tests/ui/mini.yaml")]
        self.process = subprocess.Popen(
            command, env=self.environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        self.url = line.split()[0]
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def runs(self):
        return [each.parent for each in self.out.glob("*/job.json")]


@pytest.fixture(scope="module")
def server(embedded_cache, tmp_path_factory):
    if find_browser() is None:
        pytest.skip("no Chromium is installed")
    running = Server(tmp_path_factory.mktemp("out"), embedded_cache)
    yield running
    running.kill()
    for folder in running.runs():
        number = json.loads((folder / "job.json").read_text("utf-8"))["process"]
        if (folder / "status.json").is_file() and number:
            state = json.loads((folder / "status.json").read_text("utf-8"))["state"]
            if state not in ("finished", "stopped", "failed"):
                os.kill(number, signal.SIGKILL)


def asks_nobody_else(browser, server):
    """The page has asked its own server and no other, and nothing went wrong in it."""
    own = (server.url, "data:", "blob:", "about:")
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


def saved(browser, name, **where):
    """Keeps a picture for whoever looks, where ``REDREAM_UI_PICTURES`` names a folder."""
    folder = os.environ.get("REDREAM_UI_PICTURES")
    if folder:
        time.sleep(1.0)
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.whole_page().save(Path(folder) / f"{name}.png")


def shows(browser):
    """The share of the model's place that is not white."""
    return float((np.asarray(browser.screenshot(MODEL)).min(axis=-1) < 230).mean())


def test_from_typing_to_download(server, browser, tmp_path):
    """A hostile upload, a reload, a second tab and a server killed in the middle of it all."""
    opens(browser, server.url)
    browser.click(PROMPT)
    browser.type("a golden elephant")
    browser.click("#look")
    browser.wait("document.querySelectorAll('.rd-card').length == 6", 400)
    ticked = "[...document.querySelectorAll('.rd-card input')].map(e => e.checked)"
    browser.wait(f"String({ticked}) == 'true,true,true,false,false,false'")  # drawn twice
    cards = browser.evaluate("document.querySelector('.rd-assets').innerText")
    assert "elephant" in cards and "CC0" in cards and "fits the prompt" in cards
    browser.wait(
        "[...document.querySelectorAll('.rd-picture img')].every(e => e.naturalWidth == 256)"
    )
    saved(browser, "make")

    (tmp_path / "<img src=x>.glb").write_bytes(b"glTF\2\0\0\0 and then rubbish")
    browser.give_file("input[type=file]", tmp_path / "<img src=x>.glb")
    browser.wait("!!document.querySelector('#said [role=alert]')", 400)
    assert "img-src-x.glb" in browser.evaluate("document.querySelector('#said').innerText")
    assert browser.evaluate("document.querySelectorAll('.rd-card').length") == 6

    browser.click(".rd-card input", 1)
    browser.click(".rd-card input", 4)
    browser.wait(f"JSON.stringify({ticked}) == '[true,false,true,false,true,false]'")
    time.sleep(0.5)  # the ticks are on their way
    browser.click("#make")
    browser.wait("location.search.startsWith('?run=')", 400)
    (folder,) = server.runs()
    assert len(json.loads((folder / "job.json").read_text("utf-8"))["asked"]["chosen"]) == 3

    server.kill()  # the run goes on
    server.start()
    browser.call("Page.reload")
    browser.wait("!!document.querySelector('.rd-progress')")
    second = Browser(find_browser(), tmp_path / "second")
    try:
        opens(second, server.url)
        second.click("button[role=tab]", 1)
        second.wait("document.querySelectorAll('a.rd-run').length == 1")
        second.click("a.rd-run")
        for each in (browser, second):
            each.wait("!!document.querySelector('.rd-progress[data-state=finished]')", 400)
            each.wait("document.querySelector('#sheet img')?.naturalWidth > 0")
        asks_nobody_else(second, server)
    finally:
        second.close()
    config = (folder / "config.yaml").read_text("utf-8")
    assert config.count("\n  - ") > 2 and "chosen:" in config

    browser.wait(f"!!document.querySelector('{MODEL}')")
    end = time.monotonic() + 60
    while shows(browser) < 0.05:
        assert time.monotonic() < end, "the model is not to be seen"
    words = browser.evaluate("document.querySelector('#results').innerText")
    assert "CLIP score" in words and "higher is better" in words and "CC0" in words
    link = browser.evaluate("document.querySelector('.rd-downloads a[href*=glb]').href")
    with urllib.request.urlopen(link) as answer:
        assert answer.read(4) == b"glTF"
        assert answer.headers["content-disposition"].startswith("attachment")
    saved(browser, "run")
    browser.complaints.clear()  # of the server that was killed
    asks_nobody_else(browser, server)


def test_the_report_turns_in_its_frame_and_a_small_window_is_enough(server, browser):
    (folder,) = server.runs()
    opens(browser, f"{server.url}?run={folder.name}", 390, 844)
    browser.wait(f"!!document.querySelector('{MODEL}')")
    assert browser.evaluate("document.documentElement.scrollWidth") == 390
    saved(browser, "small")
    browser.click("#report button")
    browser.wait("document.querySelector('.rd-report')?.getBoundingClientRect().height > 300")
    browser.wait("document.querySelector('.rd-report').src.endsWith('report.html')")
    assert "allow-same-origin" not in browser.evaluate(
        "document.querySelector('.rd-report').getAttribute('sandbox')"
    )
    assert browser.evaluate("document.documentElement.scrollWidth") == 390
    asks_nobody_else(browser, server)


def test_a_run_is_asked_for_again_and_compared(server, browser):
    (folder,) = server.runs()
    opens(browser, f"{server.url}?run={folder.name}")
    browser.click("#again")
    browser.wait(f"document.querySelector('{PROMPT}').value == 'a golden elephant'")
    browser.wait("document.querySelectorAll('.rd-card input:checked').length == 3")
    browser.wait(
        "[...document.querySelectorAll('.rd-picture img')].every(e => e.naturalWidth == 256)"
    )
    browser.click("button[role=tab]", 2)
    for name in ("one", "other"):
        browser.click(f"#{name} input")
        browser.wait("document.querySelectorAll('[role=option]').length == 1")
        browser.press("ArrowDown", number=40)
        browser.press("Enter", number=13, text="\r")
        browser.wait(f"document.querySelector('#{name} input').value.includes('elephant')")
    browser.wait("document.querySelectorAll('.rd-beside section').length == 2")
    assert browser.evaluate("document.querySelectorAll('#beside tbody tr').length") > 5
    saved(browser, "compare")
    asks_nobody_else(browser, server)


@pytest.mark.slow
def test_by_the_keyboard_alone(server, browser):
    """Typed, refused, mended, ticked, made, stopped, gone on with; then what another has made."""
    made = server.runs()
    if not made:
        pytest.skip('it looks at the whole run, too: -m "slow or not slow"')
    opens(browser, server.url)
    browser.wait(f"document.activeElement === document.querySelector('{PROMPT}')")
    browser.type("a golden elephant")
    press_on(browser, "#settings button")
    reach(browser, "#yaml textarea")
    browser.type("trainer: {logger: true}")
    press_on(browser, "#make")
    browser.wait("document.querySelector('#said').innerText.includes('command line only')")
    reach(browser, "#yaml textarea", back=True)
    browser.press("a", "KeyA", 65, modifiers=2, commands=["selectAll"])
    browser.type("trainer: {max_steps: 9999}")
    press_on(browser, "#look")
    browser.wait("document.querySelectorAll('.rd-card').length == 6", 400)
    reach(browser, ".rd-card input")
    browser.press(" ", "Space", 32, text=" ")
    browser.wait("!document.querySelector('.rd-card input').checked")
    time.sleep(0.5)  # the tick is on its way
    press_on(browser, "#make", back=True)
    browser.wait("location.search.startsWith('?run=')", 400)
    (folder,) = set(server.runs()) - set(made)
    assert len(json.loads((folder / "job.json").read_text("utf-8"))["asked"]["chosen"]) == 2

    state = "document.querySelector('.rd-progress')?.dataset.state"
    step = "parseInt(document.querySelector('.rd-progress').innerText.match(/step ([0-9]+)/)?.[1])"
    browser.wait(f"{state} == 'training' && {step} > 0", 400)
    press_on(browser, "#stop")
    browser.wait(f"{state} == 'stopped'", 400)
    stopped = browser.evaluate(step)
    press_on(browser, "#resume")
    browser.wait(f"{state} == 'training' && {step} > {stopped}", 400)
    press_on(browser, "#stop")
    browser.wait(f"{state} == 'stopped'", 400)

    press_on(browser, "a.rd-run:not([aria-current])", back=True)
    browser.wait(f"{state} == 'finished'", 400)
    browser.wait(f"!!document.querySelector('{MODEL}')")
    reach(browser, ".rd-downloads a")
    asks_nobody_else(browser, server)


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


def test_hostile_names_stay_text(server, browser):
    """Of a run's folder that somebody else has made."""
    folder = server.out / "a stranger's" / "<b>run"
    (folder / "previews").mkdir(parents=True)
    (folder / "retrieval").mkdir()
    for name in ("previews/step_000001.png", "retrieval/asset_0.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    (folder / "report.html").write_text(f"<script>parent.alert(4)</script>{HOSTILE}", "utf-8")
    asset = {key: HOSTILE for key in ("uid", "caption", "author", "license", "source")}
    measures = {"prompt": HOSTILE, "particles": [{HOSTILE: 1.0}], "models": [], "assets": [asset]}
    (folder / "metrics.json").write_text(json.dumps(measures), "utf-8")
    (folder / "particle_0.obj").write_text("v 0 0 0\n")
    opens(browser, server.url)
    browser.click("button[role=tab]", 1)
    browser.wait("!!document.querySelector('.rd-runs')?.innerText.includes('alert')")
    place = browser.evaluate(
        "[...document.querySelectorAll('a.rd-run')].findIndex(e => e.innerText.includes('alert'))"
    )
    browser.click("a.rd-run", place)
    browser.wait("document.querySelector('.rd-progress h2')?.innerText.includes('alert(1)')")
    browser.wait("document.querySelector('#results')?.innerText.includes('alert(2)')")
    assert browser.evaluate("document.querySelector('.rd-progress h2').innerText") == HOSTILE
    assert browser.evaluate("document.querySelectorAll('img[src=x], .rd-progress b').length") == 0
    browser.click("#report button")
    browser.wait("!!document.querySelector('.rd-report')")
    time.sleep(1.0)
    assert browser.dialogs == []
    asked = [each for each in browser.requests if each.endswith("/x")]
    assert asked == []
