"""3D files of a stranger: nothing outside of their folder is read, and memory stays bounded."""

import io
import json
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from redream.assets import FolderStore, load_mesh
from redream.assets.textures import Textures


def gltf(tmp_path, **header):
    """A triangle as .gltf with its buffer beside, in ``tmp_path/asset``."""
    folder = tmp_path / "asset"
    folder.mkdir(exist_ok=True)
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=np.float32).tobytes()
    (folder / "points.bin").write_bytes(points + bytes(100_000))
    written = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "material": 0}]}],
        "materials": [{}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36, "uri": "points.bin"}],
    }
    (folder / "a.gltf").write_text(json.dumps(written | header))
    return folder / "a.gltf"


TEXTURED = {
    "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
    "textures": [{"source": 0}],
}


def bomb(side):
    """A PNG of a few kilobytes that decodes to side x side pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data))
            + kind
            + data
            + struct.pack(">I", zlib.crc32(kind + data) & 0xFFFFFFFF)
        )

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (side * (side // 8 + 1)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def secret(tmp_path):
    """What the user has beside the asset's folder, and gave to nobody."""
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "secret.png")
    return tmp_path / "secret.png"


@pytest.mark.parametrize("way", ["../secret.png", "..%2fsecret.png", "absolute", "link"])
def test_a_texture_outside_of_the_folder_is_not_shown(way, secret, tmp_path):
    uri = str(secret) if way == "absolute" else way
    path = gltf(tmp_path, images=[{"uri": uri}], **TEXTURED)
    if way == "link":
        (path.parent / "link").symlink_to(secret)
    assert load_mesh(path).materials[0].texture is None
    Image.new("RGB", (4, 4), (0, 255, 0)).save(path.parent / "inside.png")
    path = gltf(tmp_path, images=[{"uri": "inside.png"}], **TEXTURED)
    assert load_mesh(path).materials[0].texture is not None


@pytest.mark.parametrize("way", ["../points.bin", "..%2Fpoints.bin", "link"])
def test_a_buffer_outside_of_the_folder_is_not_read(way, tmp_path):
    path = gltf(tmp_path, buffers=[{"byteLength": 36, "uri": way}])
    (path.parent / "points.bin").rename(tmp_path / "points.bin")
    if way == "link":
        (path.parent / "link").symlink_to(tmp_path / "points.bin")
    with pytest.raises(ValueError, match=r"cannot read .*(outside of its folder|not there)"):
        load_mesh(path)


def test_nor_are_the_bind_matrices_of_a_skin(tmp_path):
    (tmp_path / "matrix.bin").write_bytes(np.eye(4, dtype=np.float32).tobytes())
    path = gltf(
        tmp_path,
        skins=[{"joints": [0], "inverseBindMatrices": 1}],
        nodes=[{"mesh": 0, "skin": 0}],
        accessors=[
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5126, "count": 1, "type": "MAT4"},
        ],
        bufferViews=[{"buffer": 0, "byteLength": 36}, {"buffer": 1, "byteLength": 64}],
        buffers=[
            {"byteLength": 36, "uri": "points.bin"},
            {"byteLength": 64, "uri": "../matrix.bin"},
        ],
    )
    with pytest.raises(ValueError, match="outside of its folder"):
        load_mesh(path)


@pytest.mark.parametrize("where", ["material", "picture"])
def test_an_obj_names_only_files_beside_it(where, secret, tmp_path):
    folder = tmp_path / "asset"
    folder.mkdir()
    outside = tmp_path if where == "material" else folder
    (outside / "a.mtl").write_text("newmtl m\nmap_Kd ../secret.png\n")
    library = "../a.mtl" if where == "material" else "a.mtl"
    quad = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl m\nf 1/1 2/1 3/1\n"
    (folder / "a.obj").write_text(f"mtllib {library}\n{quad}")
    texture = load_mesh(folder / "a.obj").materials[0].texture
    assert texture is None or not (texture[..., :3] == torch.tensor([1.0, 0.0, 0.0])).all()


def test_an_obj_of_another_computer_finds_its_picture_by_name(tmp_path):
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "skin.png")
    (tmp_path / "a.mtl").write_text("newmtl m\nmap_Kd C:\\models\\skin.png\n")
    quad = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl m\nf 1/1 2/1 3/1\n"
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\n{quad}")
    assert load_mesh(tmp_path / "a.obj").materials[0].texture is not None


