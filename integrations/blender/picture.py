"""Draws runs as they arrive in Blender by the extension's own code, for docs/blender.md.

    blender/bin/python integrations/blender/picture.py --runs outputs/a outputs/b --out picture.png

The Python is one that has ``bpy``. Each object arrives on a block, where the cursor is.
"""

import argparse
import math
from pathlib import Path

import bpy
from mathutils import Vector
from redream_blender.arrival import arrive
from redream_blender.run_folder import made

_APART, _HEIGHTS = 1.5, (0.35, 0.15, 0.55, 0.25)


def painted(red: float, green: float, blue: float) -> None:
    """Gives the object that was just made a colour."""
    material = bpy.data.materials.new("paint")
    material.use_nodes = True
    surface = material.node_tree.nodes["Principled BSDF"].inputs
    surface["Base Color"].default_value, surface["Roughness"].default_value = (
        (red, green, blue, 1),
        1,
    )
    bpy.context.object.data.materials.append(material)


def ground() -> None:
    """A floor, a sky and a sun."""
    bpy.ops.mesh.primitive_plane_add(size=40.0)
    painted(0.1, 0.105, 0.12)
    bpy.ops.object.light_add(type="SUN", rotation=(math.radians(50), 0, math.radians(-35)))
    bpy.context.object.data.energy = 4.0
    bpy.context.scene.world = bpy.data.worlds.new("sky")
    bpy.context.scene.world.color = (0.25, 0.26, 0.28)


def block(x: float, height: float) -> None:
    """What an object will stand on."""
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=(x, 0.0, height / 2))
    bpy.context.object.scale = (0.9, 0.9, height)
    painted(0.22, 0.23, 0.26)


def camera(middle: float) -> None:
    """Looks from the front, Blender's -Y, and a little from the left and from above."""
    seen = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    seen.data.angle = math.radians(30.0)
    target = Vector((middle, 0.0, 0.6))
    seen.location = target + Vector((-0.25, -1.0, 0.38)) * (3.7 * (middle + 1.0))
    seen.rotation_euler = (target - seen.location).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(seen)
    bpy.context.scene.camera = seen


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, nargs="+", help="folders of runs")
    parser.add_argument("--out", type=Path, help="a .png file")
    parser.add_argument("--samples", type=int, default=16, help="of Cycles, for each pixel")
    asked = parser.parse_args()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    ground()
    for index, run in enumerate(asked.runs):
        height = _HEIGHTS[index % len(_HEIGHTS)]
        block(_APART * index, height)
        arrive(made(run).models[:1], (_APART * index, 0.0, height), run.name)
    camera(_APART * (len(asked.runs) - 1) / 2)
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", asked.samples
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.resolution_x, scene.render.resolution_y = 900, 330
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = str(asked.out.absolute())
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    main()
