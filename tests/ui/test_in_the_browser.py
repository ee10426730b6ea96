"""The page in a real browser, over runs that are small programs: what hands do with it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh
from chromium import Browser, find_browser
from PIL import Image
from ui_browsing import PROMPT, asks_nobody_else, opens, press_on, reach, run_of, saved, turns
from ui_runs import wait_until

pytest.importorskip("gradio")

HOSTILE = '<img src=x onerror="alert(1)">${alert(2)}{{alert(3)}}</script><b>'
STATE = "document.querySelector('.rd-progress')?.dataset.state"
TICKED = "[...document.querySelectorAll('.rd-card input')].map(e => e.checked)"
CARDS = "document.querySelectorAll('.rd-card').length"


def ball():
    """A golden ball, as a GLB."""
    mesh = trimesh.creation.icosphere(subdivisions=2)
    picture = Image.new("RGB", (4, 4), (217, 164, 31))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=picture)
    uv = np.full((len(mesh.vertices), 2), 0.5)
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return trimesh.exchange.gltf.export_glb(mesh.scene(), include_normals=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The output folder of the page, and its address."""
    if find_browser() is None:
        pytest.skip("no Chromium is installed")
    folder = tmp_path_factory.mktemp("page")
    (folder / "made").mkdir()
    (folder / "made" / "particle_0.glb").write_bytes(ball())
    command = [sys.executable, str(Path(__file__).with_name("serving.py")), str(folder)]
    environment = {**os.environ, "REDREAM_STAND_IN_MADE": str(folder / "made")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        yield folder / "out", server.stdout.readline().split()[0]
        server.terminate()


@pytest.fixture(scope="module")
def window(page, tmp_path_factory):
    """One browser for all tests."""
    opened = Browser(find_browser(), tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def looks(window, url, prompt):
    """Types a prompt and has six assets shown, of which three are ticked."""
    opens(window, url)
    window.click(PROMPT)
    window.type(prompt)
    window.click("#look")
    window.wait(f"{CARDS} == 6")
    window.wait(f"String({TICKED}) == 'true,true,true,false,false,false'")


@pytest.fixture(scope="module")
def finished(page, window):
    """The folder of a run that was made with three of six assets, by hand."""
    out, url = page
    looks(window, url, "a golden elephant")
    window.click(".rd-card input", 1)
    window.click(".rd-card input", 4)
    window.wait(f"String({TICKED}) == 'true,false,true,false,true,false'")
    window.click("#make")
    window.wait(f"{STATE} == 'finished'")
    return out / run_of(window)


def test_an_object_is_seen_at_every_visit(page, window, finished):
    """The second visit finds all scripts in the browser's cache, and is faster than the first."""
    for width in (1280, 390, 390, 390):
        opens(window, f"{page[1]}?run={finished.name}", width, 844)
        turns(window)
    assert window.evaluate("document.documentElement.scrollWidth") == 390
    saved(window, "small")
    asks_nobody_else(window, page[1])


def test_a_run_is_asked_for_again_and_compared(page, window, finished):
    opens(window, f"{page[1]}?run={finished.name}")
    window.click("#again")
    window.wait(f"document.querySelector('{PROMPT}').value == 'a golden elephant'")
    window.wait("document.querySelectorAll('.rd-card input:checked').length == 3")
    window.wait(
        "[...document.querySelectorAll('.rd-picture img')].every(e => e.naturalWidth == 256)"
    )
    window.click("button[role=tab]", 2)
    for name in ("one", "other"):
        window.click(f"#{name} input")
        options = "[...document.querySelectorAll('[role=option]')]"
        window.wait(f"{options}.filter(e => e.checkVisibility()).length > 0")
        window.press("ArrowDown", number=40)
        window.press("Enter", number=13, text="\r")
        window.wait(f"document.querySelector('#{name} input').value.includes('elephant')")
    window.wait("document.querySelectorAll('.rd-beside section').length == 2")
    assert "CLIP score" in window.evaluate("document.querySelector('#beside').innerText")
    saved(window, "compare")
    asks_nobody_else(window, page[1])


def test_files_of_ones_own(page, window, tmp_path):
    """One that is refused leaves what was found; another is taken first, and can be unticked."""
    looks(window, page[1], "a long golden elephant")
    (tmp_path / "<img src=x>.glb").write_bytes(b"glTF\2\0\0\0 and then rubbish")
    window.give_file("input[type=file]", tmp_path / "<img src=x>.glb")
    window.wait("!!document.querySelector('#said [role=alert]')")
    assert "img-src-x.glb" in window.evaluate("document.querySelector('#said').innerText")
    assert window.evaluate("document.querySelectorAll('.rd-card').length") == 6

    (tmp_path / "My Ball.glb").write_bytes(ball())
    window.give_file("input[type=file]", tmp_path / "My Ball.glb")
    window.wait(f"{CARDS} == 7")
    window.wait(f"String({TICKED}) == 'true,true,true,true,false,false,false'")
    assert "my-ball.glb" in window.evaluate("document.querySelector('.rd-card').innerText")
    saved(window, "own")
    for place in (1, 2, 3):
        window.click(".rd-card input", place)
    window.wait(f"String({TICKED}) == 'true,false,false,false,false,false,false'")
    window.click("#make")
    window.wait(f"{STATE} == 'training'")
    folder = page[0] / run_of(window)
    asked = json.loads((folder / "job.json").read_text("utf-8"))["asked"]
    assert [each.rpartition("/")[2] for each in asked["own"]] == ["my-ball.glb"]
    assert asked["chosen"] == []
    window.click("#stop")
    window.wait(f"{STATE} == 'stopped'")
    window.click("#again")
    window.wait(f"{CARDS} == 1 && String({TICKED}) == 'true'")
    assert window.evaluate(f"document.querySelector('{PROMPT}').value") == "a long golden elephant"
    asks_nobody_else(window, page[1])


def test_what_is_ticked_is_taken_however_fast_the_hand(page, window):
    """Ticks and the button within one moment: the run takes what the page shows then."""
    out, url = page
    looks(window, url, "a long golden elephant")
    cards = "document.querySelectorAll('.rd-card input')"
    window.evaluate(
        f"[0, 1, 3, 4, 5].forEach(i => {cards}[i].click()); document.querySelector('#make').click()"
    )
    asked = json.loads((out / run_of(window) / "job.json").read_text("utf-8"))["asked"]
    assert len(asked["chosen"]) == 4
    window.click("#stop")
    window.wait(f"{STATE} == 'stopped'")


def test_settings_go_with_their_preset_and_come_back(page, window):
    """A chosen preset brings its numbers before any press; asked again, a run's are kept."""
    out, url = page
    opens(window, url)
    window.click(PROMPT)
    window.type("a golden elephant")
    window.click("#settings button")
    window.click("#preset input")
    big = "[...document.querySelectorAll('[role=option]')].find(e => e.innerText.includes('big'))"
    window.wait(f"!!{big}?.checkVisibility()")
    window.evaluate(
        f"{big}.dispatchEvent(new MouseEvent('mousedown', {{bubbles: true}})); "
        "setTimeout(() => document.querySelector('#make').click(), 0)"
    )
    first = json.loads((out / run_of(window) / "job.json").read_text("utf-8"))["asked"]
    assert (first["preset"], first["settings"]) == ("big", {})
    steps = "document.querySelector('#trainer-max_steps input')"
    window.wait(f"{STATE} == 'finished'")
    window.click("#again")
    window.wait(f"{steps}?.value == '9000'")
    reach(window, "#trainer-max_steps input")
    window.press("a", "KeyA", 65, modifiers=2, commands=["selectAll"])
    window.type("77")
    before = set(out.glob("*/job.json"))
    press_on(window, "#make")
    job = added(out, before)
    assert json.loads(job.read_text("utf-8"))["asked"]["settings"] == {"trainer.max_steps": 77}
    opens(window, f"{url}?run={job.parent.name}")  # a fresh form
    window.click("#again")
    window.wait(f"document.querySelector('{PROMPT}').value == 'a golden elephant'")
    window.click("#settings button")
    window.wait(f"{steps}?.value == '77'")
    time.sleep(1.0)  # what the preset's own change brings would be here by now
    before = set(out.glob("*/job.json"))
    window.click("#make")
    asked = json.loads(added(out, before).read_text("utf-8"))["asked"]
    assert (asked["preset"], asked["settings"]) == ("big", {"trainer.max_steps": 77})


def added(out, before):
    """Waits for one more run than there was; its job."""
    wait_until(lambda: len(list(out.glob("*/job.json"))) > len(before))
    (job,) = set(out.glob("*/job.json")) - before
    return job


def test_by_the_keyboard_alone(page, window, finished):
    """Typed, refused, mended, ticked, made, stopped, gone on with, looked at and taken away."""
    out, url = page
    made = set(out.glob("*/job.json"))
    opens(window, url)
    window.wait(f"document.activeElement === document.querySelector('{PROMPT}')")
    window.type("a long golden elephant")
    press_on(window, "#settings button")
    reach(window, "#yaml textarea")
    window.type("trainer: {logger: true}")
    press_on(window, "#make")
    window.wait("document.querySelector('#said').innerText.includes('command line only')")
    reach(window, "#yaml textarea", back=True)
    window.press("a", "KeyA", 65, modifiers=2, commands=["selectAll"])
    window.type("trainer: {max_steps: 9999}")
    press_on(window, "#look")
    window.wait(f"{CARDS} == 6")
    reach(window, ".rd-card input")
    window.press(" ", "Space", 32, text=" ")
    window.wait("!document.querySelector('.rd-card input').checked")
    press_on(window, "#make", back=True)
    run_of(window)
    (job,) = set(out.glob("*/job.json")) - made
    assert len(json.loads(job.read_text("utf-8"))["asked"]["chosen"]) == 2

    window.wait(f"{STATE} == 'training'")
    press_on(window, "#stop")
    window.wait(f"{STATE} == 'stopped'")
    press_on(window, "#resume")
    window.wait(f"{STATE} == 'finished'")
    press_on(window, "a.rd-run:not([aria-current])", back=True)
    window.wait(
        f"location.search.startsWith('?run=') && !location.search.includes('{job.parent.name}')"
    )
    window.wait(f"{STATE} == 'finished'")
    turns(window)
    reach(window, ".rd-downloads a")
    asks_nobody_else(window, url)


def test_hostile_names_stay_text(page, window):
    """Of a run's folder that somebody else has made."""
    folder = page[0] / "a stranger's" / "<b>run"
    (folder / "previews").mkdir(parents=True)
    (folder / "retrieval").mkdir()
    for name in ("previews/step_000001.png", "retrieval/asset_0.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    (folder / "report.html").write_text(f"<script>parent.alert(4)</script>{HOSTILE}", "utf-8")
    asset = {key: HOSTILE for key in ("uid", "caption", "author", "license", "source")}
    measures = {"prompt": HOSTILE, "particles": [{HOSTILE: 1.0}], "models": [], "assets": [asset]}
    (folder / "metrics.json").write_text(json.dumps(measures), "utf-8")
    (folder / "particle_0.obj").write_text("v 0 0 0\n")
    opens(window, page[1])
    window.click("button[role=tab]", 1)
    window.wait("!!document.querySelector('.rd-runs')?.innerText.includes('alert')")
    place = window.evaluate(
        "[...document.querySelectorAll('a.rd-run')].findIndex(e => e.innerText.includes('alert'))"
    )
    window.click("a.rd-run", place)
    window.wait("document.querySelector('.rd-progress h2')?.innerText.includes('alert(1)')")
    window.wait("document.querySelector('#results')?.innerText.includes('alert(2)')")
    assert window.evaluate("document.querySelector('.rd-progress h2').innerText") == HOSTILE
    assert window.evaluate("document.querySelectorAll('img[src=x], .rd-progress b').length") == 0
    window.click("#report button")
    window.wait("!!document.querySelector('.rd-report')")
    time.sleep(1.0)
    assert window.dialogs == []
    asked = [each for each in window.requests if each.endswith("/x")]
    assert asked == []
