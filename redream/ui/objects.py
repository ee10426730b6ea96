"""An object as it turns in the page: the report's own stage and viewer, a small page for each.

It stands in a frame that may do nothing but draw. Gradio's viewer would bring eight megabytes, draw
all the time and know no splats, and stays blank where its value is told twice while it loads.
"""

import base64
import re
from contextlib import suppress
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse

from redream import stage
from redream.ui.files import place_of, sandboxed
from redream.ui.runs import Run, read_run
from redream.ui.safety import inside

_MOST = 64 << 20  # bytes of a model that is turned in the page
_ARTICLE = b'<article class="card particle">'
_SPLATS = re.compile(rb'<script type="model/splats">([A-Za-z0-9+/=]*)</script>')
_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Object $place</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>$style
html, body { height: 100%; } body { padding: 0; max-width: none; }
.card { height: 100%; display: flex; flex-direction: column; border: 0; border-radius: 0; }
.stage { flex: 1; min-height: 0; max-height: none; aspect-ratio: auto; overflow: hidden; }
</style></head><body><article class="card particle" data-still>
<div class="stage">$shown</div><div class="bar"><strong>Object $place</strong>$tabs</div>
</article><script>$splats$viewer</script></body></html>
""")


def add_objects(app: FastAPI, out: Path) -> None:
    """Adds the route.

    Args:
        app: The server.
        out: The output folder.
    """

    @app.get("/object/{place}/{name:path}")
    def of_a_run(place: int, name: str) -> HTMLResponse:
        folder = place_of(out, name)
        if not folder.is_dir():
            raise HTTPException(404, "there is no such run")
        run = read_run(out.resolve(), folder)
        if not 0 <= place < run.num_objects:
            raise HTTPException(404, "there is no such object")
        root = "../" * (2 + name.count("/"))
        return HTMLResponse(object_page(run, place, root), headers=sandboxed("'self'"))


def object_page(run: Run, place: int, root: str) -> str:
    """The page of an object.

    Args:
        run: Its run.
        place: Its number.
        root: The way from the page's address to the server's root.
    """
    shapes = _shapes(run, place)
    film, video = f"turntable_{place}.mp4", ""
    if film in run.films:
        hidden = "hidden" if shapes else ""
        address = escape(f"{root}out/{run.address}/{film}")
        video = f'<video src="{address}" controls loop muted playsinline {hidden}></video>'
    scripts = files("redream") / "export" / "page"
    return _PAGE.substitute(
        place=place,
        style=(scripts / "report.css").read_text("utf-8"),
        shown=video + (stage.canvas(place, shapes) if shapes else ""),
        tabs=stage.tabs(place, shapes, bool(video)) if shapes else "",
        splats=(scripts / "splats.js").read_text("utf-8") if stage.SPLATS in shapes else "",
        viewer=(scripts / "viewer.js").read_text("utf-8"),
    )


def _shapes(run: Run, place: int) -> dict[str, str]:
    """What can be turned of an object, as base64."""
    shapes = {}
    splats = _splats(run.folder / "report.html", place)
    if splats:
        shapes[stage.SPLATS] = splats
    model = f"particle_{place}.glb"
    if model in run.glbs:
        with suppress(ValueError, OSError):  # a link that leads elsewhere is not followed
            path = inside(run.folder, model)
            if path.stat().st_size <= _MOST:
                shapes[stage.MODEL] = base64.b64encode(path.read_bytes()).decode()
    return shapes


def _splats(report: Path, place: int) -> str:
    """The splats of an object as the report holds them, packed for its viewer; empty where none."""
    try:
        if report.stat().st_size > 4 * _MOST:
            return ""
        articles = report.read_bytes().split(_ARTICLE)[1:]
    except OSError:
        return ""
    found = _SPLATS.search(articles[place]) if place < len(articles) else None
    return found[1].decode() if found else ""
