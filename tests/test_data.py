"""The data module's own work: where assets are drawn."""

from types import SimpleNamespace

import torch

from redream.cameras import turntable
from redream.data import RetrievalDataModule


class Renderer:
    """Stands for an ``AssetRenderer``; writes down where it was made."""

    made = []

    def __init__(self, mesh, device="cpu"):
        self.mesh, self.device = mesh, torch.device(device)
        self.made.append((mesh, str(device)))

    def render(self, cameras, height, width):
        return self.mesh, str(cameras.c2w.device)


def test_assets_are_drawn_where_the_particles_are(monkeypatch):
    """``meta`` stands for a GPU: its cameras stay there, and each asset goes there once."""
    monkeypatch.setattr("redream.data.AssetRenderer", Renderer)
    monkeypatch.setattr(Renderer, "made", [])
    data = RetrievalDataModule("a dog", SimpleNamespace(), SimpleNamespace())
    data.meshes = ["dog", "cat"]
    data._renderers = [Renderer(mesh) for mesh in data.meshes]
    cameras = turntable(2).to("meta")
    for _ in range(2):
        assert data.render_asset(1, cameras, 8, 8) == ("cat", "meta")
    assert Renderer.made == [("dog", "cpu"), ("cat", "cpu"), ("cat", "meta")]
