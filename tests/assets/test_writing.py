import json
import struct

import numpy as np
import pytest
import torch
import trimesh
from fabricated import BLUE, RED, make_box, make_quad, quadrant_picture, stack

from redream.assets import AssetRenderer, load_mesh, normalize, write_glb
from redream.assets.gltf import read_header
from redream.cameras import turntable
from redream.types import Material


def varied_mesh():
    """A textured, a half transparent and a vertex-coloured part."""
    picture = torch.from_numpy(quadrant_picture()).float() / 255.0
    texture = torch.cat([picture, torch.ones(8, 8, 1)], dim=-1)
    return normalize(
        stack(
            make_quad(Material((0.9, 0.5, 0.3, 1.0), texture)),
            make_quad(Material((0.2, 0.4, 0.6, 0.5), None, unlit=True), z=0.7),
            make_box({"+z": RED, "-x": BLUE}),
        )
    )


def test_what_is_written_looks_the_same_when_read(tmp_path):
    mesh = varied_mesh()
    write_glb(tmp_path / "a.glb", mesh)
    again = load_mesh(tmp_path / "a.glb")
    cameras = turntable(6, elevation_deg=20.0)
    before = AssetRenderer(mesh).render(cameras, 32, 32)
    after = AssetRenderer(again).render(cameras, 32, 32)
    assert (before.rgb - after.rgb).abs().mean() < 1e-3  # a ray may fall on either side of an edge
    assert (before.opacity - after.opacity).abs().mean() < 1e-3
    assert [m.unlit for m in again.materials] == [False, True, True]
    torch.testing.assert_close(
        torch.tensor([m.base_color for m in again.materials]),
        torch.tensor([m.base_color for m in mesh.materials]),
        atol=1e-4,
        rtol=0,
    )


def test_the_file_obeys_the_rules_that_readers_rely_on(tmp_path):
    write_glb(tmp_path / "a.glb", varied_mesh(), {"author": "someone", "license": "CC0"})
    data = (tmp_path / "a.glb").read_bytes()
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    assert length % 4 == 0
    header = read_header(tmp_path / "a.glb")
    assert header["asset"]["extras"] == {"author": "someone", "license": "CC0"}
    assert all(view["byteOffset"] % 4 == 0 for view in header["bufferViews"])
    end = max(view["byteOffset"] + view["byteLength"] for view in header["bufferViews"])
    assert header["buffers"][0]["byteLength"] >= end
    for primitive in header["meshes"][0]["primitives"]:
        assert {"POSITION", "NORMAL"} <= set(primitive["attributes"])
        position = header["accessors"][primitive["attributes"]["POSITION"]]
        assert len(position["min"]) == len(position["max"]) == 3
    assert [m.get("alphaMode") for m in header["materials"]] == [None, "BLEND", None]
    assert header["extensionsUsed"] == ["KHR_materials_unlit"]
    json.dumps(header, allow_nan=False)


def test_trimesh_reads_it_too(tmp_path):
    write_glb(tmp_path / "a.glb", make_box({}))
    scene = trimesh.load_scene(tmp_path / "a.glb")
    mesh = scene.to_mesh()
    assert mesh.volume == pytest.approx(1.0)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertex_normals, axis=1), 1.0, atol=1e-6)


def test_equal_corners_are_shared(tmp_path):
    write_glb(tmp_path / "a.glb", make_quad(Material()))
    assert read_header(tmp_path / "a.glb")["accessors"][0]["count"] == 4


def test_corners_without_a_normal_take_their_faces(tmp_path):
    quad = make_quad(Material())
    write_glb(tmp_path / "a.glb", quad._replace(corner_normals=torch.zeros(2, 3, 3)))
    normals = load_mesh(tmp_path / "a.glb").corner_normals
    torch.testing.assert_close(normals, quad.corner_normals)


def test_nothing_is_left_behind_when_writing_fails(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no faces"):
        write_glb(tmp_path / "a.glb", make_box({})._replace(faces=torch.zeros(0, 3).long()))
    (tmp_path / "a.glb").write_bytes(b"old")

    def fail(*_):
        raise OSError("disk is full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="full"):
        write_glb(tmp_path / "a.glb", make_box({}))
    assert [path.name for path in tmp_path.iterdir()] == ["a.glb"]
    assert (tmp_path / "a.glb").read_bytes() == b"old"
