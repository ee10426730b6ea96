"""The report in a real browser: the model is seen, and turns."""

import math
import time

import numpy as np
import pytest
import torch

from redream import cameras
from redream.assets.writing import glb_bytes
from redream.export.atlas import textured_mesh
from redream.export.report import ParticlePage, Report, write_report
from redream.export.splat_page import page_bytes
from redream.export.turntable import write_film
from redream.kernels.splats import splat
from redream.kernels.splats_placing import placed
from redream.kernels.splats_projection import Gaussians

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


def patient(browser, page):
    """Opens a page whose models wait for us instead of turning."""
    motion = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.call("Emulation.setEmulatedMedia", features=motion)
    browser.call("Page.navigate", url=page)
    end = time.monotonic() + 120.0
    while True:
        if browser.evaluate(
            f"document.readyState == 'complete' && !!document.querySelector('{CANVAS}')"
        ):
            picture = browser.screenshot(CANVAS)
            if sum(seen(picture)) > 0.1 or time.monotonic() > end:
                return picture
        time.sleep(0.2)


def after_a_frame(browser):
    browser.evaluate(
        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def turned(browser, times):
    """What is seen after some strokes of an arrow key, 0.15 radians each."""
    browser.evaluate(f"document.querySelector('{CANVAS}').focus()")
    for _ in range(times):
        for kind in ("rawKeyDown", "keyUp"):
            browser.call(
                "Input.dispatchKeyEvent", type=kind, key="ArrowLeft", code="ArrowLeft",
                windowsVirtualKeyCode=37,
            )  # fmt: skip
    after_a_frame(browser)
    return browser.screenshot(CANVAS)


def test_the_model_is_seen_and_turns(browser, page):
    before = patient(browser, page)
    red, blue = seen(before)
    assert red > 0.02 and blue > 0.02
    still = browser.screenshot(CANVAS)
    assert np.abs(np.asarray(still).astype(int) - np.asarray(before)).mean() < 1.0
    after = turned(browser, 10)  # 86 degrees
    assert sum(seen(after)) > 0.1
    assert abs(seen(after)[0] - red) > 0.5 * red  # it has turned away
    assert browser.complaints == []


def test_the_prior_s_samples_stand_beside_the_model_and_the_film_plays(browser, sphere, tmp_path):
    views = torch.rand(8, 3, 16, 16)
    write_film(torch.rand(8, 3, 64, 64), tmp_path / "film.mp4", 8)
    film, azimuths = (tmp_path / "film.mp4").read_bytes(), cameras.turntable(8).azimuth_deg
    model = glb_bytes(textured_mesh(sphere, 8, 32))
    particles = [ParticlePage(views, azimuths, model, film, {}) for _ in range(2)]
    red = torch.tensor([0.9, 0.0, 0.0]).view(3, 1, 1).expand(3, 64, 64)
    report = Report("a ball", {}, particles, [], {}, samples=[red, red])
    write_report(report, tmp_path / "report.html")
    browser.call("Page.navigate", url=(tmp_path / "report.html").as_uri())
    end, ready = time.monotonic() + 120.0, False
    while not ready and time.monotonic() < end:
        time.sleep(0.2)
        ready = browser.evaluate(
            "document.readyState == 'complete' && document.querySelectorAll('video').length == 2 &&"
            "Array.from(document.querySelectorAll('video')).every(v => v.videoWidth == 64)"
        )
    assert ready
    assert browser.evaluate("document.querySelectorAll('.particle .samples').length") == 2
    words = browser.evaluate("document.querySelector('.samples').innerText")
    assert words.strip() == "what the 2D prior paints"
    beside = browser.evaluate(
        "(() => { const [a, b] = ['.samples', '.stage'].map(name =>"
        "document.querySelector(name).getBoundingClientRect());"
        "return a.left >= b.right - 1 && a.width > 60 && b.width > 2 * a.width &&"
        "a.top < b.bottom && document.querySelectorAll('.stage')[0].offsetHeight > 100; })()"
    )
    assert beside
    assert seen(browser.screenshot(".samples"))[0] > 0.3  # under them, the caption and room
    assert browser.complaints == []


def clouds():
    """Needles and plates, faint and solid, red in front of blue and blue in front of red."""
    generator = torch.Generator().manual_seed(0)
    num = 300
    means = 0.5 * torch.nn.functional.normalize(torch.randn(num, 3, generator=generator), dim=1)
    scales = 0.04 * torch.exp(torch.randn(num, 3, generator=generator).clamp(-1.5, 1.0))
    red = (means[:, :1] > 0.0).float()
    colors = torch.cat([0.1 + 0.8 * red, torch.full((num, 1), 0.1), 0.9 - 0.8 * red], 1)
    return Gaussians(
        means,
        scales,
        torch.nn.functional.normalize(torch.randn(num, 4, generator=generator), dim=1),
        0.1 + 0.9 * torch.rand(num, generator=generator),
        ((colors - 0.5) / 0.28209479)[:, None],
    )


def as_the_kernels_draw(splats, azimuth, height, width):
    """The picture of the page's camera over black, as numbers up to 255."""
    low, high = splats.means.amin(0), splats.means.amax(0)
    middle, radius = (low + high) / 2.0, float((high - low).norm() / 2.0)
    distance = 0.96 * radius * math.hypot(1.0 / math.tan(math.radians(20.0)), 1.0)
    place = [math.degrees(azimuth), math.degrees(0.26), distance, 40.0]
    camera = cameras.orbit(*(torch.tensor([each]) for each in place))
    seen = splat(placed(splats, 1.0, -middle), camera, height, width)
    return 255.0 * seen.color[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("surface", [False, True], ids=["alone", "beside a mesh"])
def test_splats_look_as_the_kernels_draw_them_from_everywhere(browser, surface, sphere, tmp_path):
    splats, views = clouds(), torch.rand(8, 3, 16, 16)
    write_film(views, tmp_path / "film.mp4", 8)
    film = (tmp_path / "film.mp4").read_bytes()
    glb = None
    if surface:  # of the same bounding box, so that the camera is the same
        mesh = textured_mesh(sphere, 8, 32)
        low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
        share = (mesh.vertices - low) / (high - low)
        box = splats.means.amin(0), splats.means.amax(0)
        glb = glb_bytes(mesh._replace(vertices=box[0] + share * (box[1] - box[0])))
    azimuths = cameras.turntable(8).azimuth_deg
    particle = ParticlePage(views, azimuths, glb, film, {}, splats=page_bytes(splats))
    write_report(Report("a ball", {}, [particle], [], {}), tmp_path / "report.html")
    patient(browser, (tmp_path / "report.html").as_uri())
    browser.evaluate("document.querySelector('.stage').style.background = '#000'")
    after_a_frame(browser)
    for strokes, azimuth in ((0, 0.5), (10, 2.0), (10, 3.5)):
        shown = np.asarray(turned(browser, strokes)).astype(float)
        wanted = as_the_kernels_draw(splats, azimuth, *shown.shape[:2])
        error = np.abs(shown - wanted)[8:-8, 8:-8]  # the focus has an outline
        assert wanted.mean() > 20.0
        assert error.mean() < 1.0 and np.quantile(error, 0.999) < 12.0, azimuth
    tabs = "Array.from(document.querySelectorAll('.tabs button'))"
    names = browser.evaluate(f"{tabs}.map(tab => tab.textContent).join()")
    assert names == ("Splats,Model,Shape,Turntable" if surface else "Splats,Turntable")
    if surface:
        browser.evaluate(f"{tabs}[2].click()")
        after_a_frame(browser)
        assert sum(seen(browser.screenshot(CANVAS))) < 0.05  # clay
        browser.evaluate(f"{tabs}[0].click()")
        after_a_frame(browser)
        again = np.asarray(browser.screenshot(CANVAS)).astype(float)
        assert np.abs(again - shown).mean() < 0.5
    assert browser.complaints == []
