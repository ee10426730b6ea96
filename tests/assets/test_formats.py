"""Each format is written from one mesh and read again, by us and by others' readers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from fabricated import BLUE, RED, make_box, make_quad, quadrant_picture, stack

from redream.assets import AssetRenderer, load_mesh, normalize
from redream.assets.attribution import model_extras
from redream.assets.formats import FORMATS
from redream.assets.gltf import read_header
from redream.cameras import turntable
from redream.types import Asset, Material, Sampler

ASSETS = [
    Asset("uid-0", "a\ndog", "by", "Änne", "https://example.org/dog"),
    Asset("uid-1", "a cat"),
]
EXTRAS = model_extras("a golden dog", ASSETS)
ROOT = Path(__file__).parents[2]


def textured_box(unlit=True):
    """A box with a picture on its sides, as a model has it."""
    picture = torch.from_numpy(quadrant_picture()).float() / 255.0
    texture = torch.cat([picture, torch.ones(8, 8, 1)], dim=-1)
    quad = make_quad(Material(texture=texture, unlit=unlit))
    box = make_box({})
    uvs = quad.corner_uvs.repeat(6, 1, 1)
    white = torch.ones_like(box.corner_colors)
    return normalize(box._replace(corner_uvs=uvs, corner_colors=white, materials=quad.materials))


def pictures(mesh):
    return AssetRenderer(mesh, ambient=1.0, diffuse=0.0).render(turntable(5, 20.0), 32, 32)


def difference(path, mesh):
    before, after = pictures(mesh), pictures(load_mesh(path))
    assert before.opacity.sum() > 100
    return float((before.rgb - after.rgb).abs().mean())


@pytest.mark.parametrize("name", ["glb", "obj"])
def test_what_is_written_looks_the_same_when_read(tmp_path, name):
    mesh, path = textured_box(), tmp_path / f"model{FORMATS[name].suffix}"
    FORMATS[name].write(path, mesh, EXTRAS)
    assert difference(path, mesh) < 2e-3


def test_obj_names_its_files_and_says_what_it_is_made_of(tmp_path):
    FORMATS["obj"].write(tmp_path / "model.obj", textured_box(), EXTRAS)
    assert {path.name for path in tmp_path.iterdir()} == {"model.obj", "model.mtl", "model.png"}
    for name in ("model.obj", "model.mtl"):
        lines = (tmp_path / name).read_text("utf-8").splitlines()
        assert "# title: a golden dog" in lines
        assert any("author Änne; license by" in line and "caption a dog" in line for line in lines)
    text = (tmp_path / "model.mtl").read_text("utf-8")
    assert "map_Kd model.png" in text and "illum 0" in text
    loaded = trimesh.load(tmp_path / "model.obj", force="mesh")
    assert loaded.is_winding_consistent and loaded.volume > 0


def test_ply_has_the_textures_colours_at_its_vertices(tmp_path):
    mesh = normalize(make_box({"+z": RED, "-x": BLUE}))
    FORMATS["ply"].write(tmp_path / "model.ply", mesh, EXTRAS)
    head = (tmp_path / "model.ply").read_bytes().split(b"end_header")[0].decode("ascii")
    assert "comment title: a golden dog" in head and r"author \xc4nne" in head
    loaded = trimesh.load(tmp_path / "model.ply", process=False)
    np.testing.assert_allclose(loaded.vertices, mesh.vertices.numpy(), atol=1e-6)
    np.testing.assert_array_equal(loaded.faces, mesh.faces.numpy())
    corner = torch.zeros(len(mesh.vertices), 4).index_add(
        0, mesh.faces.reshape(-1), mesh.corner_colors.reshape(-1, 4)
    )
    expected = corner / torch.bincount(mesh.faces.reshape(-1))[:, None]
    np.testing.assert_allclose(loaded.visual.vertex_colors / 255.0, expected.numpy(), atol=0.003)
    assert load_mesh(tmp_path / "model.ply").corner_colors.min() < 0.5


@pytest.mark.parametrize("unlit", [True, False])
def test_usd_holds_the_model_its_texture_and_its_sources(tmp_path, unlit):
    pytest.importorskip("pxr", reason="usd-core is not installed")
    from pxr import Usd, UsdGeom, UsdShade

    mesh, path = textured_box(unlit), tmp_path / "model.usdz"
    FORMATS["usd"].write(path, mesh, EXTRAS)
    assert [each.name for each in tmp_path.iterdir()] == ["model.usdz"]
    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    prim = UsdGeom.Mesh(stage.GetPrimAtPath("/model/mesh_0"))
    points = np.array(prim.GetPointsAttr().Get())[prim.GetFaceVertexIndicesAttr().Get()]
    np.testing.assert_allclose(points.reshape(-1, 3, 3), mesh.vertices[mesh.faces], atol=1e-6)
    st = np.array(UsdGeom.PrimvarsAPI(prim).GetPrimvar("st").Get())
    np.testing.assert_allclose(1.0 - st[:, 1], mesh.corner_uvs.reshape(-1, 2)[:, 1], atol=1e-6)
    material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()
    surface = material.ComputeSurfaceSource()[0]
    colored = surface.GetInput("emissiveColor" if unlit else "diffuseColor")
    texture = UsdShade.Shader(colored.GetConnectedSources()[0][0].source.GetPrim())
    assert texture.GetInput("file").Get().resolvedPath.endswith("texture_0.png]")
    data = stage.GetRootLayer().customLayerData
    assert data["title"] == "a golden dog" and data["attribution"]["item_0"]["author"] == "Änne"


def test_a_missing_usd_library_is_named_in_one_line(tmp_path):
    """In a process of its own, where the library cannot be found."""
    code = (
        "import sys; sys.modules['pxr'] = None\n"
        "from redream.callbacks import Export\n"
        "Export(formats=['glb'])\n"
        "try: Export(formats=['usd'])\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == (
        "the format usd needs the library usd-core: pip install 'redream[usd]'"
    ), done.stderr


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_left_when_there_is_nothing_to_write(tmp_path, name):
    empty = make_box({})._replace(faces=torch.zeros(0, 3).long())
    with pytest.raises(ValueError, match="no faces"):
        FORMATS[name].write(tmp_path / f"model{FORMATS[name].suffix}", empty, EXTRAS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["obj", "ply"])
def test_nothing_is_left_behind_when_writing_fails(tmp_path, monkeypatch, name):
    def fail(*_):
        raise OSError("disk is full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="full"):
        FORMATS[name].write(tmp_path / f"model{FORMATS[name].suffix}", textured_box(), EXTRAS)
    assert not list(tmp_path.iterdir())


def validate(path):
    """What Khronos's validator says of a file; skips where there is none."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = (
        "const validator = require('gltf-validator');"
        "validator.validateBytes(new Uint8Array(require('fs').readFileSync(process.argv[1])))"
        ".then(report => console.log(JSON.stringify(report)))"
    )
    places = [str(ROOT / "node_modules"), os.environ.get("NODE_PATH", "")]
    world = {**os.environ, "NODE_PATH": os.pathsep.join(places)}
    done = subprocess.run(
        [node, "-e", script, str(path)], env=world, capture_output=True, text=True
    )
    if "Cannot find module 'gltf-validator'" in done.stderr:
        pytest.skip("gltf-validator is missing: npm install --no-save gltf-validator")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "mesh",
    [
        textured_box(),
        textured_box(unlit=False),
        stack(make_quad(Material((0.2, 0.4, 0.6, 0.5))), make_box({"+z": RED})),
    ],
    ids=["unlit", "lit", "parts"],
)
def test_khronos_validator_finds_nothing(tmp_path, mesh):
    FORMATS["glb"].write(tmp_path / "model.glb", mesh, EXTRAS)
    report = validate(tmp_path / "model.glb")
    assert report["info"]["totalTriangleCount"] == len(mesh.faces)
    issues = report["issues"]
    assert issues["numErrors"] == issues["numWarnings"] == 0, issues["messages"]


