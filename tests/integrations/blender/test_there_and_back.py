"""What our files say of whose they are is there after Blender has read and written them."""

import pytest
import torch
from fabricated import make_box, stack

from redream.assets import write_glb
from redream.assets.attribution import model_extras
from redream.assets.credits import node_extras
from redream.assets.gltf import read_header
from redream.assets.own import OwnFiles
from redream.export.splat_formats import write_glb_splats
from redream.kernels.splats_projection import Gaussians
from redream.types import Asset

ELEPHANT = model_extras(
    "a golden elephant",
    [
        Asset("a1", "an elephant", license="by", author="Anna", source="https://a.example/1"),
        Asset("a2", "a dog", license="by-nc", author="Zoë", source="https://a.example/2"),
    ],
)
SPLATS = model_extras("a splat", [Asset("a3", "a cat", license="by-sa", author="Carl")])


@pytest.fixture(scope="module")
def returned(in_blender, tmp_path_factory):
    """What objects said in Blender, and the file that came back."""
    folder = tmp_path_factory.mktemp("there")
    both = stack(make_box({}), make_box({}))
    both = both._replace(nodes=("left", "right"), face_nodes=both.face_materials)
    write_glb(folder / "mesh.glb", both, ELEPHANT)
    means, scales, colours = torch.eye(4)[:, :3], torch.full((4, 3), 0.1), torch.rand(4, 1, 3)
    splats = Gaussians(means, scales, torch.eye(4), torch.full((4,), 0.5), colours)
    write_glb_splats(folder / "splats.glb", splats, SPLATS)
    files = [str(folder / name) for name in ("mesh.glb", "splats.glb")]
    out = folder / "back.glb"
    return in_blender("there_and_back.py", files=files, out=str(out)), out


def test_objects_say_it_as_custom_properties(returned):
    said = [each for each in returned[0]["said"] if each]
    assert sorted(said, key=lambda each: each["title"]) == [
        node_extras(ELEPHANT),
        node_extras(ELEPHANT),
        node_extras(SPLATS),
    ]


def test_our_reader_finds_all_who_made_it(returned):
    assert "extras" not in read_header(returned[1])["asset"]
    (record,) = OwnFiles([returned[1]], ["what came back"]).assets()
    assert record.author == "Anna; Zoë; Carl"
    assert record.license == "by + by-nc + by-sa"
    assert record.source == "https://a.example/1; https://a.example/2"
