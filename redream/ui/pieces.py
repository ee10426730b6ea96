"""The page's own HTML, piece by piece; whatever a stranger has said stays text."""

import shlex
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from html import escape
from typing import Any
from urllib.parse import quote

from redream.measures import Reading, read_all, read_measure
from redream.ui.looking import Found
from redream.ui.processes import PATIENCE_S
from redream.ui.runs import NAMES, Run, step_of

_LICENSES = {"unknown": "licence unknown", "cc0": "CC0"}


def link(run: Run, name: str, version: float = 0.0) -> str:
    """The address of a file of a run."""
    tail = f"?v={version:.3f}" if version else ""
    return f"out/{run.address}/{quote(name)}{tail}"


def alert(said: str) -> str:
    """A refusal, which a screen reader says at once; empty where there is none."""
    return f'<p class="rd-alert" role="alert">{escape(said)}</p>' if said else ""


def license_name(code: str) -> str:
    """A licence's code as people know it."""
    spelled = f"CC {code.upper()}" if code.startswith("by") else code
    return _LICENSES.get(code, spelled)


def asset_card(found: Found, place: int) -> str:
    """An asset that was found: picture, caption, scores, author and licence."""
    shown = escape(found.picture.removeprefix("."))
    picture = f'<img src="{shown}" alt="" loading="lazy">' if shown else ""
    scores = " &middot; ".join(
        f'<span title="{escape(each.words.hint)}">{escape(each.name)} {escape(each.value)}</span>'
        for each in (read_measure(key, value) for key, value in found.scores.items())
    )
    whose = f"{escape(license_name(found.license))} &middot; {escape(found.author)}"
    source = escape(found.source)
    if found.source.startswith(("https://", "http://")):
        source = f'<a href="{source}" rel="noreferrer noopener" target="_blank">source</a>'
    lines = "".join(f"<p>{each}</p>" for each in (scores, whose, source) if each)
    return (
        f'<figure class="rd-asset" data-uid="{escape(found.uid)}">'
        f'<div class="rd-picture">{picture}<b>{place}</b></div>'
        f"<figcaption><strong>{escape(found.caption)}</strong>{lines}</figcaption></figure>"
    )


def run_cards(runs: Sequence[Run], places: Mapping[Any, int], chosen: str = "") -> str:
    """All runs as links with pictures."""
    if not runs:
        return '<p class="rd-soft">Nothing has been made here yet.</p>'
    cards = []
    for run in runs:
        sheet = run.sheet
        picture = f'<img src="{link(run, sheet)}" alt="" loading="lazy">' if sheet else ""
        state = _doing(run)
        if run.folder in places:
            state = f"{state}, {_place(places[run.folder])}"
        current = ' aria-current="true"' if run.name == chosen else ""
        cards.append(
            f'<a class="rd-run" href="?run={quote(run.name)}"{current}>'
            f'<span class="rd-thumb">{picture}</span><strong>{escape(run.prompt)}</strong>'
            f'<span class="rd-soft">{_dot(run)}{escape(state)} &middot; {_when(run.time)}'
            "</span></a>"
        )
    return f'<nav class="rd-runs" aria-label="Runs">{"".join(cards)}</nav>'


def progress(run: Run, place: int = 0) -> str:
    """Where a run is: its stage, a bar, the time left and the losses."""
    status = run.status
    head = f"{_dot(run)}<strong>{escape(_doing(run))}</strong>"
    facts, bar = [], ""
    if run.state == "queued" and place:
        facts.append(_place(place))
    if status is not None and run.state in ("training", "stopped", "failed", "exporting"):
        facts.append(escape(status.stage))
        if status.steps:
            share = min(1.0, status.step / status.steps)
            facts.append(f"step {status.step:,} of {status.steps:,}")
            bar = (
                f'<progress max="1" value="{share:.4f}" '
                f'aria-label="{100 * share:.0f} percent of the steps"></progress>'
            )
        if status.seconds_left is not None and run.state == "training":
            left = timedelta(seconds=round(status.seconds_left))
            facts.append(f"<b>{left}</b> left")
    if run.asked and time.time() - run.asked >= PATIENCE_S:
        facts.append("Stop once more ends it at once: the steps since its last checkpoint are lost")
    losses = ""
    if status is not None and run.state == "training":
        each = "".join(
            f"<span>{escape(name)} <b>{value:.3g}</b></span>"
            for name, value in status.losses.items()
        )
        losses = f'<p class="rd-soft rd-losses">{each}</p>'
    told = " &middot; ".join(filter(None, facts))
    why = f'<p class="rd-alert" role="alert">{escape(run.error)}</p>' if run.error else ""
    return (
        f'<div class="rd-progress" data-run="{escape(run.name)}" data-state="{run.state}">'
        f"<h2>{escape(run.prompt)}</h2>"
        f'<p role="status">{head} <span class="rd-soft">{told}</span></p>{bar}{losses}{why}</div>'
    )


def sheet(run: Run) -> str:
    """The contact sheet, the newest."""
    name = run.sheet
    if not name:
        return ""
    return (
        f'<figure class="rd-sheet"><img src="{link(run, name)}" alt="All objects from all '
        f'around, as they are now"><figcaption class="rd-soft">all objects from all around, step '
        f"{step_of(name):,}</figcaption></figure>"
    )


def objects(run: Run) -> str:
    """Each object in a frame of its own, to be turned; see :mod:`redream.ui.objects`."""
    frames = "".join(
        f'<iframe class="rd-object" sandbox="allow-scripts allow-downloads" loading="lazy" '
        f'src="object/{place}/{run.address}?v={run.made:.3f}" '
        f'title="Object {place}: drag to turn it"></iframe>'
        for place in range(run.num_objects)
    )
    return f'<div class="rd-objects">{frames}</div>' if frames else ""


