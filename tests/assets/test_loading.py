import io
import json
import logging
import math
import struct
import tracemalloc

import numpy as np
import pytest
import torch
import trimesh
from fabricated import quadrant_picture, textured_quad, write_box_glb
from PIL import Image

from redream.assets import AssetRenderer, load_mesh
from redream.assets.gltf import gltf_parts
from redream.assets.gltf.skins import blend_joints
from redream.cameras import turntable


def glb(header, buffer=b""):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    if buffer:
        buffer += b"\0" * (-len(buffer) % 4)
        chunks += struct.pack("<II", len(buffer), 0x004E4942) + buffer
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def triangle_glb(material=None, attributes=None, extra_primitives=(), **header):
    """One triangle; ``attributes`` maps a name to (array, accessor's component type and type)."""
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    arrays = {"POSITION": (positions, 5126, "VEC3", False), **(attributes or {})}
    buffer, views, accessors, names = b"", [], [], {}
    for name, (array, component, kind, normalised) in arrays.items():
        data = array.tobytes()
        views.append({"buffer": 0, "byteOffset": len(buffer), "byteLength": len(data)})
        names[name] = len(accessors)
        accessors.append(
            {
                "bufferView": len(views) - 1,
                "componentType": component,
                "count": len(array),
                "type": kind,
                "normalized": normalised,
            }
        )
        buffer += data + b"\0" * (-len(data) % 4)
    primitive = {"attributes": names}
    if material is not None:
        primitive["material"] = 0
        header["materials"] = [material]
    return glb(
        {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [primitive, *extra_primitives]}],
            "accessors": accessors,
            "bufferViews": views,
            "buffers": [{"byteLength": len(buffer)}],
            **header,
        },
        buffer,
    )


def load(tmp_path, data, name="a.glb"):
    (tmp_path / name).write_bytes(data)
    return load_mesh(tmp_path / name)


def test_normalises_whatever_size_and_place(tmp_path):
    for scale, offset in [(0.001, 0.0), (130.0, 80.0), (1.0, -5.0)]:
        mesh = trimesh.creation.icosphere(2)
        mesh.apply_scale([scale, 2 * scale, scale])
        mesh.apply_translation([offset, offset, 0.0])
        mesh.export(tmp_path / "a.glb")
        vertices = load_mesh(tmp_path / "a.glb").vertices
        centre = (vertices.amin(0) + vertices.amax(0)) / 2
        torch.testing.assert_close(centre, torch.zeros(3), atol=1e-5, rtol=0)
        assert vertices.norm(dim=-1).max() == pytest.approx(0.9, abs=1e-5)
        extent = vertices.amax(0) - vertices.amin(0)
        torch.testing.assert_close(extent, torch.tensor([0.9, 1.8, 0.9]), atol=1e-3, rtol=0)


def test_node_transforms_apply_down_the_graph_and_instances_repeat(tmp_path):
    scene = trimesh.Scene()
    turn = trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0])  # +Z to +X
    child = trimesh.transformations.translation_matrix([0, 0, 4])
    box = trimesh.creation.box((1, 1, 1))
    scene.add_geometry(box, geom_name="box", node_name="root", transform=turn)
    scene.graph.update("child", "root", matrix=child, geometry="box")
    data = scene.export(file_type="glb")
    mesh = load(tmp_path, data)
    assert mesh.faces.shape == (24, 3)
    extent = mesh.vertices.amax(0) - mesh.vertices.amin(0)
    torch.testing.assert_close(extent / extent[1], torch.tensor([5.0, 1.0, 1.0]))


def test_a_mirroring_node_keeps_faces_and_normals_outward(tmp_path):
    scene = trimesh.Scene()
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    scene.add_geometry(trimesh.creation.icosphere(1), transform=mirror)
    mesh = load(tmp_path, trimesh.exchange.gltf.export_glb(scene, include_normals=True))
    corners = mesh.vertices[mesh.faces]
    cross = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((cross * corners.mean(1)).sum(-1) > 0).all()
    assert ((mesh.corner_normals * corners).sum(-1) > 0).all()


