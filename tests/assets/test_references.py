import os
import shutil

import pytest
import torch
from fabricated import BLUE, RED, make_box
from killing import killed

from redream.assets import AssetRenderer, ReferenceRenderer, rotate_yaw


@pytest.fixture
def meshes():
    return [make_box({"+z": RED}), make_box({"+z": BLUE})]


def test_pictures_are_the_renderers_and_cameras_match(meshes):
    references = ReferenceRenderer(num_views=6, size=16).render(meshes, ["red", "blue"])
    assert references.rgba.shape == (12, 4, 16, 16)
    assert references.captions == ("red", "blue")
    assert references.asset_index.tolist() == [0] * 6 + [1] * 6
    views = AssetRenderer(meshes[1]).render(references.cameras.select(slice(6, 12)), 16, 16)
    torch.testing.assert_close(references.rgba[6:, :3], views.rgb, atol=2.1e-3, rtol=0)
    torch.testing.assert_close(references.rgba[6:, 3:], views.opacity, atol=2.1e-3, rtol=0)


def test_few_pictures_are_drawn_at_once_and_all_are_the_same(meshes, monkeypatch):
    """A hundred of 512 pixels at once would take 9 GB."""
    whole, sizes = ReferenceRenderer(num_views=6, size=16).render(meshes, ["a", "b"]), []
    render = AssetRenderer.render

    def counted(self, cameras, *arguments):
        sizes.append(cameras.num)
        return render(self, cameras, *arguments)

    monkeypatch.setattr(AssetRenderer, "render", counted)
    monkeypatch.setattr("redream.assets.references._RAYS_AT_ONCE", 4 * 32 * 32)
    parts = ReferenceRenderer(num_views=6, size=16).render(meshes, ["a", "b"])
    assert sizes == [4, 2, 4, 2]
    assert torch.equal(parts.rgba, whole.rgba)


def test_cameras_cover_the_circle_and_repeat_with_the_seed():
    renderer = ReferenceRenderer(num_views=100)
    azimuth = renderer.cameras(0).azimuth_deg.sort().values
    assert azimuth.diff().max() < 2 * 3.6 + 1e-3
    assert torch.equal(ReferenceRenderer().cameras(1).c2w, renderer.cameras(1).c2w)
    assert not torch.equal(ReferenceRenderer(seed=1).cameras(0).c2w, renderer.cameras(0).c2w)


def test_cached_by_content(meshes, tmp_path, monkeypatch):
    def render(meshes, **arguments):
        renderer = ReferenceRenderer(num_views=3, cache_dir=tmp_path / "cache", **arguments)
        return renderer.render(meshes, ["a", "b"]).rgba

    first = render(meshes, size=16)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    with monkeypatch.context() as patch:
        patch.setattr(AssetRenderer, "render", None)  # any rendering would fail
        assert torch.equal(render(meshes, size=16), first)
    render([rotate_yaw(mesh, 90.0) for mesh in meshes], size=16)
    render([mesh._replace(corner_colors=mesh.corner_colors * 0.5) for mesh in meshes], size=16)
    render(meshes, size=8)
    render(meshes, size=16, seed=5)
    assert len(list((tmp_path / "cache").iterdir())) == 10


def test_a_half_written_cache_file_is_drawn_again(meshes, tmp_path):
    renderer = ReferenceRenderer(num_views=2, size=8, cache_dir=tmp_path)
    first = renderer.render(meshes, ["a", "b"]).rgba
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:40])
    assert torch.equal(renderer.render(meshes, ["a", "b"]).rgba, first)
    assert torch.equal(renderer.render(meshes, ["a", "b"]).rgba, first)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the work is forked")
def test_a_kill_while_pictures_are_kept_leaves_none_that_are_read(meshes, tmp_path):
    renderer = ReferenceRenderer(num_views=2, size=8, cache_dir=tmp_path)
    expected = ReferenceRenderer(num_views=2, size=8).render(meshes, ["a", "b"]).rgba
    killed(lambda: renderer.render(meshes, ["a", "b"]), "replace", os, 2)
    assert len([each for each in tmp_path.iterdir() if each.suffix == ".safetensors"]) == 2
    assert len([each for each in tmp_path.iterdir() if not each.name.startswith(".")]) == 1
    assert torch.equal(renderer.render(meshes, ["a", "b"]).rgba, expected)


def test_a_deleted_cache_is_made_again(meshes, tmp_path):
    renderer = ReferenceRenderer(num_views=2, size=8, cache_dir=tmp_path / "cache")
    first = renderer.render(meshes, ["a", "b"]).rgba
    shutil.rmtree(tmp_path / "cache")
    assert torch.equal(renderer.render(meshes, ["a", "b"]).rgba, first)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_without_room_pictures_are_drawn_and_not_kept(meshes, small_disk):
    expected = ReferenceRenderer(num_views=2, size=8).render(meshes, ["a", "b"]).rgba
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    renderer = ReferenceRenderer(num_views=2, size=8, cache_dir=small_disk)
    with pytest.warns(RuntimeWarning, match="draws this again: cannot write .*: [Nn]o space left"):
        assert torch.equal(renderer.render(meshes, ["a", "b"]).rgba, expected)
    assert [each.name for each in small_disk.iterdir()] == ["ballast"]
