"""An own asset that came with texture coordinates leaves with them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from redream.assets import load_mesh
from redream.assets.formats.obj import _material_names
from redream.assets.gltf import read_header
from redream.export.atlas import textured_mesh
from redream.export.models import ModelExport
from redream.representations import Mesh
from redream.types import Material, TriangleMesh

SMALL = {"num_levels": 4, "log2_table_size": 12, "max_resolution": 64}
RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def two_squares(shift=(0.0, 0.0), shared=False):
    """A red square at the front and a blue one behind it, in two materials and nodes."""
    square = torch.tensor([[-0.6, -0.6], [0.6, -0.6], [0.6, 0.6], [-0.6, 0.6]])
    vertices = torch.cat([torch.nn.functional.pad(square, (0, 1), value=z) for z in (0.3, -0.3)])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    uvs = torch.tensor([[0.1, 0.9], [0.9, 0.9], [0.9, 0.1], [0.1, 0.1]]) + torch.tensor(shift)
    owner = torch.tensor([0, 0, 1, 1])
    colors = torch.ones(4, 3, 4)
    colors[:2, :, :3], colors[2:, :, :3] = torch.tensor(RED), torch.tensor(BLUE)
    return TriangleMesh(
        vertices,
        faces,
        torch.tensor([0.0, 0.0, 1.0]).expand(4, 3, 3).contiguous(),
        uvs[faces % 4],
        colors,
        torch.zeros(4, dtype=torch.long) if shared else owner,
        (Material(name="front"), Material(name="back")),
        owner,
        ("door", "wall"),
    )


def particle(mesh, tmp_path, **more):
    """The texture stage, started from an asset's file."""
    from redream.assets import write_glb

    textured = tuple(m._replace(texture=torch.ones(4, 4, 4)) for m in mesh.materials)
    write_glb(tmp_path / "own.glb", mesh._replace(materials=textured))
    return Mesh(init_from=str(tmp_path / "own.glb"), init_steps=150, **SMALL, **more)


def colors_at(mesh, material):
    """The mean colour of a material's texture."""
    found = next(each for each in mesh.materials if each.name == material)
    return found.texture[..., :3].mean((0, 1)).tolist()


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, -3.0)])
def test_texture_coordinates_materials_and_nodes_leave_as_they_came(shift, tmp_path):
    own = particle(two_squares(shift), tmp_path)
    mesh = textured_mesh(own, texture_size=64)
    came = load_mesh(tmp_path / "own.glb")

    def corners(mesh):
        keyed = torch.cat([mesh.vertices[mesh.faces], mesh.corner_uvs], dim=-1).reshape(-1, 5)
        return np.unique(keyed.numpy().round(4), axis=0)

    np.testing.assert_allclose(corners(mesh), corners(came), atol=2e-4)
    assert mesh.nodes == ("door", "wall")
    assert [each.name for each in mesh.materials] == ["front", "back"]
    assert colors_at(mesh, "front") == pytest.approx(RED, abs=0.1)
    assert colors_at(mesh, "back") == pytest.approx(BLUE, abs=0.1)


def test_the_exported_file_has_them_unless_it_is_unwrapped(tmp_path):
    own = particle(two_squares(), tmp_path)
    ModelExport(texture_size=64, picture_size=16).write(own, tmp_path / "kept", {})
    header = read_header(tmp_path / "kept.glb")
    assert [each["name"] for each in header["nodes"]] == ["door", "wall"]
    assert [each["name"] for each in header["materials"]] == ["front", "back"]
    ModelExport(texture_size=64, picture_size=16, unwrap=True).write(own, tmp_path / "new", {})
    assert len(read_header(tmp_path / "new.glb")["materials"]) == 1


def test_a_checkpoint_keeps_them_and_an_older_one_is_read(tmp_path):
    own = particle(two_squares(), tmp_path)
    state = own.state_dict()
    again = Mesh(init_steps=0, **SMALL)
    again.load_state_dict(state)
    kept, came = again.layout(), own.layout()
    assert kept.nodes == came.nodes and torch.equal(kept.corner_uvs, came.corner_uvs)
    older = {k: v for k, v in state.items() if "layout" not in k and "corner_uvs" not in k}
    older = {k: v for k, v in older.items() if k not in ("face_materials", "face_nodes")}
    again = Mesh(init_steps=0, **SMALL)
    again.load_state_dict(older)
    assert again.layout() is None
    assert Mesh(init_steps=0, **SMALL).layout() is None


def test_faces_that_share_texels_are_named(tmp_path):
    own = particle(two_squares(shared=True), tmp_path)  # front and back in one place
    with pytest.warns(RuntimeWarning, match=r"give (4|5).% of its texels to several faces.*unwrap"):
        mesh = textured_mesh(own, texture_size=64)
    assert mesh.nodes == ("door", "wall")


def test_a_layout_that_cannot_hold_a_texture_gives_way_unless_it_is_insisted_on(tmp_path):
    palette = two_squares()
    palette = palette._replace(corner_uvs=palette.corner_uvs * 1e-4)  # all in one texel
    own = particle(palette, tmp_path)
    with pytest.warns(RuntimeWarning, match="give no texels to 100% of its surface: a new atlas"):
        assert len(textured_mesh(own, texture_size=64).materials) == 1
    with pytest.warns(RuntimeWarning, match="to several faces"):
        assert len(textured_mesh(own, texture_size=64, anew=False).materials) == 2


def test_a_surface_without_coordinates_has_no_layout(tmp_path):
    plain = two_squares()
    plain = plain._replace(corner_uvs=torch.zeros(4, 3, 2))
    assert particle(plain, tmp_path).layout() is None


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (("metal_2", "metal", "metal"), ["metal_2", "metal", "metal_2_2"]),
        (("a", "a", "a"), ["a", "a_1", "a_2"]),
        (("", "b c", ""), ["material_0", "b_c", "material_2"]),
        (("a", "a", "a_1"), ["a", "a_1_1", "a_1"]),
    ],
)
def test_every_material_of_an_obj_has_a_name_of_its_own(given, written):
    names = _material_names([SimpleNamespace(name=name) for name in given])
    assert names == written and len(set(names)) == len(names)
