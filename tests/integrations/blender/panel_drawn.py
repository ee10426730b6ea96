"""Registers, draws the panel with and without a ReDream, brings models in, unregisters."""

import sys
import time
from importlib import import_module
from pathlib import Path

import bpy
from installed import TOLD, answer, choose, install, meshes


class Layout:
    """Notes what a panel draws; Blender makes a layout only inside of a window's loop."""

    def __init__(self, drawn):
        self.drawn, self.enabled, self.module = drawn, True, ""

    def __getattr__(self, kind):
        def draw(*what, text="", **_):
            self.drawn.append([kind, *[each for each in what if isinstance(each, str)], text])
            return Layout(self.drawn)

        return draw


def drawn(package):
    """What the panel draws."""
    noted = []
    panel = type("Drawn", (), {"layout": Layout(noted)})()
    package.panel.RedreamPanel.draw(panel, bpy.context)
    return noted


def fetched(place, unit):
    """What comes of a run's folder."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.context.scene.unit_settings.scale_length = unit
    bpy.context.scene.cursor.location = place
    bpy.context.scene.redream.folder = TOLD["run"]
    bpy.ops.redream.fetch()
    return meshes()


package = install()
is_registered = hasattr(bpy.types, "VIEW3D_PT_redream") and hasattr(bpy.types.Scene, "redream")
choose(package, program=TOLD["nowhere"], runs=TOLD["runs"])
missing = drawn(package)
result = bpy.ops.redream.make()
refused, without = package.watching.said(), sorted(result)
choose(package, program=TOLD["program"], configs=TOLD["configs"])
places, end = package.settings.places(), time.monotonic() + 120.0
while not all(each.is_known for each in package.settings._asked.values()):
    assert time.monotonic() < end
    time.sleep(0.1)
offered, lacking = sorted(places.presets), places.lacking
found = drawn(package)
bpy.context.scene.redream.preset = "methods/csd"
chosen = [bpy.context.scene.redream.preset]
bpy.context.scene.redream.uses_selection = True
bpy.ops.redream.make()
nothing_selected = package.watching.said()
bpy.context.scene.redream.uses_selection = False
bpy.context.scene.redream.prompt = " "
bpy.ops.redream.make()
empty_prompt = package.watching.said()
arrived = fetched((1.0, 2.0, 3.0), 1.0)
in_centimetres = fetched((0.0, 0.0, 0.0), 0.01)
choose(package, program=TOLD["patient"])  # and then Blender is closed while a run is at work
bpy.context.scene.redream.prompt, bpy.context.scene.redream.preset = "a vase", "default"
begun = sorted(bpy.ops.redream.make())
job = package.watching.current()
while not (job.folder / "ready").exists():
    assert time.monotonic() < end + 60.0
    time.sleep(0.02)
is_timed = bpy.app.timers.is_registered(package.watching.tick)
import_module("addon_utils").disable_all()  # as Blender does when it is closed
code = job._process.wait(60.0)
closed = [begun, is_timed, code, (job.folder / "checkpoints" / "last.ckpt").exists()]
closed.append(bpy.app.timers.is_registered(package.watching.tick))
answer(
    validator=str(Path(sys.modules["bl_pkg"].__file__).parent / "cli" / "blender_ext.py"),
    version=list(bpy.app.version),
    is_registered=is_registered,
    missing=missing,
    refused=refused,
    without=without,
    found=found,
    offered=offered,
    lacking=lacking,
    closed=closed,
    chosen=chosen,
    nothing_selected=nothing_selected,
    empty_prompt=empty_prompt,
    arrived=arrived,
    in_centimetres=in_centimetres,
    is_left=hasattr(bpy.types, "VIEW3D_PT_redream") or hasattr(bpy.types.Scene, "redream"),
)
