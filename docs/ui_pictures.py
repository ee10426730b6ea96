"""Makes the pictures of docs/ui.md: a whole run of the page in a real browser, some minutes long.

.venv/bin/python docs/ui_pictures.py          all of them
.venv/bin/python docs/ui_pictures.py FOLDER   of the newest run in a folder of the page's, once made
"""

import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from chromium import Browser, find_browser  # noqa: E402

IMAGES = ROOT / "docs" / "images"
PROMPT = "#prompt input, #prompt textarea"


def main() -> None:
    """Makes an object through the page, and keeps what is seen on the way."""
    made = Path(sys.argv[1]) if sys.argv[1:] else None
    out = made or Path(tempfile.mkdtemp())
    command = [sys.executable, "-m", "redream", "ui", "--port", "0", "--out", str(out)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        url = server.stdout.readline().split()[0]
        if made is None:
            with opened() as browser:
                make(browser, url)
        newest = max(out.glob("*/job.json"), key=lambda job: job.stat().st_mtime).parent
        for name, width in (("ui_run", 1280), ("ui_small", 390)):
            with opened() as browser:
                look(browser, f"{url}?run={newest.name}", name, width)
    finally:
        server.terminate()
        server.wait()


def opened() -> closing[Browser]:
    """A browser that knows nothing yet, as a visitor's."""
    return closing(Browser(find_browser(), tempfile.mkdtemp()))


def make(browser: Browser, url: str) -> None:
    """Types, looks, makes and watches."""
    browser.open(url, 1280, 800)
    browser.wait("document.body?.dataset.ready == 'yes'", 300)
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


def look(browser: Browser, url: str, name: str, width: int) -> None:
    """Looks at what a run has made in a window of a width, once the model is drawn."""
    browser.open(url, width, 1400)
    browser.wait("document.body?.dataset.ready == 'yes'", 300)
    browser.wait("!!document.querySelector('#objects iframe')", 300)
    end = time.monotonic() + 300.0
    while browser.screenshot("#objects iframe").convert("L").getextrema()[0] > 200:
        assert time.monotonic() < end, "the object is not to be seen"
        time.sleep(1.0)
    browser.evaluate("scrollTo(0, 0)")
    keep(browser, name)


def keep(browser: Browser, name: str) -> None:
    """Keeps what the window shows, in few bytes."""
    time.sleep(5.0)
    browser.window().quantize(256, kmeans=1).save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