def test_khronos_validator_would_find_something(tmp_path):
    FORMATS["glb"].write(tmp_path / "model.glb", textured_box(), EXTRAS)
    data = (tmp_path / "model.glb").read_bytes()
    (tmp_path / "model.glb").write_bytes(data.replace(b'"SCALAR"', b'"SCALER"'))
    assert validate(tmp_path / "model.glb")["issues"]["numErrors"] > 0


def glowing_box():
    """A box of two named parts: one that gives out light, one with a mirrored, sharp picture."""
    box = textured_box(unlit=False)
    picture = box.materials[0].texture
    materials = (
        Material((0.0, 0.0, 0.0, 1.0), None, name="lamp", emission=(2.0, 0.5, 0.0)),
        Material(texture=picture, sampler=Sampler("mirror", "clamp", True), name="pattern"),
        Material((0.1, 0.1, 0.1, 1.0), emission=(1.0, 1.0, 1.0), emission_texture=picture[..., :3]),
    )
    owner = torch.arange(len(box.faces)) // 4
    nodes = ("bulb", "shade", "foot")
    uvs = box.corner_uvs * 2.0 - 0.5
    return box._replace(
        materials=materials, face_materials=owner, face_nodes=owner, nodes=nodes, corner_uvs=uvs
    )


def test_glb_keeps_emission_samplers_and_names(tmp_path):
    mesh, path = glowing_box(), tmp_path / "model.glb"
    FORMATS["glb"].write(path, mesh, EXTRAS)
    read = load_mesh(path)
    assert difference(path, mesh) < 1e-3
    assert read.nodes == mesh.nodes
    assert [each.name for each in read.materials] == ["lamp", "pattern", ""]
    assert read.materials[0].emission == pytest.approx((2.0, 0.5, 0.0))
    assert read.materials[1].sampler == mesh.materials[1].sampler
    header = read_header(path)
    assert header["extensionsUsed"] == ["KHR_materials_emissive_strength"]
    assert len(header["textures"]) == 2


def test_obj_keeps_emission_opacity_and_names(tmp_path):
    mesh, path = glowing_box(), tmp_path / "model.obj"
    holes = mesh.materials[1].texture.clone()
    holes[:4, :4, 3] = 0.0
    clamped = mesh.materials[1]._replace(texture=holes, sampler=Sampler("clamp", "clamp"))
    capped = mesh.materials[0]._replace(emission=(1.0, 0.5, 0.0))  # MTL has no strength
    mesh = mesh._replace(materials=(capped, clamped, mesh.materials[2]))
    FORMATS["obj"].write(path, mesh, EXTRAS)
    read = load_mesh(path)
    assert difference(path, mesh) < 5e-3
    assert read.nodes == mesh.nodes and read.materials[0].name == "lamp"
    assert bool((read.materials[1].texture[..., 3] == 0.0).any())