def test_base_colour_factor_is_encoded_as_srgb(tmp_path):
    pbr = {"baseColorFactor": [0.5, 0.0, 1.0, 0.25]}
    opaque = load(tmp_path, triangle_glb({"pbrMetallicRoughness": pbr})).materials[0]
    assert opaque.base_color == pytest.approx((0.7354, 0.0, 1.0, 1.0), abs=1e-4)
    blended = {"pbrMetallicRoughness": pbr, "alphaMode": "BLEND"}
    assert load(tmp_path, triangle_glb(blended)).materials[0].base_color[3] == 0.25
    masked = {"pbrMetallicRoughness": pbr, "alphaMode": "MASK", "alphaCutoff": 0.3}
    assert load(tmp_path, triangle_glb(masked)).materials[0].base_color[3] == 0.0
    masked["alphaCutoff"] = 0.2
    assert load(tmp_path, triangle_glb(masked)).materials[0].base_color[3] == 1.0


def test_unlit_and_specular_glossiness_materials(tmp_path):
    unlit = {"extensions": {"KHR_materials_unlit": {}}}
    assert load(tmp_path, triangle_glb(unlit)).materials[0].unlit
    assert not load(tmp_path, triangle_glb({})).materials[0].unlit
    glossy = {"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [1.0, 0.0, 0.0, 1.0]}}
    mesh = load(tmp_path, triangle_glb({"extensions": glossy}))
    assert mesh.materials[0].base_color == pytest.approx((1.0, 0.0, 0.0, 1.0))


def test_vertex_colours_of_every_component_type(tmp_path):
    truth = torch.tensor([0.7354, 0.0, 1.0, 1.0])  # linear 0.5, 0, 1
    kinds = [(np.float32, 5126, 1), (np.uint8, 5121, 255), (np.uint16, 5123, 65535)]
    for dtype, component, top in kinds:
        color = (np.array([[0.5, 0.0, 1.0, 0.5]] * 3) * top).astype(dtype)
        attributes = {"COLOR_0": (color, component, "VEC4", top > 1)}
        mesh = load(tmp_path, triangle_glb(attributes=attributes))
        torch.testing.assert_close(
            mesh.corner_colors[0], truth.expand(3, 4), atol=3e-3, rtol=0
        )  # opaque unless the material blends
    mesh = load(tmp_path, triangle_glb({"alphaMode": "BLEND"}, attributes))
    assert mesh.corner_colors[0, 0, 3] == pytest.approx(0.5, abs=1e-3)


def test_texture_coordinates_normalised_integers_and_transform(tmp_path):
    uv = (np.array([[0.0, 0.25], [1.0, 0.5], [0.5, 1.0]]) * 65535).astype(np.uint16)
    attributes = {"TEXCOORD_1": (uv, 5123, "VEC2", True)}
    transform = {"offset": [0.5, 0.0], "scale": [2.0, 1.0]}
    texture = {"index": 0, "texCoord": 1, "extensions": {"KHR_texture_transform": transform}}
    png = io.BytesIO()
    Image.fromarray(quadrant_picture()).save(png, format="PNG")
    (tmp_path / "a.png").write_bytes(png.getvalue())
    data = triangle_glb(
        {"pbrMetallicRoughness": {"baseColorTexture": texture}},
        attributes,
        textures=[{"source": 0}],
        images=[{"uri": "a.png"}],
    )
    mesh = load(tmp_path, data)
    truth = torch.tensor([[0.5, 0.25], [2.5, 0.5], [1.5, 1.0]])
    torch.testing.assert_close(mesh.corner_uvs[0], truth, atol=1e-4, rtol=0)


def test_texture_is_upright_in_glb_and_obj(tmp_path):
    quad = textured_quad(quadrant_picture())
    quad.export(tmp_path / "quad.glb")
    obj, files = trimesh.exchange.obj.export_obj(quad, return_texture=True)
    (tmp_path / "quad.obj").write_text(obj)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for name in ("quad.glb", "quad.obj"):
        mesh = load_mesh(tmp_path / name)
        rgb = AssetRenderer(mesh, ambient=1.0, diffuse=0.0).render(turntable(1, 0.0), 32, 32).rgb[0]
        for (row, column), color in {
            (13, 13): (1, 0, 0),
            (13, 18): (0, 1, 0),
            (18, 13): (0, 0, 1),
            (18, 18): (1, 1, 1),
        }.items():
            assert rgb[:, row, column].tolist() == pytest.approx(color, abs=0.02), name


def test_ply_vertex_colours(tmp_path):
    sphere = trimesh.creation.icosphere(1)
    sphere.visual.vertex_colors = np.tile([51, 102, 204, 255], (len(sphere.vertices), 1))
    sphere.export(tmp_path / "a.ply")
    mesh = load_mesh(tmp_path / "a.ply")
    truth = torch.tensor([0.2, 0.4, 0.8, 1.0]).expand_as(mesh.corner_colors)
    torch.testing.assert_close(mesh.corner_colors, truth)


def test_lines_and_points_are_skipped_with_a_note(tmp_path, caplog):
    extra = [{"attributes": {"POSITION": 0}, "mode": mode} for mode in (0, 1, 3)]
    with caplog.at_level(logging.WARNING):
        mesh = load(tmp_path, triangle_glb(extra_primitives=extra))
    assert len(mesh.faces) == 1
    assert "skipped 3 line or point primitives" in caplog.text


@pytest.mark.parametrize("cut", [3, 16, 100, 0.5, 0.99])
def test_truncated_glb_is_one_line(tmp_path, cut):
    write_box_glb(tmp_path / "whole.glb")
    data = (tmp_path / "whole.glb").read_bytes()
    with pytest.raises(ValueError, match=r"cut\.glb") as error:
        load(tmp_path, data[: cut if cut > 1 else int(cut * len(data))], "cut.glb")
    assert "\n" not in str(error.value)


def test_faults_name_the_file_in_one_line(tmp_path):
    nan = np.full((3, 3), np.nan, dtype=np.float32)
    flat = np.zeros((3, 3), dtype=np.float32)
    faults = {
        "text": b"this is a text file, not a model",
        "nan": triangle_glb(attributes={"POSITION": (nan, 5126, "VEC3", False)}),
        "flat": triangle_glb(attributes={"POSITION": (flat, 5126, "VEC3", False)}),
        "sparse": glb(
            {
                "asset": {"version": "2.0"},
                "scenes": [{"nodes": [0]}],
                "nodes": [{"mesh": 0}],
                "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
                "accessors": [{"componentType": 5126, "count": 10**11, "type": "VEC3"}],
            }
        ),
        "unknown": triangle_glb(extensionsRequired=["ACME_shapes"]),
        "empty": glb({"asset": {"version": "2.0"}}),
        "list": glb([]),
    }
    for name, data in faults.items():
        with pytest.raises(ValueError, match=f"{name}.glb: ") as error:
            load(tmp_path, data, f"{name}.glb")
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="use one of"):
        load(tmp_path, b"", "a.fbx")
    with pytest.raises(FileNotFoundError, match="absent"):
        load_mesh(tmp_path / "absent.glb")


