"""The selection on its way out: a GLB of what has a surface, as it stands, with who made it."""

from pathlib import Path
from typing import Any

import bpy

_HAVE_SURFACES = {"MESH", "CURVE", "SURFACE", "META", "FONT"}


def write_selection(context: Any, file: Path) -> float:  # noqa: ANN401
    """Writes the selected objects, modifiers applied, custom properties as extras.

    Args:
        context: Blender's context.
        file: The ``.glb`` file.

    Returns:
        The longest side of their bounding box in metres.

    Raises:
        ValueError: If nothing is selected that has a surface.
    """
    shown = [each for each in context.selected_objects if each.type in _HAVE_SURFACES]
    size = _longest_side(context, shown) * float(context.scene.unit_settings.scale_length)
    if size <= 0.0:
        raise ValueError("nothing with a surface is selected: select the object to start from")
    file.parent.mkdir(parents=True, exist_ok=True)
    bpy.ops.export_scene.gltf(
        filepath=str(file),
        export_format="GLB",
        use_selection=True,
        export_apply=True,
        export_extras=True,
        export_animations=False,
        export_cameras=False,
        export_lights=False,
    )
    return size


def _longest_side(context: Any, objects: list[Any]) -> float:  # noqa: ANN401
    graph = context.evaluated_depsgraph_get()
    corners = []
    for each in objects:
        drawn = each.evaluated_get(graph)
        matrix = [tuple(row) for row in drawn.matrix_world]
        corners += [
            [sum(a * b for a, b in zip(row, (*corner, 1.0), strict=True)) for row in matrix[:3]]
            for corner in drawn.bound_box
        ]
    axes = list(zip(*corners, strict=True))
    return max((max(axis) - min(axis) for axis in axes), default=0.0)
