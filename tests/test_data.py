"""The data module's own work: where assets are drawn."""

from types import SimpleNamespace

import pytest
import torch
import trimesh

from redream.assets import FolderStore
from redream.cameras import turntable
from redream.data import RetrievalDataModule
from redream.retrieval.base import Retriever
from redream.types import Asset


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


class Two(Retriever):
    """Finds a ball and a box."""

    def retrieve(self, prompt, k):
        return [Asset(uid, f"a {uid}", "cc0", scores={"text": 0.5}) for uid in ("ball", "box")][:k]

    def most(self):
        return 2


@pytest.fixture
def folder(tmp_path):
    trimesh.creation.icosphere(subdivisions=1).export(tmp_path / "ball.glb")
    trimesh.creation.box().export(tmp_path / "box.glb")
    trimesh.creation.cylinder(0.3, 1.0).export(tmp_path / "mine.obj")
    return tmp_path


def test_chosen_assets_take_the_place_of_the_nearest(folder):
    data = RetrievalDataModule("a box", Two(), FolderStore(folder), num_assets=1, chosen=["box"])
    data.prepare_data()
    assert [asset.caption for asset in data.assets] == ["a box"]
    assert len(data.meshes[0].faces) == 12 and data.starts == []


def test_own_files_stand_beside_chosen_assets_and_alone_without(folder):
    mine, store = str(folder / "mine.obj"), FolderStore(folder)
    data = RetrievalDataModule("a box", Two(), store, assets=mine, captions="mine", chosen=["ball"])
    data.prepare_data()
    assert [(asset.caption, asset.origin) for asset in data.assets] == [
        ("mine", "own"),
        ("a ball", "library"),
    ]
    assert len(data.meshes[1].faces) == 80 and len(data.meshes) == 2
    assert (
        data.starts == []
    )  # an asset among others attracts; alone it is what particles start from
    alone = RetrievalDataModule("a box", Two(), store, assets=mine, captions="mine")
    alone.prepare_data()
    assert [asset.caption for asset in alone.assets] == ["mine"]
    assert alone.starts == alone.meshes
