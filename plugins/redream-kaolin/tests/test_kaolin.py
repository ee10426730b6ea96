"""With kaolin, with a stand-in for it, and with the placeholder that PyPI has."""

import sys
from types import ModuleType

import pytest
import torch
from redream_kaolin import DMTet
from redream_kaolin.kaolin import find_kaolin, install_line, kaolin_visibility
from redream_kaolin.marching import marching_tetrahedra

from redream.cameras import turntable
from redream.kernels.fragments import cast_visibility
from redream.meshes.triangles import sphere

SMALL = dict(num_levels=3, log2_table_size=10, base_resolution=4, max_resolution=16, hidden=8)
PLACEHOLDER = 'raise ImportError("This is the kaolin placeholder wheel, not the package.")\n'


@pytest.fixture(autouse=True)
def fresh_search(monkeypatch):
    """kaolin is looked for anew, and forgotten afterwards."""
    real = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "kaolin"}
    find_kaolin.cache_clear()
    yield
    find_kaolin.cache_clear()
    sys.modules.update(real)


@pytest.fixture
def kaolin(monkeypatch):
    """kaolin where it is installed, else a stand-in with its signatures; both record calls."""
    calls = []
    package = find_kaolin().kaolin
    find_kaolin.cache_clear()
    if package is None:
        package = ModuleType("kaolin")
        for name in ("ops", "ops.conversions", "render", "render.mesh"):
            parent, _, last = f"kaolin.{name}".rpartition(".")
            module = ModuleType(f"kaolin.{name}")
            monkeypatch.setitem(sys.modules, f"kaolin.{name}", module)
            setattr(package if parent == "kaolin" else sys.modules[parent], last, module)
        monkeypatch.setitem(sys.modules, "kaolin", package)
        march, rasterize = _march, _rasterize
    else:
        march = package.ops.conversions.marching_tetrahedra
        rasterize = package.render.mesh.rasterize

    def record(name, function):
        def recorded(*args, **kwargs):
            calls.append(name)
            return function(*args, **kwargs)

        return recorded

    conversions, mesh = package.ops.conversions, package.render.mesh
    monkeypatch.setattr(conversions, "marching_tetrahedra", record("march", march), raising=False)
    monkeypatch.setattr(mesh, "rasterize", record("rasterize", rasterize), raising=False)
    package.calls = calls
    return package


def _march(vertices, tets, sdf, return_tet_idx=False):
    """kaolin's signature: batched vertices and distances, lists of results."""
    assert vertices.ndim == 3
    assert sdf.ndim == 2
    found = [marching_tetrahedra(v, tets, s) for v, s in zip(vertices, sdf, strict=True)]
    return [list(part) for part in zip(*found, strict=True)][: 3 if return_tet_idx else 2]


def _rasterize(height, width, face_vertices_z, face_vertices_image, face_features,
               valid_faces=None, multiplier=None, eps=None, backend="cuda"):  # fmt: skip
    """What kaolin documents: image coordinates in [-1, 1], y up, and z negative ahead."""
    assert backend == "cuda"
    x = (2.0 * torch.arange(width) + 1.0 - width) / width
    y = (height - 2.0 * torch.arange(height) - 1.0) / height
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).view(-1, 1, 2)
    images = []
    for z, corners, valid in zip(face_vertices_z, face_vertices_image, valid_faces, strict=True):
        a, b, c = corners.unbind(1)

        def cross(p, q):
            return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]

        whole = cross(b - a, c - a)
        weights = [cross(q - pixels, r - pixels) / whole for q, r in ((b, c), (c, a), (a, b))]
        weights = torch.stack(weights, -1)
        inside = (weights >= 0).all(-1) & valid
        depth = 1.0 / (weights / z).sum(-1)
        best, face = torch.where(inside, depth, -torch.inf).max(1)
        images.append(torch.where(best.isfinite(), face, -1).view(height, width))
    return torch.zeros(len(images), height, width, 1), torch.stack(images)


def test_kaolin_is_called_and_gives_the_same_picture(kaolin):
    scene = DMTet(resolution=12, backend="kaolin", **SMALL)
    assert scene.uses_kaolin
    with_kaolin = scene.render(turntable(1), 16, 16)
    assert kaolin.calls == ["march"]  # its rasteriser is for CUDA
    without = DMTet(resolution=12, backend="torch", **SMALL).render(turntable(1), 16, 16)
    assert kaolin.calls == ["march"]
    torch.testing.assert_close(with_kaolin.rgb, without.rgb)
    with_kaolin.opacity.sum().backward()
    assert scene.sdf.grad.abs().sum() > 0


def test_kaolins_rasteriser_sees_what_rays_see(kaolin):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and hasattr(kaolin, "__version__"):
        pytest.skip("kaolin's own rasteriser needs CUDA")
    vertices, faces = (part.to(device) for part in sphere(0.7, 2))
    vertices = vertices * vertices.new_tensor([1.0, 0.6, 0.8]) + vertices.new_tensor([0.2, 0.1, 0])
    cameras = turntable(2).to(device)
    seen = kaolin_visibility(kaolin, vertices, faces, cameras, 20, 28)
    assert kaolin.calls == ["rasterize"]
    expected = cast_visibility(vertices, faces, cameras, 20, 28)
    assert (seen == expected).float().mean() > 0.99
    assert (expected >= 0).any()


def test_the_placeholder_is_recognised(monkeypatch, tmp_path):
    (tmp_path / "kaolin.py").write_text(PLACEHOLDER)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "kaolin"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.warns(
        RuntimeWarning, match="without kaolin.*placeholder.*pip install kaolin==0.18"
    ):
        scene = DMTet(resolution=4, **SMALL)
    assert not scene.uses_kaolin
    assert len(scene.surface()[1]) > 0
    with pytest.raises(ValueError, match="placeholder") as caught:
        DMTet(resolution=4, backend="kaolin", **SMALL)
    assert install_line() in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_kaolin_is_missed_only_where_it_is_asked_for(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "kaolin"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Hide(), *sys.meta_path])
    assert not DMTet(resolution=4, **SMALL).uses_kaolin
    with pytest.raises(ValueError, match="kaolin is not installed: pip install kaolin=="):
        DMTet(resolution=4, backend="kaolin", **SMALL)


class _Hide:
    """Says that there is no kaolin."""

    def find_spec(self, name, path=None, target=None):
        if name == "kaolin":
            raise ModuleNotFoundError("No module named 'kaolin'", name="kaolin")
