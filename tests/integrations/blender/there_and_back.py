"""Opens GLB files in Blender and writes the scene again; answers what its objects say."""

import bpy
from installed import TOLD, answer

bpy.ops.wm.read_factory_settings(use_empty=True)
for file in TOLD["files"]:
    bpy.ops.import_scene.gltf(filepath=file)
said = [dict(each.items()) for each in bpy.data.objects]
bpy.ops.export_scene.gltf(filepath=TOLD["out"], export_format="GLB", export_extras=True)
answer(said=said)
