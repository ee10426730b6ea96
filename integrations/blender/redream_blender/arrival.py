"""What a run has made, on its way in: at a place, origin at its base, upright, facing front.

A GLB of ReDream stands on its origin, in metres, +Y up, and faces +Z. Blender's importer makes that
+Z up and facing -Y, its own front, in the scene's unit; authors and licences, which stand in the
extras of the nodes, become custom properties.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy

_APART = 1.1  # of the widths of two objects that stand side by side


def arrive(
    models: Sequence[Path], place: Sequence[float], name: str, run: Path | None = None
) -> list[Any]:
    """Imports models, the first at a place and the others beside it, toward +X.

    Args:
        models: GLB files.
        place: Where the first one's base goes, in the scene's units.
        name: What an object is called that is a model's only one; empty leaves its own name.
        run: The run's folder, for a custom property.

    Returns:
        The new objects, which are selected.
    """
    arrived, right = [], 0.0
    for index, model in enumerate(models):
        known = set(bpy.data.objects)
        bpy.ops.import_scene.gltf(filepath=str(model))
        new = [each for each in bpy.data.objects if each not in known]
        bpy.context.view_layer.update()
        low, high = _sides(new)
        right = 0.0 if index == 0 else right + _APART * -low
        for each in new:
            if each.parent is None:
                each.location.x += place[0] + right
                each.location.y += place[1]
                each.location.z += place[2]
            if run is not None:
                each["run"] = str(run)
        right += _APART * high
        if name and len(new) == 1:
            new[0].name = name
        arrived += new
    for each in bpy.context.view_layer.objects:
        each.select_set(each in arrived)
    if arrived:
        bpy.context.view_layer.objects.active = arrived[0]
    bpy.context.view_layer.update()
    return arrived


def _sides(objects: Sequence[Any]) -> tuple[float, float]:
    """Where objects begin and end along x."""
    found = [
        sum(a * b for a, b in zip(each.matrix_world[0], (*corner, 1.0), strict=True))
        for each in objects
        if each.type == "MESH"
        for corner in each.bound_box
    ]
    return min(found, default=0.0), max(found, default=0.0)
