"""Installs the built extension in a Blender of its own, as a user does; tools of the scripts."""

import json
import os
import sys
import time
from pathlib import Path

import bpy

TOLD = json.loads(Path(sys.argv[-1]).read_text("utf-8"))


def install():
    """Installs the archive from the disk and enables it; its package."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.extensions.package_install_files(
        filepath=TOLD["archive"], repo="user_default", enable_on_install=True
    )
    return sys.modules["bl_ext.user_default.redream"]


def choose(package, **chosen):
    """Sets preferences."""
    for name, value in chosen.items():
        setattr(bpy.context.preferences.addons[package.__name__].preferences, name, value)


def until(package, holds, seconds=300.0):
    """Lets the timer's function run, as Blender's own loop does, until something holds."""
    end, watching = time.monotonic() + seconds, package.watching
    while watching.tick() is not None:
        if holds(watching.current()):
            return
        assert time.monotonic() < end, vars(watching.current().progress)
        time.sleep(0.02)
    raise AssertionError(f"the run has ended: {watching.said()}")


def described(shown):
    """What an object is."""
    points = [shown.matrix_world @ vertex.co for vertex in shown.data.vertices]
    return {
        "name": shown.name,
        "origin": list(shown.matrix_world.translation),
        "rotation": list(shown.rotation_euler),
        "low": [min(axis) for axis in zip(*points, strict=True)],
        "high": [max(axis) for axis in zip(*points, strict=True)],
        "points": [list(point) for point in points] if len(points) < 100 else [],
        "faces": len(shown.data.polygons),
        "materials": [slot.material.name for slot in shown.material_slots],
        "uvs": [each.name for each in shown.data.uv_layers],
        "selected": shown.select_get(),
        "says": {key: value for key, value in shown.items() if isinstance(value, str)},
    }


def meshes():
    """All objects of the scene with a surface, by name."""
    shown = [each for each in bpy.context.scene.objects if each.type == "MESH"]
    return [described(each) for each in sorted(shown, key=lambda each: each.name)]


def answer(**what):
    """Hands back what was found, and leaves: Blender 4.2 as a module crashes as it is torn down."""
    Path(TOLD["answer"]).write_text(json.dumps(what), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)
