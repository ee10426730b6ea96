"""The study's page in a real browser, with raters whose preference is known."""

import csv
import time

import numpy as np
import pytest
import torch
from raters import METHODS

from redream.export.turntable import write_film
from redream.tools.study_analyse import analyse
from redream.tools.study_serve import read_key

STRENGTH = {"Ours": 1.5, "Good": 0.0, "Poor": -1.5}
NUM_RATERS = 3
# A rater who takes a second for whatever is asked: the page takes no answer within 0.3 seconds.
CLOCK = "{ let now = 0; performance.now = () => (now += 1000); }"
STATE = """(() => {
  const side = id => {
    const button = document.getElementById(id), box = button.getBoundingClientRect();
    return {film: button.querySelector("video").getAttribute("src"),
            x: box.x + box.width / 2, y: box.y + box.height / 2};
  };
  return {asked: document.querySelectorAll("#ask:not([hidden])").length, prompt:
          document.getElementById("prompt").textContent, left: side("left"), right: side("right")};
})()"""


@pytest.fixture
def films(study):
    """Real films in the place of the fabricated ones."""
    film = study / "film.mp4"
    write_film(torch.rand(8, 3, 32, 32), film, 8)
    for path in (study / "page" / "films").glob("*.mp4"):
        path.write_bytes(film.read_bytes())


def click(browser, place):
    for kind in ("mousePressed", "mouseReleased"):
        browser.call(
            "Input.dispatchMouseEvent", type=kind, x=place["x"], y=place["y"], button="left",
            clickCount=1,
        )  # fmt: skip


def press(browser, key, code):
    for kind in ("rawKeyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
        )


def rate(browser, url, key, rng, folder):
    """Answers every question, by mouse and by arrow keys in turn, and saves the answers.

    Returns:
        What was chosen, and the file that the page offers.
    """
    browser.call("Page.navigate", url=url)
    end = time.monotonic() + 60.0
    while not browser.evaluate("document.readyState == 'complete' && !!document.body.innerText"):
        assert time.monotonic() < end
    browser.evaluate("document.getElementById('begin').click()")
    chosen = []
    while (state := browser.evaluate(STATE))["asked"]:
        films = [
            state[side]["film"].split("/")[1].removesuffix(".mp4") for side in ("left", "right")
        ]
        assert {key["films"][film]["prompt"] for film in films} == {state["prompt"]}
        left, right = (STRENGTH[key["films"][film]["method"]] for film in films)
        side = int(rng.random() > 1.0 / (1.0 + np.exp(right - left)))
        chosen.append(films[side])
        if len(chosen) % 2:
            click(browser, state[("left", "right")[side]])
        else:
            press(browser, ("ArrowLeft", "ArrowRight")[side], (37, 39)[side])
    while not browser.evaluate("document.body.dataset.done || ''"):
        assert time.monotonic() < end
    assert browser.evaluate("document.getElementById('kept').textContent") == (
        "Your answers were received."
    )
    saved = folder / "answers.csv"
    saved.unlink(missing_ok=True)
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    browser.evaluate("document.getElementById('save').click()")
    while not saved.is_file():
        assert time.monotonic() < end
        time.sleep(0.05)
    return chosen, saved.read_text()


def test_what_raters_choose_is_what_the_analysis_finds(browser, served, study, films, tmp_path):
    key, rng = read_key(study), np.random.default_rng(0)
    browser.call("Page.addScriptToEvaluateOnNewDocument", source=CLOCK)
    wins = dict.fromkeys(((a, b) for a in METHODS for b in METHODS if a != b), 0)
    for _ in range(NUM_RATERS):
        chosen, saved = rate(browser, f"{served}/", key, rng, tmp_path)
        rows = list(csv.DictReader(saved.splitlines()))
        assert [row["chosen"] for row in rows] == chosen
        for row in rows:
            loser = row["left"] if row["chosen"] == row["right"] else row["right"]
            pair = tuple(key["films"][film]["method"] for film in (row["chosen"], loser))
            wins[pair] += row["again"] == "0"
    assert browser.complaints == []
    with (study / "answers.csv").open() as file:
        assert sum(1 for _ in csv.DictReader(file)) == NUM_RATERS * 39
    found = analyse(study, [study / "answers.csv"])
    assert (found.num_raters, found.num_answers) == (NUM_RATERS, NUM_RATERS * 36)
    for each in found.preferences:
        won, lost = wins[each.method, each.other], wins[each.other, each.method]
        assert each.share == pytest.approx(won / (won + lost))
    shares = {(each.method, each.other): each.share for each in found.preferences}
    assert shares["Ours", "Poor"] > 0.8
