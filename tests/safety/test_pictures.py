"""Pictures of a stranger: their content chooses among few readers, and none starts a program."""

import ast
import base64
import io
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from PIL import EpsImagePlugin, Image

import redream
from redream.assets import load_mesh
from redream.indexing.cap3d import Cap3DPictures
from redream.pictures import FORMATS, open_picture

QUAD = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl m\nf 1/1 2/1 3/1\n"
PLY = """ply
format ascii 1.0
comment TextureFile skin.png
element vertex 3
property float x
property float y
property float z
property float s
property float t
element face 1
property list uchar int vertex_indices
end_header
0 0 0 0 0
1 0 0 1 0
0 1 0 0 1
3 0 1 2
"""


def encoded(name):
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (255, 0, 0)).save(file, name)
    return file.getvalue()


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A Ghostscript that Pillow finds; what was started, and with what every picture was opened."""
    started, opened = [], []

    class Spied(subprocess.Popen):
        def __init__(self, command, *args, **kwargs):
            started.append(command)
            super().__init__(command, *args, **kwargs)

    def spied(fp, mode="r", formats=None):
        opened.append(formats)
        return pillows(fp, mode, formats)

    pillows = Image.open
    (tmp_path / "gs").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(tmp_path / "gs"))
    monkeypatch.setattr(subprocess, "Popen", Spied)
    monkeypatch.setattr(Image, "open", spied)
    yield started, opened
    assert Image.open is spied  # nothing stays exchanged


def gltf(folder, picture):
    uri = "data:image/png;base64," + base64.b64encode(picture).decode()
    points = base64.b64encode(
        b"".join(map(bytes, [12 * b"\0", 12 * b"?", 8 * b"\0" + b"\0\0\x80?"]))
    )
    (folder / "a.gltf").write_text(
        json.dumps(
            {
                "asset": {"version": "2.0"},
                "scenes": [{"nodes": [0]}],
                "nodes": [{"mesh": 0}],
                "meshes": [
                    {
                        "primitives": [
                            {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "material": 0}
                        ]
                    }
                ],
                "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
                "textures": [{"source": 0}],
                "images": [{"uri": uri}],
                "accessors": [
                    {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
                    {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC2"},
                ],
                "bufferViews": [{"buffer": 0, "byteLength": 36}],
                "buffers": [
                    {
                        "byteLength": 36,
                        "uri": f"data:application/octet-stream;base64,{points.decode()}",
                    }
                ],
            }
        )
    )
    return folder / "a.gltf"


def obj(folder, picture):
    (folder / "skin.png").write_bytes(picture)
    (folder / "a.mtl").write_text("newmtl m\nmap_Kd skin.png\n")
    (folder / "a.obj").write_text(f"mtllib a.mtl\n{QUAD}")
    return folder / "a.obj"


def ply(folder, picture):
    (folder / "skin.png").write_bytes(picture)
    (folder / "a.ply").write_text(PLY)
    return folder / "a.ply"


@pytest.mark.parametrize("made", [gltf, obj, ply])
def test_a_picture_in_a_model_starts_no_program(made, programs, tmp_path):
    started, opened = programs
    red = []
    for name in ("EPS", "PNG"):
        texture = load_mesh(made(tmp_path, encoded(name))).materials[0].texture
        red.append(texture is not None and texture[0, 0].tolist() == [1.0, 0.0, 0.0, 1.0])
    assert red == [False, True]
    assert started == []
    assert opened and all(formats and set(formats) <= set(FORMATS) for formats in opened)


def test_nor_does_one_of_cap3d(programs, tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("00000.png", encoded("EPS"))
    with zipfile.ZipFile(tmp_path / "compressed_imgs_perobj_00.zip", "w") as archive:
        archive.writestr("Cap3D_Objaverse_renderimgs/a.zip", inner.getvalue())
    with pytest.raises(ValueError, match="none of PNG"):
        Cap3DPictures(tmp_path).pictures("a")
    assert programs[0] == []


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_listed_is_read_whatever_it_is_called(name):
    with open_picture(encoded(name)) as picture:
        assert picture.format == name and picture.convert("RGB").size == (4, 4)


@pytest.mark.parametrize("name", ["EPS", "PPM", "JPEG2000", "ICO", "PDF"])
def test_everything_else_is_refused_in_one_line(name, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(name))
    with pytest.raises(ValueError, match=r"a\.png is none of PNG, JPEG"):
        open_picture(tmp_path / "a.png")


def test_nothing_else_opens_pictures():
    package = Path(redream.__file__).parent
    sources = [*package.rglob("*.py"), *(package.parent / "plugins").rglob("redream_*.py")]
    found = {
        path.name
        for path in sources
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and (
            node.attr in ("imread", "imopen")
            or ast.unparse(node) in ("Image.open", "PIL.Image.open")
        )
    }
    assert found == {"pictures.py"}
    loads = "trimesh.load"  # which opens pictures by itself
    assert [path.name for path in sources if loads in path.read_text("utf-8")] == []
