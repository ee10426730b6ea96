"""``report.html``: one self-contained page that shows what a run made, and from what."""

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from redream import stage
from redream.assets.attribution import are_of_several
from redream.cameras import view_names
from redream.export.charts import Curve, chart, front_chart
from redream.export.turntable import png_bytes
from redream.files import whole_file
from redream.measures import HIGHER, LOWER, Reading, read_all, read_measure, show_number, words_of
from redream.types import Asset

# No request can leave the page, whatever a caption says.
_POLICY = (
    "default-src 'none'; img-src data: blob:; media-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


class ParticlePage(NamedTuple):
    """What the report shows of one particle.

    Attributes:
        views: Pictures in [0, 1] from ``azimuth_deg``.
        azimuth_deg: Azimuth of each picture.
        glb: The exported model, or None where there is no surface.
        film: The turntable as an mp4.
        splats: The splats that it is made of, as :mod:`redream.export.splat_page` packs them, at
            the model's place; or None.
        measures: Metrics by name.
        model: What the model consists of and how true it is; empty where there is none.
        note: Said instead of the model where there is none.
        front: How surely the front is seen: azimuth and certainty, azimuths ascending from 0; empty
            where nobody judged.
        front_arc_deg: Width of the arc in which it should be.
    """

    views: Float[Tensor, "B 3 H W"]
    azimuth_deg: Float[Tensor, " B"]
    glb: bytes | None
    film: bytes
    measures: Mapping[str, float]
    note: str = ""
    model: Mapping[str, float] = MappingProxyType({})
    splats: bytes | None = None
    front: Sequence[tuple[float, float]] = ()
    front_arc_deg: float = 90.0


class Report(NamedTuple):
    """Everything that the page shows.

    Attributes:
        prompt: The user's prompt.
        summary: Facts of the run by name, for instance ``{"steps": "600"}``.
        particles: The particles.
        assets: The retrieved assets, best first, each with a picture where there is one.
        losses: Loss curves by name.
        config: The run's configuration as YAML; empty where it is unknown.
        samples: What the 2D prior, raw, paints for the prompt: pictures in [0, 1], shown beside
            each particle.
        image: The picture that the object was to look like, as PNG; empty where there was none.
    """

    prompt: str
    summary: Mapping[str, str]
    particles: list[ParticlePage]
    assets: list[tuple[Asset, Float[Tensor, "3 H W"] | None]]
    losses: Mapping[str, Curve]
    config: str = ""
    samples: Sequence[Float[Tensor, "3 H W"]] = ()
    image: bytes = b""


def write_report(report: Report, path: Path) -> None:
    """Writes the page, whole or not at all.

    Args:
        report: What to show.
        path: An ``.html`` file.
    """
    page = files("redream.export") / "page"
    charts = "".join(chart(name, curve) for name, curve in report.losses.items() if curve)
    several = are_of_several([asset for asset, _ in report.assets])
    assets = "".join(_asset(asset, picture, several) for asset, picture in report.assets)
    has_splats = any(particle.splats is not None for particle in report.particles)
    retrieved = any(asset.scores for asset, _ in report.assets)
    html = Template((page / "report.html").read_text("utf-8")).substitute(
        policy=_POLICY,
        title=escape(f"{report.prompt} - ReDream"),
        style=(page / "report.css").read_text("utf-8"),
        splats=(page / "splats.js").read_text("utf-8") if has_splats else "",
        viewer=(page / "viewer.js").read_text("utf-8"),
        prompt=escape(report.prompt),
        summary=_facts(report.summary),
        particles="".join(
            _particle(i, particle, _samples(report.samples))
            for i, particle in enumerate(report.particles)
        ),
        models=_section("Models", "card", _models(report.particles)),
        image=_section("What it was to look like", "assets", _shown(report.image)),
        retrieved=_section("Retrieved assets" if retrieved else "Your assets", "assets", assets),
        meanings=_meanings(report.particles),
        losses=_section("Losses", "charts", charts),
        config=(
            f'<details><summary>Configuration</summary><pre class="card">{escape(report.config)}'
            "</pre></details>"
            if report.config
            else ""
        ),
    )
    with whole_file(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def describe_model(model: Mapping[str, float]) -> str:
    """A model in a few words, for the end of a command."""
    watertight = "watertight" if model["is_watertight"] else "not watertight"
    return (
        f"{show_number(model['num_faces'])} faces, {watertight}, "
        f"PSNR {model['psnr_db']:.1f} dB to its particle"
    )


def _models(particles: list[ParticlePage]) -> str:
    """A table with a row per model."""
    rows = [(i, page.model) for i, page in enumerate(particles) if page.model]
    if not rows:
        return ""
    head = "".join(
        f'<th title="{escape(_hint(reading))}">{escape(reading.name)}{_arrow(reading)}</th>'
        for reading in (read_measure(key, value) for key, value in rows[0][1].items())
    )
    body = "".join(
        f"<tr><td>{i}</td>"
        + "".join(f"<td>{escape(read_measure(*each).value)}</td>" for each in model.items())
        + "</tr>"
        for i, model in rows
    )
    return f"<table><thead><tr><th>Particle</th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _samples(pictures: Sequence[Float[Tensor, "3 H W"]]) -> str:
    """What the particle is to be compared with: flat pictures by the prior alone."""
    if not pictures:
        return ""
    images = "".join(f'<img src="{_picture(each)}" alt="">' for each in pictures)
    caption = "<figcaption>what the 2D prior paints</figcaption>"
    return f'<figure class="samples">{images}{caption}</figure>'


def _particle(index: int, particle: ParticlePage, samples: str) -> str:
    film = f'<video src="{_data(particle.film, "video/mp4")}" loop muted autoplay playsinline'
    note = f'<span class="soft">{escape(particle.note)}</span>' if particle.glb is None else ""
    shapes = _shapes(particle)
    if not shapes:
        shown, tabs = f'{film} title="{escape(particle.note)}"></video>', note
    else:
        shown = f"{film} hidden></video>{stage.canvas(index, shapes)}"
        tabs = note + stage.tabs(index, shapes)
    views = "".join(
        f'<figure><img src="{_picture(view)}" alt="{name} view at {azimuth:.0f} degrees">'
        f"<figcaption>{azimuth:.0f}&deg; {name}</figcaption></figure>"
        for view, azimuth, name in zip(
            particle.views,
            particle.azimuth_deg.remainder(360.0).tolist(),
            view_names(particle.azimuth_deg),
            strict=True,
        )
    )
    front = front_chart(particle.front, particle.front_arc_deg) if particle.front else ""
    return (
        '<article class="card particle">'
        f'<div class="look"><div class="stage">{shown}</div>{samples}</div>'
        f'<div class="bar"><strong>Particle {index}</strong>{tabs}</div>'
        f'<div class="views">{views}</div>{_measures(particle.measures)}'
        f"{front}</article>"
    )


def _measures(measures: Mapping[str, float]) -> str:
    """What was found, each with where better is; and below it, apart, how it was measured."""
    found, settings = read_all(measures)
    if not measures:
        return ""
    rows = "".join(
        f'<div title="{escape(_hint(each))}"><dt>{escape(each.name)}</dt>'
        f'<dd><b>{escape(each.value)}</b><span class="soft">{escape(each.words.better)}</span>'
        "</dd></div>"
        for each in found
    )
    told = {each.name: each.value for each in settings}
    how = f'<p class="settings">measured with {_facts(told)}</p>' if told else ""
    return f'<dl class="measures">{rows}</dl>{how}'


def _meanings(particles: list[ParticlePage]) -> str:
    """What each of the page's numbers says, for whoever asks."""
    keys = dict.fromkeys(
        key for page in particles for part in (page.measures, page.model) for key in part
    )
    told = [words_of(key) for key in keys]
    lines = "".join(
        f"<dt>{escape(each.name)}</dt><dd>{escape(each.hint)}</dd>" for each in told if each.hint
    )
    if not lines:
        return ""
    return (
        '<details class="meanings"><summary>What the numbers mean</summary>'
        f'<dl class="card">{lines}</dl></details>'
    )


def _hint(reading: Reading) -> str:
    return ": ".join(filter(None, (reading.words.better, reading.words.hint)))


def _arrow(reading: Reading) -> str:
    """Where better is, as one sign."""
    return {HIGHER: " &uarr;", LOWER: " &darr;"}.get(reading.words.better, "")


def _shapes(particle: ParticlePage) -> dict[str, str]:
    shapes = {stage.SPLATS: particle.splats, stage.MODEL: particle.glb}
    return {
        kind: base64.b64encode(shape).decode()
        for kind, shape in shapes.items()
        if shape is not None
    }


def _shown(png: bytes) -> str:
    """The picture beside the prompt."""
    if not png:
        return ""
    image = f'<img src="{_data(png, "image/png")}" alt="the picture">'
    return f'<figure class="card asset">{image}</figure>'


def _asset(
    asset: Asset, picture: Float[Tensor, "3 H W"] | None, is_of_several: bool = False
) -> str:
    """A card of an asset; its source is named where there are several, or it is no usual one."""
    image = f'<img src="{_picture(picture)}" alt="">' if picture is not None else ""
    read = [read_measure(key, score) for key, score in asset.scores.items()]
    scores = " &middot; ".join(
        f'<span title="{escape(_hint(each))}">{escape(each.name)} {escape(each.value)}</span>'
        for each in read
    )
    source = "; ".join(map(_source, asset.source.split("; ")))
    license_name = escape(_license_name(asset.license))
    usual = asset.origin in ("library", "own") and not is_of_several
    origin = "" if usual else escape({"own": "your own"}.get(asset.origin, asset.origin))
    scored = " &middot; ".join(filter(None, (origin, scores)))
    lines = (scored, f"{license_name} &middot; {escape(asset.author)}", source)
    return (
        f'<figure class="card asset">{image}<figcaption><p>{escape(asset.caption)}</p>'
        + "".join(f'<p class="soft">{line}</p>' for line in lines if line)
        + "</figcaption></figure>"
    )


def _source(text: str) -> str:
    """A link where it is one; an asset that was made of several has a source of each."""
    escaped = escape(text)
    if text.startswith(("https://", "http://")):
        return f'<a href="{escaped}" rel="noreferrer">source</a>'
    return escaped


def _license_name(code: str) -> str:
    """Spells a Creative Commons code as people know it; leaves other licences alone."""
    if code == "unknown":
        return "licence unknown"
    return {"cc0": "CC0"}.get(code, f"CC {code.upper()}" if code.startswith("by") else code)


def _section(title: str, css_class: str, content: str) -> str:
    if not content:
        return ""
    return f'<section><h2>{title}</h2><div class="{css_class}">{content}</div></section>'


def _facts(facts: Mapping[str, str]) -> str:
    return "".join(
        f"<span>{escape(name)} <b>{escape(value)}</b></span>" for name, value in facts.items()
    )


def _picture(picture: Float[Tensor, "3 H W"]) -> str:
    return _data(png_bytes(picture), "image/png")


def _data(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def write_json(values: object, path: Path) -> None:
    """Writes JSON, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
