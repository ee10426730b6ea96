"""Makes the pictures of docs/ui.md: a whole run of the page in a real browser, some minutes long.

.venv/bin/python docs/ui_pictures.py
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from chromium import Browser, find_browser  # noqa: E402

IMAGES = ROOT / "docs" / "images"
PROMPT = "#prompt input, #prompt textarea"


def main() -> None:
    """Makes an object through the page, and keeps what is seen on the way."""
    out = tempfile.mkdtemp()
    command = [sys.executable, "-m", "redream", "ui", "--port", "0", "--out", out]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    browser = Browser(find_browser(), tempfile.mkdtemp())
    try:
        drive(browser, server.stdout.readline().split()[0])
    finally:
        browser.close()
        server.terminate()
        server.wait()


def drive(browser: Browser, url: str) -> None:
    """Types, looks, ticks, makes, watches and looks again on a telephone."""
    browser.open(url, 1280, 800)
    browser.wait("document.body?.dataset.ready == 'yes'")
    browser.click(PROMPT)
    browser.type("a golden elephant")
    browser.click("#settings button")
    browser.click("#model-num_particles input")
    browser.evaluate("document.activeElement.select()")
    browser.type("1")
    browser.click("#settings button")
    browser.click("#look")
    browser.wait("document.querySelectorAll('.rd-card').length == 6", 300)
    browser.wait("[...document.querySelectorAll('.rd-picture img')].every(e => e.naturalWidth)")
    keep(browser, "ui_make")
    browser.click("#make")
    browser.wait("document.querySelector('.rd-progress progress')?.value > 0.4", 1500)
    keep(browser, "ui_watch")
    browser.wait("!!document.querySelector('.rd-progress[data-state=finished]')", 3000)
    browser.wait("!!document.querySelector('#model canvas')")
    wait_for_the_model(browser)
    keep(browser, "ui_run")
    browser.open(browser.evaluate("location.href"), 390, 844)
    browser.wait("!!document.querySelector('#model canvas')")
    wait_for_the_model(browser)
    keep(browser, "ui_small")


def wait_for_the_model(browser: Browser) -> None:
    """Waits until the model is drawn, which takes a slow computer its time."""
    end = time.monotonic() + 300.0
    while browser.screenshot("#model canvas").convert("L").getextrema()[0] > 200:
        assert time.monotonic() < end, "the model is not to be seen"
        time.sleep(1.0)


def keep(browser: Browser, name: str) -> None:
    """Keeps the page, down to where it is looked at first."""
    time.sleep(5.0)
    picture = browser.whole_page()
    picture = picture.crop((0, 0, picture.width, min(picture.height, 1400)))
    picture.quantize(128).save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