def results(run: Run) -> str:
    """Numbers, licences and downloads of a run that has made something."""
    return _numbers(run.measures) + _licences(run) + _downloads(run)


def report(run: Run) -> str:
    """The report in a frame that may do nothing but draw; splats turn there."""
    if not run.has("report.html"):
        return ""
    return (
        f'<iframe class="rd-report" sandbox="allow-scripts allow-downloads" loading="lazy" '
        f'src="{link(run, "report.html")}" title="Report"></iframe>'
    )


def command(options: Sequence[str]) -> str:
    """The ordinary command of a run, to be typed elsewhere."""
    words = " ".join(["redream fit", *map(shlex.quote, options)])
    return f'<pre class="rd-command" tabindex="0">{escape(words)}</pre>'


def beside(runs: Sequence[Run]) -> str:
    """Runs side by side: film, sheet and numbers, row by row."""
    columns = "".join(
        f"<section><h3>{escape(run.prompt)}</h3>"
        + (
            f'<video src="{link(run, run.films[0])}" controls loop muted playsinline '
            f'aria-label="Film"></video>'
            if run.films
            else ""
        )
        + sheet(run)
        + "</section>"
        for run in runs
    )
    return f'<div class="rd-beside">{columns}</div>{_compared(runs)}'


def _numbers(measures: Mapping[str, Any]) -> str:
    """A table of what was measured, an object a column, settings apart below it."""
    rows, settings = _rows([_of_object(measures, place) for place in range(_num(measures))])
    if not rows:
        return ""
    num = _num(measures)
    heads = "".join(f"<th>{f'object {place}' if num > 1 else ''}</th>" for place in range(num))
    return _table(heads, rows) + settings


def _compared(runs: Sequence[Run]) -> str:
    """The first object's numbers of each run."""
    rows, settings = _rows([_of_object(run.measures, 0) for run in runs])
    heads = "".join(f"<th>{escape(run.prompt)}</th>" for run in runs)
    return _table(heads, rows) + settings if rows else ""


def _rows(columns: Sequence[Mapping[str, float]]) -> tuple[str, str]:
    """Rows of a table of measures, and a line of their settings."""
    keys = dict.fromkeys(key for column in columns for key in column)
    rows, told = [], dict[str, Reading]()
    for key in keys:
        cells = [read_all({key: column[key]}) if key in column else ([], []) for column in columns]
        found = [each[0][0] for each in cells if each[0]]
        told |= {each[1][0].name: each[1][0] for each in cells if each[1]}
        if found:
            words = found[0].words
            values = "".join(
                f"<td>{escape(each[0][0].value) if each[0] else '&ndash;'}</td>" for each in cells
            )
            rows.append(
                f'<tr title="{escape(words.hint)}"><th scope="row">{escape(found[0].name)}'
                f"<small>{escape(words.better)}</small></th>{values}</tr>"
            )
    how = " ".join(f"<span>{escape(e.name)} <b>{escape(e.value)}</b></span>" for e in told.values())
    line = f'<p class="rd-soft rd-settings">measured with {how}</p>' if how else ""
    return "".join(rows), line


def _table(heads: str, rows: str) -> str:
    return (
        f'<div class="rd-scroll" tabindex="0"><table class="rd-table"><thead><tr><td></td>{heads}'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _num(measures: Mapping[str, Any]) -> int:
    found = measures.get("particles")
    return len(found) if isinstance(found, list) else 0


def _of_object(measures: Mapping[str, Any], place: int) -> dict[str, float]:
    """What was measured on an object and its model; only numbers."""
    found: dict[str, float] = {}
    for part in ("particles", "models"):
        listed = measures.get(part)
        one = listed[place] if isinstance(listed, list) and place < len(listed) else {}
        numbers = one.items() if isinstance(one, dict) else ()
        found |= {str(key): value for key, value in numbers if isinstance(value, int | float)}
    return found


def _licences(run: Run) -> str:
    """Whose assets the run was made from."""
    rows = []
    for place, each in enumerate(run.credits):
        name = f"retrieval/asset_{place}.png"
        picture = f'<img src="{link(run, name)}" alt="">' if run.has(name) else ""
        rows.append(
            f"<li>{picture}<span><strong>{escape(each['caption'])}</strong>"
            f"<br>{escape(license_name(each['license']))} &middot; {escape(each['author'])}"
            "</span></li>"
        )
    if not rows:
        return ""
    return f'<h3>Made from</h3><ul class="rd-licences">{"".join(rows)}</ul>'


def _downloads(run: Run) -> str:
    """Everything that can be taken away."""
    others = ("report.html", "attribution.md", "metrics.json", "config.yaml", "log.txt")
    names = [*run.models, *run.films, *(each for each in others if run.has(each))]
    links = "".join(
        f'<a href="{link(run, name)}?download=1" download>{escape(name)}</a>' for name in names
    )
    return f'<h3>Downloads</h3><p class="rd-downloads">{links}</p>' if links else ""


def _dot(run: Run) -> str:
    return f'<i class="rd-dot" data-state="{run.state}"></i>'


def _doing(run: Run) -> str:
    """What a run does, in people's words."""
    return "stopping ..." if run.asked else NAMES[run.state]


def _place(place: int) -> str:
    return "next" if place == 1 else f"{place - 1} before it"


def _when(seconds: float) -> str:
    return time.strftime("%d %b %H:%M", time.localtime(seconds))
