"""Draws GLB files without light by Blender's own importer; run by a Python that has ``bpy``.

    python blender_unlit.py JOBS.json

JOBS.json: ``size``, ``radius``, ``jobs`` of ``file``, ``out`` (a PNG), ``c2w`` and ``fovy_deg``.
A model is centred and scaled as ReDream does it, from what Blender made of the file; the camera
goes to where that puts it. Shaders give out their base colour and their emission.
"""

import json
import math
import struct
import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

SAMPLES = 32
TO_BLENDER = Matrix(((1, 0, 0, 0), (0, 0, -1, 0), (0, 1, 0, 0), (0, 0, 0, 1)))  # +Y up to +Z up


def without_animations(file, folder):
    """A copy of a GLB at rest, since Blender shows the first frame of an animation."""
    data = Path(file).read_bytes()
    (length,) = struct.unpack("<I", data[12:16])
    header = json.loads(data[20 : 20 + length])
    header.pop("animations", None)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    head = b"glTF" + struct.pack("<IIII", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    path = Path(folder) / "model.glb"
    path.write_bytes(head + text + rest)
    return path


def corners():
    """The world positions that faces use, of everything that is drawn."""
    found = []
    graph = bpy.context.evaluated_depsgraph_get()
    for instance in graph.object_instances:
        shown = instance.object
        if shown.type != "MESH" or not instance.show_self:
            continue
        mesh = shown.to_mesh()
        mesh.calc_loop_triangles()
        places = np.empty(len(mesh.vertices) * 3)
        mesh.vertices.foreach_get("co", places)
        used = np.empty(len(mesh.loop_triangles) * 3, dtype=np.int32)
        mesh.loop_triangles.foreach_get("vertices", used)
        matrix = np.array(instance.matrix_world)
        points = places.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
        triangles = points[used].reshape(-1, 3, 3)
        cross = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        found.append(triangles[np.linalg.norm(cross, axis=-1) > 0.0].reshape(-1, 3))
        shown.to_mesh_clear()
    return np.concatenate(found)


def show_unlit(material):
    """Lets a material give out its base colour and its emission, through its alpha."""
    tree = material.node_tree
    surface = next((n for n in tree.nodes if n.type == "BSDF_PRINCIPLED"), None)
    if surface is None:
        return  # unlit already: the importer made an emission of it
    output = next(n for n in tree.nodes if n.type == "OUTPUT_MATERIAL" and n.is_active_output)

    def emission(color, strength):
        node = tree.nodes.new("ShaderNodeEmission")
        node.inputs["Strength"].default_value = 1.0
        for source, name in ((color, "Color"), (strength, "Strength")):
            if source is None:
                continue
            wanted = surface.inputs[source]
            if wanted.is_linked:
                tree.links.new(wanted.links[0].from_socket, node.inputs[name])
            else:
                node.inputs[name].default_value = wanted.default_value
        return node.outputs[0]

    added = tree.nodes.new("ShaderNodeAddShader")
    tree.links.new(emission("Base Color", None), added.inputs[0])
    tree.links.new(emission("Emission Color", "Emission Strength"), added.inputs[1])
    mixed, clear = (
        tree.nodes.new("ShaderNodeMixShader"),
        tree.nodes.new("ShaderNodeBsdfTransparent"),
    )
    alpha = surface.inputs["Alpha"]
    if alpha.is_linked:
        tree.links.new(alpha.links[0].from_socket, mixed.inputs[0])
    else:
        mixed.inputs[0].default_value = alpha.default_value
    tree.links.new(clear.outputs[0], mixed.inputs[1])
    tree.links.new(added.outputs[0], mixed.inputs[2])
    tree.links.new(mixed.outputs[0], output.inputs["Surface"])


def set_up(scene, size):
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples = "CPU", SAMPLES
    scene.cycles.use_denoising = scene.cycles.use_adaptive_sampling = False
    scene.cycles.pixel_filter_type = "BOX"
    scene.cycles.transparent_max_bounces = 16
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.film_transparent = True
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"


def draw(job, size, radius, folder):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(without_animations(job["file"], folder)))
    scene = bpy.context.scene
    set_up(scene, size)
    bpy.context.view_layer.update()
    points = corners()
    centre = (points.min(0) + points.max(0)) / 2.0
    scale = radius / np.linalg.norm(points - centre, axis=1).max()
    c2w = TO_BLENDER @ Matrix(job["c2w"])
    c2w.translation = c2w.translation / scale
    c2w.translation.x += centre[0]
    c2w.translation.y += centre[1]
    c2w.translation.z += centre[2]
    camera = bpy.data.objects.new("view", bpy.data.cameras.new("view"))
    camera.data.sensor_fit, camera.data.angle = "VERTICAL", math.radians(job["fovy_deg"])
    camera.data.clip_start, camera.data.clip_end = 0.01 / scale, 100.0 / scale
    camera.matrix_world = c2w
    scene.collection.objects.link(camera)
    scene.camera = camera
    for material in bpy.data.materials:
        if material.node_tree is not None:
            show_unlit(material)
    scene.render.filepath = job["out"]
    bpy.ops.render.render(write_still=True)


def main():
    asked = json.loads(Path(sys.argv[-1]).read_text())
    with tempfile.TemporaryDirectory() as folder:
        for job in asked["jobs"]:
            draw(job, asked["size"], asked["radius"], folder)
    print("Blender", bpy.app.version_string)


main()
