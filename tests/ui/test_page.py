"""The page in a real browser, with a miniature run of the embedded world from end to end."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from chromium import Browser, find_browser
from ui_browsing import PROMPT, asks_nobody_else, opens, saved, turns

pytestmark = pytest.mark.skipif(  # importing it takes seconds, and the server does so itself
    importlib.util.find_spec("gradio") is None, reason="redream[ui] is not installed"
)

ROOT = Path(__file__).parents[2]


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


def test_from_typing_to_download(server, browser, tmp_path):
    """A reload, a second tab and a server killed in the middle of it all."""
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

    browser.click(".rd-card input", 1)
    browser.click(".rd-card input", 4)
    browser.wait(f"JSON.stringify({ticked}) == '[true,false,true,false,true,false]'")
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
        asks_nobody_else(second, server.url)
    finally:
        second.close()
    config = (folder / "config.yaml").read_text("utf-8")
    assert config.count("\n  - ") > 2 and "chosen:" in config

    turns(browser)
    words = browser.evaluate("document.querySelector('#results').innerText")
    assert "CLIP score" in words and "higher is better" in words and "CC0" in words
    link = browser.evaluate("document.querySelector('.rd-downloads a[href*=glb]').href")
    with urllib.request.urlopen(link) as answer:
        assert answer.read(4) == b"glTF"
        assert answer.headers["content-disposition"].startswith("attachment")
    saved(browser, "run")
    browser.complaints.clear()  # of the server that was killed
    asks_nobody_else(browser, server.url)

    browser.click("#report button")
    browser.wait("document.querySelector('.rd-report')?.getBoundingClientRect().height > 300")
    browser.wait("document.querySelector('.rd-report').src.endsWith('report.html')")
    frame = "document.querySelector('.rd-report').getAttribute('sandbox')"
    assert "allow-same-origin" not in browser.evaluate(frame)
    asks_nobody_else(browser, server.url)