def test_degenerate_faces_do_not_stretch_the_box(tmp_path):
    vertices = np.concatenate([trimesh.creation.box((1, 1, 1)).vertices, [[50, 50, 50]] * 3])
    faces = np.concatenate([trimesh.creation.box((1, 1, 1)).faces, [[8, 9, 10]]])
    trimesh.Trimesh(vertices, faces, process=False).export(tmp_path / "a.ply")
    mesh = load_mesh(tmp_path / "a.ply")
    assert len(mesh.faces) == 12
    assert mesh.vertices.abs().max() == pytest.approx(0.9 / 3**0.5, abs=1e-5)


def test_gltf_with_files_beside_it(tmp_path):
    scene = trimesh.Scene(trimesh.creation.box())
    for name, data in trimesh.exchange.gltf.export_gltf(scene).items():
        (tmp_path / name).write_bytes(data)
    assert len(load_mesh(tmp_path / "model.gltf").faces) == 12


def test_quantised_meshes_mean_what_their_flags_say(tmp_path):
    truth = load(tmp_path, triangle_glb()).vertices
    for dtype, component in ((np.int8, 5120), (np.int16, 5122), (np.uint16, 5123)):
        top = np.iinfo(dtype).max
        for normalised in (True, False):
            corners = np.zeros((3, 4), dtype=dtype)  # a row is padded to four bytes
            corners[1, 0] = corners[2, 1] = top
            data = triangle_glb(
                attributes={"POSITION": (corners[:, :3].copy(), component, "VEC3", normalised)},
                extensionsRequired=["KHR_mesh_quantization"],
            )
            torch.testing.assert_close(load(tmp_path, data).vertices, truth)
            part_scale = world_triangle(tmp_path / "a.glb").max()
            assert part_scale == (1.0 if normalised else top)
    uv = np.array([[0, 0], [3, 0], [0, 3]], dtype=np.int16)
    data = triangle_glb(attributes={"TEXCOORD_0": (uv, 5122, "VEC2", False)})
    assert load(tmp_path, data).corner_uvs.max() == 3.0


