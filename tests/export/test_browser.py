"""The report in a real browser: the model is seen, and turns."""

import time

import numpy as np
import pytest
import torch

from redream import cameras
from redream.assets.writing import glb_bytes
from redream.export.atlas import textured_mesh
from redream.export.report import ParticlePage, Report, write_report
from redream.export.turntable import write_film

CANVAS = ".particle canvas"


@pytest.fixture
def page(sphere, tmp_path):
    """A report of one particle, red on one side and blue on the other."""
    colors = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.1, 0.9]])
    sphere.colors = lambda points: colors[(points[:, 0] > 0.0).long()]
    views = torch.rand(8, 3, 16, 16)
    write_film(views, tmp_path / "film.mp4", 8)
    model = glb_bytes(textured_mesh(sphere, 16, 64))
    film = (tmp_path / "film.mp4").read_bytes()
    particle = ParticlePage(views, cameras.turntable(8).azimuth_deg, model, film, {})
    write_report(Report("a ball", {}, [particle], [], {}), tmp_path / "report.html")
    return (tmp_path / "report.html").as_uri()


def seen(picture):
    """The shares of the picture that are red and blue."""
    red, _, blue = np.asarray(picture).astype(int).transpose(2, 0, 1)
    return float((red - blue > 100).mean()), float((blue - red > 100).mean())


def test_the_model_is_seen_and_turns(browser, page):
    motion = [{"name": "prefers-reduced-motion", "value": "reduce"}]  # so that it waits for us
    browser.call("Emulation.setEmulatedMedia", features=motion)
    browser.call("Page.navigate", url=page)
    end = time.monotonic() + 120.0
    while True:
        if browser.evaluate(
            f"document.readyState == 'complete' && !!document.querySelector('{CANVAS}')"
        ):
            before = browser.screenshot(CANVAS)
            if sum(seen(before)) > 0.1 or time.monotonic() > end:
                break
        time.sleep(0.2)
    red, blue = seen(before)
    assert red > 0.02 and blue > 0.02
    still = browser.screenshot(CANVAS)
    assert np.abs(np.asarray(still).astype(int) - np.asarray(before)).mean() < 1.0
    browser.evaluate(f"document.querySelector('{CANVAS}').focus()")
    for _ in range(10):  # 86 degrees
        for kind in ("rawKeyDown", "keyUp"):
            browser.call(
                "Input.dispatchKeyEvent", type=kind, key="ArrowLeft", code="ArrowLeft",
                windowsVirtualKeyCode=37,
            )  # fmt: skip
    browser.evaluate(
        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    after = browser.screenshot(CANVAS)
    assert sum(seen(after)) > 0.1
    assert abs(seen(after)[0] - red) > 0.5 * red  # it has turned away
    assert browser.complaints == []
