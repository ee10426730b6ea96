import base64
import io
import json
import re
import struct
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from redream import cameras
from redream.assets.writing import glb_bytes
from redream.export.atlas import textured_mesh
from redream.export.report import ParticlePage, Report, write_report
from redream.types import Asset

VOID = {"meta", "img", "link", "br", "hr", "input", "source"}


class Page(HTMLParser):
    """Collects elements and text, and checks that every element is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def report(sphere):
    views = torch.rand(8, 3, 16, 16)
    azimuth = cameras.turntable(8).azimuth_deg
    glb = glb_bytes(textured_mesh(sphere, 8, 32))
    return Report(
        prompt='a <script>alert("dog")</script> & cat',
        summary={"steps": "600"},
        particles=[
            ParticlePage(views, azimuth, glb, b"film-0", {"clip_score": 0.31, "rank": 4.0}),
            ParticlePage(1 - views, azimuth, None, b"film-1", {}, note="no <surface>"),
        ],
        assets=[
            (
                Asset("a", "a <b>dog</b>", "by", "Ann", "https://x.org/a", scores={"text": 0.3}),
                views[0],
            ),
            (Asset("b", "a cat", "cc0", "Bob", "javascript:alert(1)"), None),
        ],
        losses={"vsd": [(1, 2.0), (2, 1.0)], "empty": []},
        config="prompt: a <dog>",
    )


@pytest.fixture
def html(report, tmp_path):
    write_report(report, tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    return (tmp_path / "report.html").read_text("utf-8")


def test_page_is_well_formed_and_needs_nothing_else(html):
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    for tag, attributes in page.elements:
        for name in ("src", "href", "poster", "srcset", "data"):
            value = attributes.get(name)
            if value is not None and not (tag == "a" and name == "href"):
                assert value.startswith("data:"), (tag, name)
    assert not page.all("link") and not page.all("iframe") and not page.all("object")
    assert "url(" not in html and "@import" not in html
    assert re.findall(r"https?://[^\"' ]+", html) == ["https://x.org/a"]  # the asset's own link
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'") and "connect-src" not in policy


def test_text_from_outside_stays_text(html):
    page = Page(html)
    assert not page.all("b")[1:] or "dog" not in "".join(page.texts["b"])
    assert "".join(page.texts["h1"]) == 'a <script>alert("dog")</script> & cat'
    assert len(page.all("script")) == 2  # the viewer and one model
    assert [a["href"] for a in page.all("a") if "href" in a] == ["https://x.org/a"]
    assert "a <b>dog</b>" in page.texts["p"]


def test_every_picture_film_and_model_is_inside(report, html):
    page = Page(html)
    images = [attributes["src"] for attributes in page.all("img")]
    assert len(images) == 2 * 8 + 1
    shown = [*report.particles[0].views, *report.particles[1].views, report.assets[0][1]]
    for source, expected in zip(images, shown, strict=True):
        png = base64.b64decode(source.removeprefix("data:image/png;base64,"))
        pixels = torch.frombuffer(
            bytearray(Image.open(io.BytesIO(png)).tobytes()), dtype=torch.uint8
        )
        error = pixels.reshape(16, 16, 3).permute(2, 0, 1) / 255.0 - expected
        assert error.abs().max() < 0.5 / 255 + 1e-6
    films = [v["src"].removeprefix("data:video/mp4;base64,") for v in page.all("video")]
    assert [base64.b64decode(film) for film in films] == [b"film-0", b"film-1"]
    models = [t for t in page.texts["script"] if "use strict" not in t]
    assert [base64.b64decode(model) for model in models] == [report.particles[0].glb]


def test_numbers_losses_and_configuration_are_shown(html):
    page = Page(html)
    assert {"600", "0.310", "4"} <= set(page.texts["b"])
    assert len(page.all("svg")) == 1
    assert page.texts["pre"] == ["prompt: a <dog>"]
    assert "no <surface>" in page.texts["span"]
    alts = [attributes["alt"] for attributes in page.all("img")][:8]
    assert alts[0] == "front view at 0 degrees"
    assert alts[4] == "back view at 180 degrees"
    assert alts[6] == "side view at 270 degrees"


def test_the_viewer_can_read_what_the_writer_writes(sphere):
    """The viewer knows tightly packed float attributes under an identity node, and no more."""
    data = glb_bytes(textured_mesh(sphere, 8, 32))
    length = struct.unpack("<I", data[12:16])[0]
    header = json.loads(data[20 : 20 + length])
    assert all("matrix" not in node and "translation" not in node for node in header["nodes"])
    assert all("byteStride" not in view for view in header["bufferViews"])
    for mesh in header["meshes"]:
        for primitive in mesh["primitives"]:
            assert primitive.get("mode", 4) == 4
            for name in ("POSITION", "NORMAL", "TEXCOORD_0"):
                accessor = header["accessors"][primitive["attributes"][name]]
                assert accessor["componentType"] == 5126 and "sparse" not in accessor
    (image,) = header["images"]
    assert image["mimeType"] == "image/png" and "bufferView" in image


def test_measures_have_the_words_that_people_read(report, tmp_path):
    measures = {"clip_score": 0.25, "a_lpips_embedded": 0.5, "a_lpips_embedded_step_deg": 7.5}
    model = {"psnr_db": 31.25, "num_faces": 24000, "is_watertight": True, "texture_size": 768}
    particle = report.particles[0]._replace(measures=measures, model=model)
    write_report(report._replace(particles=[particle]), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text("utf-8")
    page = Page(text)
    assert page.texts["dt"][:2] == ["CLIP score", "A-LPIPS (embedded)"]
    assert {"0.250", "0.500", "7.5°"} <= set(page.texts["b"])
    assert "higher is better" in page.texts["span"] and "lower is better" in page.texts["span"]
    results, settings = text.index('<dl class="measures">'), text.index('<p class="settings">')
    assert results < text.index("0.500") < settings < text.index("A-LPIPS (embedded): step")
    assert {"31.2 dB", "24,000", "yes", "768 px"} <= set(page.texts["td"])
    assert any("Janus" not in each and "cosine" in each for each in page.texts["dd"])  # the meaning
    assert "step deg" not in text and "psnr db" not in text


def test_the_curve_of_faces_has_the_front_in_its_middle(report, tmp_path):
    """Certainty 1 within the arc about azimuth 0, and 0 elsewhere, is one hill that fills it."""
    curve = [(15.0 * i, float(i <= 3 or i >= 21)) for i in range(24)]
    judged = report.particles[0]._replace(front=curve, front_arc_deg=90.0)
    write_report(report._replace(particles=[judged, report.particles[1]]), tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text("utf-8"))
    (arc,) = page.all("rect")
    (chart,) = [each for each in page.all("svg") if "front" in each["aria-label"]]
    (line,) = [each for each in page.all("polyline") if each["points"].count(",") == 25]
    points = [tuple(map(float, each.split(","))) for each in line["points"].split()]
    base = max(y for _, y in points)
    high = [x for x, y in points if y < base]
    width = float(chart["viewbox"].split()[2])
    assert (high[0] + high[-1]) / 2 == pytest.approx(width / 2, abs=0.1)
    left, right = float(arc["x"]), float(arc["x"]) + float(arc["width"])
    assert high[0] == pytest.approx(left, abs=0.2) and high[-1] == pytest.approx(right, abs=0.2)
    assert right - left == pytest.approx((width - 2) / 4, abs=0.1)
    assert points[0][0] == 1.0 and points[-1][0] == pytest.approx(width - 1)


def test_without_a_judge_there_is_no_curve(report, tmp_path):
    write_report(report, tmp_path / "r.html")
    assert "front seen" not in (tmp_path / "r.html").read_text("utf-8")


def test_the_picture_beside_the_prompt_is_shown(report, tmp_path):
    write_report(report, tmp_path / "without.html")
    assert "What it was to look like" not in (tmp_path / "without.html").read_text("utf-8")
    write_report(report._replace(image=b"a picture"), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    page = Page(text)
    assert "What it was to look like" in page.texts["h2"]
    expected = base64.b64encode(b"a picture").decode()
    assert [each["src"] for each in page.all("img")].count(f"data:image/png;base64,{expected}") == 1


def test_an_asset_of_several_sources_links_to_each(report, tmp_path):
    asset = Asset("a", "a dog", source="https://a.example/1; a scan; https://a.example/2")
    write_report(report._replace(assets=[(asset, None)]), tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    links = [each["href"] for each in page.all("a") if "a.example" in each.get("href", "")]
    assert links == ["https://a.example/1", "https://a.example/2"]


def test_a_source_is_named_where_there_are_several(report, tmp_path):
    """One library, or your own files alone, need no name; beside others each has its own."""

    def cards(*origins):
        assets = [(Asset(each, "a dog", origin=each), None) for each in origins]
        write_report(report._replace(assets=assets), tmp_path / "r.html")
        page = (tmp_path / "r.html").read_text("utf-8")
        return [each.partition("</figure>")[0] for each in page.split('class="card asset"')[1:]]

    told = [cards("library", "library")[0], cards("own")[0], cards("shap-e")[0]]
    words = ("library", "your own", "shap-e")
    found = [word in card for word, card in zip(words, told, strict=True)]
    assert found == [False, False, True]
    words = ("library", "your own", "a&lt;b")
    told = cards("library", "own", "a<b")
    assert [word in card for word, card in zip(words, told, strict=True)] == 3 * [True]