def skinned_glb(bind=None, **mesh_node):
    """A triangle hung on a joint that stands at x = 2, turned from +X to +Y about Z."""
    joints = (np.array([[1, 0, 0, 0]] * 3, dtype=np.uint8), 5121, "VEC4", False)
    weights = (np.array([[0.5, 0, 0, 0]] * 3, dtype=np.float32), 5126, "VEC4", False)
    half = math.sqrt(0.5)
    skin = {"joints": [1, 2]}
    extra = {}
    if bind is not None:
        skin["inverseBindMatrices"] = 3
        extra["BIND"] = (np.stack([bind.T] * 2).astype(np.float32), 5126, "MAT4", False)
    data = triangle_glb(
        attributes={"JOINTS_0": joints, "WEIGHTS_0": weights, **extra},
        skins=[skin],
        scenes=[{"nodes": [0, 1]}],
        nodes=[
            {"mesh": 0, "skin": 0, **mesh_node},
            {"children": [2], "translation": [2, 0, 0], "scale": [3, 3, 3]},
            {"rotation": [0, 0, half, half]},
        ],
    )
    return data


def world_triangle(path):
    part = next(gltf_parts(path))
    return part.vertices[part.faces[0]]


def test_joints_and_not_the_node_place_a_skinned_mesh(tmp_path):
    (tmp_path / "a.glb").write_bytes(skinned_glb(scale=[100, 1, 1], rotation=[1, 0, 0, 0]))
    truth = [[2, 0, 0], [2, 3, 0], [-1, 0, 0]]  # (0,0,0), (1,0,0), (0,1,0) turned, 3x, moved
    np.testing.assert_allclose(world_triangle(tmp_path / "a.glb"), truth, atol=1e-6)
    bind = trimesh.transformations.translation_matrix([0, -1, 0])
    (tmp_path / "b.glb").write_bytes(skinned_glb(bind))
    truth = [[5, 0, 0], [5, 3, 0], [2, 0, 0]]
    np.testing.assert_allclose(world_triangle(tmp_path / "b.glb"), truth, atol=1e-6)


def test_joints_blend_linearly_whatever_the_weights_sum_to():
    skin = np.stack([trimesh.transformations.translation_matrix([x, 0, 0]) for x in (0, 4)])
    joints = np.array([[0, 1, 0, 0]] * 3)
    weights = np.array([[1, 3, 0, 0], [0.25, 0.75, 0, 0], [0, 0, 0, 0]], dtype=float)
    offsets = blend_joints(skin, joints, weights)[:, 0, 3]
    np.testing.assert_allclose(offsets, [3, 3, 0])


def textured_glb(picture, tmp_path, **material):
    quad = textured_quad(np.zeros((2, 2, 3), dtype=np.uint8))
    quad.visual.material = trimesh.visual.material.PBRMaterial(baseColorTexture=picture, **material)
    quad.export(tmp_path / "a.glb")
    return load_mesh(tmp_path / "a.glb").materials[0].texture


