"""The stage of an object: what turns in a page, its film, and buttons to choose between them.

One for the report and for the page of ``redream ui``; ``export/page/viewer.js`` brings it to life.
"""

from collections.abc import Mapping

SPLATS, MODEL = "model/splats", "model/gltf-binary"
"""Kinds of shapes: splats as :mod:`redream.export.splat_page` packs them, and GLB."""


def canvas(index: int, shapes: Mapping[str, str]) -> str:
    """What turns, and what it shows: kept in scripts of types that no browser runs.

    Args:
        index: The object's number.
        shapes: Base64 by kind.
    """
    label = f"Model of particle {index}: drag or use the arrow keys to turn it"
    return (
        f'<canvas tabindex="0" role="img" aria-label="{label}" '
        f'title="Drag to turn, double-click to start again"></canvas>'
    ) + "".join(f'<script type="{kind}">{shape}</script>' for kind, shape in shapes.items())


def tabs(index: int, shapes: Mapping[str, str], has_film: bool = True) -> str:
    """Buttons for all that can be shown; the first is shown first.

    Args:
        index: The object's number.
        shapes: Base64 by kind.
        has_film: Whether there is a film.
    """
    shown = [("splats", "Splats")] if SPLATS in shapes else []
    shown += [("model", "Model"), ("shape", "Shape")] if MODEL in shapes else []
    shown += [("film", "Turntable")] if has_film else []
    buttons = "".join(
        f'<button type="button" data-show="{show}" aria-pressed="{str(place == 0).lower()}">'
        f"{label}</button>"
        for place, (show, label) in enumerate(shown)
    )
    save = f'<a download="particle_{index}.glb" hidden>Save GLB</a>' if MODEL in shapes else ""
    return f'{save}<span class="tabs">{buttons}</span>'
