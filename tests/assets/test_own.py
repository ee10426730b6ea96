"""The user's own files as assets: what is taken, and how what is wrong is said."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from jsonargparse import ArgumentParser

from redream import cli
from redream.assets import OwnFiles, face_counts, own
from redream.assets.face_counts import stated_faces
from redream.cameras import turntable
from redream.data import RetrievalDataModule, own_files
from redream.kernels.distance import signed_distance
from redream.method.start import start_particles
from redream.representations import Mesh, NeRF
from redream.representations.start import mesh_start
from redream.tools.lightning import configured

ROOT = Path(__file__).parents[2]
CONFIGS = ("default.yaml", "own_asset.yaml")


@pytest.fixture
def ball(tmp_path):
    """A red ball, as a GLB that says whose it is."""
    mesh = trimesh.creation.icosphere(2)
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=[255, 0, 0, 255])
    mesh.visual = trimesh.visual.TextureVisuals(material=material)
    (tmp_path / "ball.glb").write_bytes(mesh.export(file_type="glb"))
    return tmp_path / "ball.glb"


def written(path, vertices, faces):
    mesh = trimesh.Trimesh(np.asarray(vertices, np.float32), np.asarray(faces), process=False)
    mesh.export(path)
    return path


def header_alone(path, num_corners):
    """A GLB that promises many triangles and has no buffer."""
    tree = {
        "asset": {"version": "2.0"},
        "accessors": [{"count": num_corners, "componentType": 5125, "type": "SCALAR"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 0}]}],
        "nodes": [{"mesh": 0}],
    }
    text = json.dumps(tree).encode()
    head = struct.pack("<IIIII", 0x46546C67, 2, 20 + len(text), len(text), 0x4E4F534A)
    path.write_bytes(head + text)
    return path


QUAD = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]


def test_what_is_wrong_with_a_file_is_named_with_the_file(tmp_path, monkeypatch):
    text = tmp_path / "text.glb"
    text.write_text("a dog")
    flat = written(tmp_path / "flat.ply", QUAD[:3], [[0, 1, 1]])
    nan = written(tmp_path / "nan.ply", [*QUAD[:3], [np.nan, 0, 1]], [[0, 1, 2], [1, 2, 3]])
    for file, said in (
        (tmp_path / "nowhere.glb", "there is no 3D file at"),
        (header_alone(tmp_path / "many.glb", 15_000_000), "5,000,000 faces"),
        (text, "it is not a GLB file"),
        (flat, "no triangle with an area"),
        (nan, "1 of its vertices are no numbers"),
    ):
        with pytest.raises((ValueError, OSError), match=said) as caught:
            OwnFiles([file], ["a dog"]).load("0")
        assert file.name in str(caught.value) and "\n" not in str(caught.value)
    monkeypatch.setattr(own, "MAX_FACES", 1)
    many = written(tmp_path / "many.ply", QUAD[:4], [[0, 1, 2], [1, 2, 3]])
    with pytest.raises(ValueError, match="2 faces.*decimate"):
        OwnFiles([many], ["a dog"]).load("0")


def test_faces_are_counted_before_any_is_read(tmp_path, monkeypatch):
    corners = [[0, 1, 2], [1, 2, 3], [0, 1, 3]]
    ply = written(tmp_path / "many.ply", QUAD[:4], corners)
    obj = written(tmp_path / "many.obj", QUAD[:4], corners)
    for chunk in (2**24, 1, 2, 3, 5):  # whatever a chunk cuts in two
        monkeypatch.setattr(face_counts, "_CHUNK_BYTES", chunk)
        assert stated_faces(obj) == 3
    assert stated_faces(ply) == 3
    monkeypatch.setattr(own, "MAX_FACES", 2)
    monkeypatch.setattr(own, "load_mesh", None)  # it is not called
    for file in (ply, obj):
        with pytest.raises(ValueError, match="3 faces.*decimate"):
            OwnFiles([file], ["a dog"])
    ply.write_bytes(b"ply\nelement face many\nend_header\n")
    assert stated_faces(ply) == 0


def test_an_edge_of_three_faces_is_named_and_no_obstacle(tmp_path):
    fan = written(tmp_path / "fan.ply", QUAD, [[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    with pytest.warns(RuntimeWarning, match=r"fan.ply is not manifold: 1 edges"):
        assert len(OwnFiles([fan], ["a fan"]).load("0").faces) == 3


def test_data_needs_files_with_captions_or_a_retriever(ball):
    with pytest.raises(ValueError, match="nowhere to take assets from"):
        RetrievalDataModule("a dog")
    with pytest.raises(ValueError, match="2 captions for 1 assets"):
        RetrievalDataModule("a dog", assets=str(ball), captions=["a ball", "a dog"])
    with pytest.raises(ValueError, match="set data.assets"):
        RetrievalDataModule("a dog", captions="a ball")


def test_own_assets_take_the_place_of_retrieved_ones(ball, capsys):
    data = RetrievalDataModule("a golden ball", assets=[str(ball), str(ball)])
    assert capsys.readouterr().err.count("\n") == 1
    data.setup("fit")
    assert data.references.captions == ("a golden ball",) * 2
    assert [each.source for each in data.assets] == ["your own file ball.glb"] * 2
    assert data.assets[0].author == "you"
    assert len(data.starts) == 2
    views = data.render_asset(0, turntable(1), 16, 16)
    assert views.rgb[0, 0].sum() > 0.5 * views.opacity.sum() > 0.0


def test_every_particle_starts_with_the_shape_and_the_colours_of_an_asset(ball):
    data = RetrievalDataModule("a ball", assets=str(ball), captions="a red ball")
    data.setup("fit")
    small = {"num_levels": 4, "log2_table_size": 12, "max_resolution": 64}
    particles = [NeRF(radius=0.95, init_steps=100, **small), Mesh(seed=1, init_steps=50, **small)]
    known = [list(each.parameters()) for each in particles]
    start_particles(particles, data.starts, seed=0)
    for before, particle in zip(known, particles, strict=True):
        assert all(a is b for a, b in zip(before, particle.parameters(), strict=True))
        views = particle.eval().render(turntable(2), 32, 32)
        wanted = data.render_asset(0, turntable(2), 32, 32)
        ours, theirs = views.opacity > 0.5, wanted.opacity > 0.5
        assert (ours & theirs).sum() > 0.85 * (ours | theirs).sum()
        red, green, _ = views.rgb.sum((0, 2, 3)) / views.opacity.sum()
        assert red > 0.8 and green < 0.2
    points = torch.rand(4000, 3) * 2.0 - 1.0
    start = mesh_start(data.starts[0])
    inside = signed_distance(start.vertices, start.faces, points) > 0.0
    agrees = (particles[0].density(points) > 16.0) == inside
    assert agrees.float().mean() > 0.9


def test_a_particle_that_was_made_from_something_does_not_start_from_an_asset(ball, tmp_path):
    data = RetrievalDataModule("a ball", assets=str(ball), captions="a red ball")
    data.setup("fit")
    cube = tmp_path / "cube.ply"
    cube.write_bytes(trimesh.creation.box().export(file_type="ply"))
    particle = Mesh(init_from=str(cube), init_steps=0, num_levels=2)
    start_particles([particle], data.starts, seed=0)
    assert len(particle.faces) == 12


@pytest.mark.parametrize(
    ("file", "said"), [("text.glb", "it is not a GLB file"), ("nowhere.glb", "there is no 3D file")]
)
def test_a_bad_file_ends_the_command_with_one_line_and_nothing_written(
    tmp_path, monkeypatch, capsys, embedded_cache, file, said
):
    monkeypatch.setenv("REDREAM_CACHE", str(embedded_cache))
    (tmp_path / "text.glb").write_text("a dog")
    code = cli.main(
        [
            "fit", *(f"--config={ROOT / 'configs' / name}" for name in CONFIGS), "--prompt=a dog",
            f"--trainer.default_root_dir={tmp_path / 'out'}", "--model.num_particles=1",
            f"--data.assets={tmp_path / file}", "--data.captions=a dog", "--data.encoder=null",
        ]
    )  # fmt: skip
    complaints = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert code == cli.USER_ERROR
    assert len(complaints) == 1 and said in complaints[0]
    assert not (tmp_path / "out").exists()


def test_the_overlay_leaves_the_looks_to_the_prompt_and_holds_the_shape(
    ball, monkeypatch, embedded_cache
):
    monkeypatch.setenv("REDREAM_CACHE", str(embedded_cache))
    default, overlay = (ROOT / "configs" / name for name in CONFIGS)
    model = configured(
        default, f"--config={overlay}", "--prompt=a ball", f"--data.assets={ball}",
        "--data.captions=a red ball",
    ).model  # fmt: skip
    assert model.warmup.steps == model.correction.period == 0
    assert model.warmup.shape_weight.at(349) > 0.0 and model.guidance.timesteps.high.at(0) > 0.9


@pytest.mark.parametrize(
    ("given", "captions"),
    [
        ("[a dog, 1984]", ["a dog", "1984"]),
        ("['007', 'yes', 2.5]", ["007", "yes", "2.5"]),
        ("[a dog, [1984]", ["[a dog, [1984]"]),
        ("a dog, 1984", ["a dog, 1984"]),
        ("1984", ["1984"]),
    ],
)
def test_captions_on_the_command_line_are_texts(ball, given, captions):
    parser = ArgumentParser()
    parser.add_class_arguments(RetrievalDataModule, "data")
    read = parser.parse_args(["--data.prompt=a dog", f"--data.captions={given}"]).data.captions
    found = own_files([str(ball)] * len(captions), read, "a dog")
    assert found.captions == captions


def test_a_caption_that_yaml_takes_for_a_truth_is_refused(ball):
    with pytest.raises(ValueError, match="reads as true: put it between quotes"):
        own_files([str(ball)] * 2, ["a dog", True], "a dog")
