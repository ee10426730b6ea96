"""The data module's own work: where assets are drawn."""

from types import SimpleNamespace

import pytest
import torch
import trimesh
from PIL import Image

from redream.assets import FolderStore
from redream.assets.references import ReferenceRenderer
from redream.cameras import turntable
from redream.data import RetrievalDataModule
from redream.image_prompts import ImageCamera, read_image_prompt
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


def test_a_run_keeps_the_picture_that_it_was_shown(folder, tmp_path):
    """As the priors see it: cut out and framed, in the folder of the run that is to learn it."""
    picture = Image.new("RGBA", (40, 30))
    picture.paste((200, 30, 30, 255), (5, 5, 15, 25))
    picture.save(tmp_path / "dog.png")
    for stage in ("predict", "fit"):
        data = RetrievalDataModule(
            "a ball", Two(), FolderStore(folder), num_assets=1, image=str(tmp_path / "dog.png"),
            references=ReferenceRenderer(num_views=1, size=8, cache_dir=None),
        )  # fmt: skip
        data.trainer = SimpleNamespace(
            default_root_dir=str(tmp_path / stage), is_global_zero=True, lightning_module=None,
            strategy=SimpleNamespace(broadcast=lambda views: views),
        )  # fmt: skip
        (tmp_path / stage).mkdir()
        data.setup(stage)
        kept = tmp_path / stage / "image_prompt.png"
        assert kept.is_file() == (stage == "fit")  # others show what was learned
    again = read_image_prompt(kept, ImageCamera(frame=0.0))
    torch.testing.assert_close(again.rgba, data.image.rgba, atol=0.01, rtol=0)


class Unlike(Two):
    """Finds a ball and a box, of which the box is hardly like the prompt."""

    def likeness(self, asset):
        return {"ball": 0.8, "box": 0.1}[asset.uid]


def test_what_is_hardly_like_the_prompt_attracts_nothing(folder, capsys):
    data = RetrievalDataModule("a ball", Unlike(), FolderStore(folder), num_assets=2)
    data.prepare_data()
    assert [asset.caption for asset in data.assets] == ["a ball"] and len(data.meshes) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "'a box' (0.10)" in said
    for others in ({"least_likeness": 0.0}, {"chosen": ["ball", "box"]}):
        data = RetrievalDataModule("a ball", Unlike(), FolderStore(folder), num_assets=2, **others)
        data.prepare_data()
        assert len(data.assets) == 2, others
        assert capsys.readouterr().err == ""
