"""The buttons: make, cancel, and with the selection as the asset: make, stop, take, go on."""

import json
from pathlib import Path

import bpy
from installed import TOLD, answer, choose, install, meshes, until


def table():
    """A box with two named materials and a texture, which an artist has modelled; selected."""
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=(5.0, 5.0, 0.25))
    shown = bpy.context.object
    shown.name, shown.scale = "table", (2.0, 1.0, 0.5)
    shown.data.uv_layers.active.name = "UVMap"
    for name in ("oak", "steel"):
        material = bpy.data.materials.new(name)
        material.use_nodes = True
        shown.data.materials.append(material)
    for face in shown.data.polygons:
        face.material_index = int(face.normal.z > 0.5)
    shown["author"], shown["license"] = "Anna", "CC-BY-4.0"
    return shown


def uv_corners(shown):
    """The texture coordinates of an object's corners, by material."""
    layer = shown.data.uv_layers[0].data
    found = {}
    for face in shown.data.polygons:
        name = shown.material_slots[face.material_index].material.name.split(".")[0]
        for corner in face.loop_indices:
            found.setdefault(name, []).append([round(value, 3) for value in layer[corner].uv])
    return found


package = install()
watching, scene = package.watching, bpy.context.scene
choose(package, program=TOLD["program"], configs=TOLD["configs"], runs=TOLD["runs"])
chosen = scene.redream
chosen.options = TOLD["options"]
found = {}

scene.cursor.location = (1.0, 2.0, 3.0)
chosen.prompt, chosen.size = "a golden elephant", 0.5
found["made"] = sorted(bpy.ops.redream.make(waits=True))
found["said"], found["objects"], found["folder"] = watching.said(), meshes(), chosen.folder
found["is_idle"] = watching.current() is None

chosen.options += " --trainer.max_steps=400"
found["begun"] = sorted(bpy.ops.redream.make())
found["second"] = bpy.ops.redream.make.poll()
until(package, lambda job: job.progress.stage != "starting")
found["begun_folder"] = chosen.folder
bpy.ops.redream.cancel()
found["cancelled"] = watching.said(), watching.current() is None, chosen.folder
found["is_left"] = Path(found["begun_folder"]).exists()

bpy.ops.object.select_all(action="SELECT")
bpy.ops.object.delete()
original = table()
found["original_uvs"] = uv_corners(original)
scene.cursor.location = (0.0, 0.0, 0.0)
chosen.prompt, chosen.uses_selection, chosen.keeps_shape = "a marble table", True, True
chosen.shows = "a table"
chosen.options = TOLD["options"] + TOLD["painting"] + " --trainer.max_steps=40"
bpy.ops.redream.make()
until(package, lambda job: job.progress.step >= 2)
bpy.ops.redream.stop()
watching.wait()
found["stopped"] = (
    watching.said(),
    [each for each in ("go_on", "take", "fetch") if getattr(bpy.ops.redream, each).poll()],
)
bpy.ops.redream.take(waits=True)
found["taken"] = watching.said(), [each for each in meshes() if each["name"] != "table"]
folder, last = Path(chosen.folder), int(found["stopped"][0][0].split()[-1]) + 2
note = package.job.read_note(folder)
until_soon = [each.replace("max_steps=40", f"max_steps={last}") for each in note["arguments"]]
package.job.write_note(folder, note | {"arguments": until_soon})
bpy.ops.redream.go_on(waits=True)
found["gone_on"] = watching.said()
found["steps"] = json.loads((folder / "status.json").read_text())["step"], last
found["uvs"] = uv_corners(bpy.context.object)
answer(**found)