def test_great_pictures_are_made_smaller_colour_and_alpha_apart(tmp_path):
    pixels = np.zeros((8, 4096, 4), dtype=np.uint8)
    pixels[..., 0] = 200  # red everywhere, seen or not
    pixels[:, 2048:, 3] = 255
    opaque = textured_glb(Image.fromarray(pixels), tmp_path)
    assert opaque.shape == (4, 2048, 4)
    assert (opaque[..., 0] == 200 / 255).all() and (opaque[..., 3] == 1.0).all()
    blended = textured_glb(Image.fromarray(pixels), tmp_path, alphaMode="BLEND")
    assert (blended[..., 0] == 200 / 255).all()
    assert (blended[:, :1024, 3] == 0.0).all() and (blended[:, 1024:, 3] == 1.0).all()


def test_a_texture_that_cannot_be_read_leaves_the_base_colour_and_a_note(tmp_path, caplog):
    pbr = {"baseColorFactor": [1.0, 0.0, 0.0, 1.0], "baseColorTexture": {"index": 0}}
    absent = {"textures": [{"source": 0}], "images": [{"uri": "absent.png"}]}
    with caplog.at_level(logging.WARNING):
        material = load(tmp_path, triangle_glb({"pbrMetallicRoughness": pbr}, **absent)).materials[
            0
        ]
    assert material.texture is None
    assert material.base_color == pytest.approx((1.0, 0.0, 0.0, 1.0))
    assert "a.glb: without picture 0: it names 'absent.png', which is not there" in caplog.text


def test_a_million_degenerate_triangles_cost_bounded_memory(tmp_path):
    positions = np.zeros((3_000_000, 3), dtype=np.float32)
    positions[1_500_000:, 0] = np.arange(1_500_000)  # points, then pieces of one line
    positions[:3] = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    (tmp_path / "a.glb").write_bytes(
        triangle_glb(attributes={"POSITION": (positions, 5126, "VEC3", False)})
    )
    tracemalloc.start()
    mesh = load_mesh(tmp_path / "a.glb")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(mesh.faces) == 1 and len(mesh.vertices) == 3
    assert peak < 20 * positions.nbytes


def shows(file):
    """Loads an asset, renders it from two sides, and checks what must hold for any asset."""
    mesh = load_mesh(file)
    assert mesh.vertices.norm(dim=-1).max() == pytest.approx(0.9, abs=1e-5)
    centre = (mesh.vertices.amin(0) + mesh.vertices.amax(0)) / 2
    torch.testing.assert_close(centre, torch.zeros(3), atol=1e-5, rtol=0)
    views = AssetRenderer(mesh).render(turntable(2, elevation_deg=20.0), 32, 32)
    assert all(torch.isfinite(part).all() for part in views[:4])
    covered = views.opacity.mean(dim=(1, 2, 3))
    assert ((covered > 0.005) & (covered < 0.7)).all()
    seen = views.rgb[(views.opacity > 0.99).expand_as(views.rgb)]
    assert seen.mean() > 0.02  # of some colour, not black


@pytest.mark.parametrize("name", ["model.gltf", "model.glb"])
def test_files_beside_it_may_have_blanks_in_their_names(tmp_path, name):
    Image.fromarray(quadrant_picture()).save(tmp_path / "a b.png")
    pbr = {"baseColorTexture": {"index": 0}}
    files = {"textures": [{"source": 0}], "images": [{"uri": "a%20b.png"}]}
    data = triangle_glb({"pbrMetallicRoughness": pbr}, **files)
    if name.endswith(".gltf"):
        (length,) = struct.unpack("<I", data[12:16])
        header = json.loads(data[20 : 20 + length])
        header["buffers"][0]["uri"] = "a%20b.bin"
        (tmp_path / "a b.bin").write_bytes(data[28 + length :])
        data = json.dumps(header).encode()
    texture = load(tmp_path, data, name).materials[0].texture
    assert texture[0, 0].tolist() == [1.0, 0.0, 0.0, 1.0]


def test_real_assets_load_and_show(objaverse):
    for file in sorted(objaverse.rglob("*.glb"))[::22]:
        shows(file)


@pytest.mark.slow
def test_every_real_asset_loads_and_shows(objaverse):
    files = sorted(objaverse.rglob("*.glb"))
    assert len(files) == 549
    for file in files:
        shows(file)
