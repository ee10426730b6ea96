"""Opens GLB files in Blender and writes the scene again; answers what its objects say."""

import json
import sys
from pathlib import Path

import bpy

told = json.loads(Path(sys.argv[-1]).read_text("utf-8"))
bpy.ops.wm.read_factory_settings(use_empty=True)
for file in told["files"]:
    bpy.ops.import_scene.gltf(filepath=file)
said = {each.name: dict(each.items()) for each in bpy.data.objects}
bpy.ops.export_scene.gltf(filepath=told["out"], export_format="GLB", export_extras=True)
Path(told["answer"]).write_text(json.dumps(said), encoding="utf-8")
