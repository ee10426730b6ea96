import json
import struct

import numpy as np
import pytest
import torch
import trimesh

from redream.assets import AssetRenderer
from redream.assets.writing import write_glb
from redream.export.atlas import find_texels, textured_mesh, unwrap
from redream.types import TriangleMesh


@pytest.fixture(scope="module")
def resolution():
    return 32


def _bilinear(texture: np.ndarray, uvs: np.ndarray) -> np.ndarray:
    """Samples a picture as glTF says: v = 0 is the top row's upper edge."""
    size = texture.shape[0]
    place = uvs * size - 0.5
    low = np.floor(place).astype(int)
    weight = place - low
    sampled = 0.0
    for dy in (0, 1):
        for dx in (0, 1):
            x, y = np.clip(low + (dx, dy), 0, size - 1).T
            share = np.abs(1 - dx - weight[:, 0]) * np.abs(1 - dy - weight[:, 1])
            sampled = sampled + share[:, None] * texture[y, x]
    return sampled


def test_charts_do_not_overlap_and_stay_in_the_square(sphere, resolution):
    vertices, faces = sphere.extract_surface(resolution)
    atlas = unwrap(vertices, faces, 256)
    assert atlas.faces.shape == faces.shape
    assert torch.equal(atlas.vertex_origin[atlas.faces], faces)
    assert atlas.uvs.min() >= 0 and atlas.uvs.max() <= 1
    a, b, c = atlas.uvs[atlas.faces].unbind(1)
    edges = torch.stack([b - a, c - a], dim=-1)
    area = 0.5 * torch.linalg.det(edges).abs().sum() * 256**2
    covered = find_texels(atlas, vertices, 256).covered
    # Overlapping charts would cover fewer texels than their areas sum to.
    assert covered.sum().item() == pytest.approx(area.item(), rel=0.01)


def test_texels_lie_on_the_surface(sphere, resolution):
    vertices, faces = sphere.extract_surface(resolution)
    points, normals, covered = find_texels(unwrap(vertices, faces, 256), vertices, 256)
    assert points.shape == (int(covered.sum()), 3)
    radius = points.norm(dim=-1)
    assert (radius < 0.6 + 1e-3).all() and (radius > 0.6 - 0.01).all()
    assert ((points / radius[:, None] * normals).sum(-1) > 0.99).all()


def test_glb_colours_are_the_fields(sphere, resolution, tmp_path):
    mesh = textured_mesh(sphere, resolution, 256)
    write_glb(tmp_path / "sphere.glb", mesh)
    loaded = trimesh.load_scene(tmp_path / "sphere.glb").to_geometry()
    points, where = trimesh.sample.sample_surface(loaded, 4000, seed=3)
    corners = loaded.triangles[where]
    weights = trimesh.triangles.points_to_barycentric(corners, points)
    uvs = (loaded.visual.uv[loaded.faces[where]] * weights[..., None]).sum(1)
    uvs[:, 1] = 1.0 - uvs[:, 1]  # trimesh turns v upside down
    texture = np.asarray(loaded.visual.material.baseColorTexture.convert("RGB")) / 255.0
    expected = sphere.colors(torch.from_numpy(points).float()).numpy()
    error = np.abs(_bilinear(texture, uvs) - expected)
    assert error.mean() < 0.004
    assert error.max() < 0.06  # also across every seam: no bleeding of the empty texels


def test_mesh_faces_outward_with_unit_normals(sphere, resolution):
    mesh = textured_mesh(sphere, resolution, 256)
    assert isinstance(mesh, TriangleMesh)
    corners = mesh.vertices[mesh.faces]
    outward = torch.nn.functional.normalize(corners, dim=-1)
    assert ((mesh.corner_normals * outward).sum(-1) > 0.98).all()
    a, b, c = corners.unbind(1)
    volume = (a * torch.linalg.cross(b, c)).sum() / 6.0
    assert volume.item() == pytest.approx(4 / 3 * torch.pi * 0.6**3, rel=0.02)


def test_unlit_is_a_choice(sphere, tmp_path):
    for unlit in (True, False):
        path = tmp_path / f"{unlit}.glb"
        write_glb(path, textured_mesh(sphere, 12, 64, unlit=unlit))
        data = path.read_bytes()
        header = json.loads(data[20 : 20 + struct.unpack("<I", data[12:16])[0]])
        assert ("KHR_materials_unlit" in header.get("extensionsUsed", [])) is unlit


def test_the_texture_is_baked_after_faces_are_made_fewer(sphere, resolution):
    mesh = textured_mesh(sphere, resolution, 256, num_faces=600)
    assert len(mesh.faces) <= 600
    points = mesh.vertices[mesh.faces]
    colors = AssetRenderer(mesh).albedo(
        torch.arange(len(points)), torch.full((len(points), 3), 1 / 3)
    )
    assert (colors[:, :3] - sphere.colors(points.mean(1))).abs().mean() < 0.01


def test_a_soft_particle_is_baked_from_what_its_views_show(sphere, resolution, monkeypatch):
    """``colors`` says black, the views say otherwise."""
    expected, seen = sphere.colors, sphere.render
    monkeypatch.setattr(sphere, "is_soft", True, raising=False)
    monkeypatch.setattr(sphere, "colors", lambda points: torch.zeros_like(points))

    def render(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(sphere, "colors", expected)
            return seen(*arguments)

    monkeypatch.setattr(sphere, "render", render)
    mesh = textured_mesh(sphere, resolution, 128)
    points = mesh.vertices[mesh.faces].mean(1)
    colors = AssetRenderer(mesh).albedo(
        torch.arange(len(points)), torch.full((len(points), 3), 1 / 3)
    )
    assert (colors[:, :3] - expected(points)).abs().mean() < 0.02


def test_too_many_faces_are_named_and_made_fewer(sphere, monkeypatch):
    monkeypatch.setattr("redream.export.atlas._MOST_FACES", 500)
    with pytest.warns(
        RuntimeWarning, match=r"has [\d,]+ triangles: making them 500; set num_faces"
    ):
        assert len(textured_mesh(sphere, 24, 64).faces) <= 500


def test_what_is_not_a_number_is_named(sphere, monkeypatch):
    vertices, faces = sphere.extract_surface(8)
    monkeypatch.setattr(sphere, "colors", lambda points: torch.full_like(points, torch.nan))
    with pytest.raises(ValueError, match="colours that are not numbers"):
        textured_mesh(sphere, 8, 32)
    vertices[0] = torch.nan
    monkeypatch.setattr(sphere, "extract_surface", lambda resolution: (vertices, faces))
    with pytest.raises(ValueError, match="vertices that are not numbers"):
        textured_mesh(sphere, 8, 32)


def test_a_surface_that_is_not_manifold_becomes_a_model(sphere, monkeypatch):
    vertices, faces = sphere.extract_surface(8)
    fins = torch.tensor([[0, 1, 5], [0, 1, 7], [0, 0, 3]])
    monkeypatch.setattr(
        sphere, "extract_surface", lambda resolution: (vertices, torch.cat([faces, fins]))
    )
    for num_faces in (None, 60):
        assert len(textured_mesh(sphere, 8, 32, num_faces=num_faces).faces) > 30


def test_no_surface_is_an_error(toy):
    with pytest.raises(ValueError, match="empty"):
        textured_mesh(toy.Sphere(radius=0.0), 12, 64)