def test_loading_writes_nothing(tmp_path):
    path = gltf(tmp_path, images=[{"uri": "../made.png"}], **TEXTURED)
    before = sorted(tmp_path.rglob("*"))
    load_mesh(path)
    FolderStore(path.parent).assets()
    assert sorted(tmp_path.rglob("*")) == before


GREEDY = {
    "a count": {"accessors": [{"componentType": 5126, "count": 10**12, "type": "VEC3"}]},
    "a view": {"bufferViews": [{"buffer": 0, "byteLength": 10**13}]},
    "many views": {"bufferViews": [{"buffer": 0, "byteLength": 100_036}] * 1000},
    "many accessors": {
        "bufferViews": [{"buffer": 0, "byteLength": 100_036}],
        "accessors": [{"bufferView": 0, "componentType": 5121, "count": 100_036, "type": "SCALAR"}]
        * 1000,
    },
    "no number": {"bufferViews": [{"buffer": 0, "byteLength": "36"}]},
    "a negative count": {
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": -3, "type": "VEC3"}]
    },
}


@pytest.mark.parametrize("what", GREEDY)
def test_a_file_cannot_ask_for_more_than_it_has(what, tmp_path):
    path = gltf(tmp_path, **GREEDY[what])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="cannot read") as caught:
            load_mesh(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_a_small_mesh_cannot_be_shown_a_million_times(tmp_path):
    box = trimesh.creation.icosphere(5)  # 20,480 triangles
    text = trimesh.exchange.gltf.export_glb(trimesh.Scene(box))
    size = struct.unpack("<I", text[12:16])[0]
    header = json.loads(text[20 : 20 + size])
    header["nodes"] = [{"mesh": 0}] * 1000
    header["scenes"] = [{"nodes": list(range(1000))}]
    body = json.dumps(header).encode()
    body += b" " * (-len(body) % 4)
    rest = text[20 + size :]
    total = 20 + len(body) + len(rest)
    head = b"glTF" + struct.pack("<IIII", 2, total, len(body), 0x4E4F534A)
    (tmp_path / "many.glb").write_bytes(head + body + rest)
    with pytest.raises(ValueError, match="it shows 20480000 triangles, and stores 20480"):
        load_mesh(tmp_path / "many.glb")


def test_nodes_may_run_in_circles(tmp_path):
    path = gltf(tmp_path, nodes=[{"mesh": 0, "children": [1]}, {"children": [0, 1, 1]}])
    try:
        load_mesh(path)
    except ValueError as error:
        assert str(error).startswith(f"cannot read {path}")


@pytest.mark.parametrize("side", [8200, 12000, 30000])
def test_a_picture_is_measured_before_it_is_decoded(side, tmp_path, recwarn):
    path = gltf(tmp_path, images=[{"uri": "bomb.png"}], **TEXTURED)
    (path.parent / "bomb.png").write_bytes(bomb(side))
    try:
        assert load_mesh(path).materials[0].texture is None
    except ValueError as error:
        assert f"{side} x {side} is too large" in str(error)


def a_png(width, height):
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


def test_many_pictures_share_the_memory_of_a_few():
    picture = a_png(2048, 64)
    assert Textures(32).rgba(0, lambda: picture).shape == (32, 1024, 4)
    assert Textures(8).rgba(0, lambda: picture).shape == (64, 2048, 4)


def test_all_pictures_of_a_file_have_a_bound(monkeypatch):
    monkeypatch.setattr("redream.assets.textures._MAX_TOTAL", 3 * 64 * 64)
    picture, textures = a_png(64, 64), Textures(4)
    read = [textures.rgba(number, lambda: picture) for number in (0, 1, 2, 0, 3)]
    assert [each is None for each in read] == [False, False, False, False, True]
    assert "all the pixels that a file may" in textures.unread[3]


def test_a_ply_cannot_claim_more_than_it_has(tmp_path):
    head = "ply\nformat binary_little_endian 1.0\nelement vertex 1000000000000\n"
    names = "".join(f"property float {name}\n" for name in "xyz")
    (tmp_path / "a.ply").write_text(f"{head}{names}end_header\n")
    with pytest.raises(ValueError, match="cannot read"):
        load_mesh(tmp_path / "a.ply")
