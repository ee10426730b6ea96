"""The files of runs through the page: those of :data:`redream.ui.runs.SERVED`, and no others."""

import re
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse

from redream.ui.looking import LOOKS
from redream.ui.runs import SERVED
from redream.ui.safety import inside

_KINDS = {
    ".html": "text/html; charset=utf-8", ".png": "image/png", ".mp4": "video/mp4",
    ".glb": "model/gltf-binary", ".json": "application/json",
}  # fmt: skip


def add_files(app: FastAPI, out: Path) -> None:
    """Adds the routes.

    Args:
        app: The server.
        out: The output folder.
    """

    @app.get("/out/{name:path}")
    def of_a_run(name: str, download: bool = False) -> FileResponse:
        parts = name.split("/")
        tails = ["/".join(parts[-num:]) for num in (1, 2) if len(parts) > num]
        if not any(SERVED.fullmatch(each) for each in tails):
            raise HTTPException(404, "there is nothing here")
        return _file(out, name, download)

    @app.get("/looks/{look}/{name}")
    def of_a_look(look: str, name: str) -> FileResponse:
        if not re.fullmatch(r"[0-9a-f]{16}", look) or not re.fullmatch(r"asset_\d+\.png", name):
            raise HTTPException(404, "there is nothing here")
        return _file(out / LOOKS, f"{look}/{name}", False)


def sandboxed(*media: str) -> dict[str, str]:
    """Headers of what draws and does nothing else: it is from others for all that is known.

    Args:
        media: Where films may come from, in the words of a content security policy.
    """
    policy = (
        "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data: blob:; "
        f"media-src {' '.join(media)}; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    )
    return {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}


def place_of(root: Path, name: str) -> Path:
    """What a stranger's name means below a folder.

    Raises:
        HTTPException: If it would lie outside; the answer is 404.
    """
    try:
        return inside(root, name)
    except ValueError as error:
        raise HTTPException(404, str(error)) from error


def _file(root: Path, name: str, download: bool) -> FileResponse:
    path = place_of(root, name)
    if not path.is_file():
        raise HTTPException(404, "there is nothing here")
    return FileResponse(
        path,
        media_type=_KINDS.get(path.suffix, "text/plain; charset=utf-8"),
        filename=path.name if download else None,
        headers=sandboxed("data:", "'self'"),
    )
