import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from comparing import same, shards
from toy_encoders import ColorEncoder

from redream.assets import FolderStore
from redream.indexing import IndexBuild, PictureSource, RenderedPictures, index_store
from redream.retrieval import ExactRetriever
from redream.retrieval.verifying import verify_index
from redream.types import Asset

SLOWLY = """
import sys, time
from redream.assets import FolderStore
from redream.indexing import IndexBuild, RenderedPictures
sys.path.append(sys.argv[3])
from toy_encoders import ColorEncoder

class Slow(FolderStore):
    def load(self, uid):
        time.sleep(0.2)
        return super().load(uid)

store, encoder = Slow(sys.argv[1]), ColorEncoder()
pictures = RenderedPictures(store, encoder.image_size, num_views=3)
build = IndexBuild(store.assets(), encoder, sys.argv[2], pictures, store.reference(), 2)
for batch in build.batches():
    build.keep(build.embed(batch))
"""


class Colors(PictureSource):
    """A picture of one colour for each uid."""

    def __init__(self, **colors):
        self.colors = colors

    def pictures(self, uid):
        color = self.colors[uid]
        if isinstance(color, Exception):
            raise color
        return torch.tensor(color)[None, :, None, None].expand(2, 3, 16, 16)

    def settings(self):
        return {"made": "by hand"}


def render(folder, out, shard_size=2):
    store, encoder = FolderStore(folder), ColorEncoder()
    pictures = RenderedPictures(store, encoder.image_size, num_views=3)
    return IndexBuild(store.assets(), encoder, out, pictures, store.reference(), shard_size)


def finish(build, **options):
    for batch in build.batches(**options):
        build.keep(build.embed(batch))
    return build.assemble()


def test_from_a_folder_of_files_to_retrieved_assets(boxes, tmp_path):
    store = FolderStore(boxes)
    index = index_store(store, ColorEncoder(), tmp_path / "i", 3, background=0.0, progress=False)
    verify_index(index)
    assert index.store == store.reference()
    assert index.manifest["num_views"] == 3
    best = ExactRetriever(tmp_path / "i", ColorEncoder()).retrieve("blue", 4)
    assert {asset.caption for asset in best} == {"a blue box"}
    assert best[0].scores["image"] == pytest.approx(1.0, abs=0.05)
    again = FolderStore(**index.store["init_args"])
    assert len(again.load(best[0].uid).faces) == 12
    assert {path.name for path in tmp_path.iterdir()} == {"boxes", "i"}


def test_a_killed_build_goes_on_from_its_finished_shards(boxes, tmp_path):
    truth = finish(render(boxes, tmp_path / "truth"))
    out = tmp_path / "index"
    helpers = Path(__file__).parents[1] / "retrieval"
    command = [sys.executable, "-c", SLOWLY, str(boxes), str(out), str(helpers)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(shards(out)) < 3 and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not out.exists()
    finished = shards(out)
    build = render(boxes, out)
    assert 0 < len(build.pending) == 12 - 2 * len(finished) <= 6
    for batch in build.batches():
        build.keep(build.embed(batch))
    assert finished.items() <= shards(out).items()
    same(build.assemble(), truth)
    assert shards(out) == {}


def test_a_broken_shard_is_made_again(boxes, tmp_path):
    truth = finish(render(boxes, tmp_path / "truth"))
    build = render(boxes, tmp_path / "index")
    for batch in build.batches():
        build.keep(build.embed(batch))
    first, second, *_ = shards(tmp_path / "index")
    first.write_bytes(first.read_bytes()[:50])
    second.write_bytes(b"")
    build.close()
    with pytest.warns(UserWarning, match="is broken"):
        build = render(boxes, tmp_path / "index")
    assert len(build.pending) == 4
    same(finish(build), truth)


def test_what_changed_between_two_starts(boxes, tmp_path):
    build = render(boxes, tmp_path / "index")
    for batch in build.batches():
        build.keep(build.embed(batch))
    build.close()
    captions = (boxes / "captions.csv").read_text()
    (boxes / "captions.csv").write_text(captions.replace("a red box", "a crimson box", 1))
    (boxes / "box11.glb").unlink()
    build = render(boxes, tmp_path / "index")
    assert [asset.caption for asset in build.pending] == ["a crimson box"]
    index = finish(build)
    assert len(index) == 11 and index.asset(0).caption == "a crimson box"
    np.testing.assert_allclose(index.text[0], ColorEncoder().encode_texts([""])[0], atol=1e-3)
    store = FolderStore(boxes)
    render(boxes, tmp_path / "index").close()
    IndexBuild(store.assets(), ColorEncoder("greys"), tmp_path / "index", None).close()  # no loss
    started = render(boxes, tmp_path / "index")
    started.keep(started.embed([next(iter(started.batches()))[0]]))
    started.close()
    with pytest.raises(ValueError, match="unfinished build with another pictures") as error:
        IndexBuild(store.assets(), ColorEncoder(), tmp_path / "index", None, store.reference())
    assert "remove the folder" in str(error.value)


def test_an_asset_that_cannot_be_shown_is_named_and_left_out(tmp_path):
    colors = Colors(
        a=(1.0, 0.0, 0.0),
        b=ValueError("it is cut\nshort"),
        c=KeyError("odd"),
        d=(0.0, 0.0, 0.0),
        e=(1.0, 0.0, 0.0),
    )
    assets = [Asset(uid, "a red box") for uid in "abcde"]

    class Careless(ColorEncoder):  # pictures of bytes have no NaN, so it must be the encoder's
        def encode_images(self, images):
            vectors = super().encode_images(images)
            return vectors * float("nan") if images.max() == 0.0 else vectors

    build = IndexBuild(assets, Careless(), tmp_path / "i", colors)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        index = finish(build)
    reasons = {"b": "it is cut short", "c": "KeyError: 'odd'", "d": "its vector is not finite"}
    assert {str(each.message) for each in said} == {
        f"left {uid} out of the index: {reason}" for uid, reason in reasons.items()
    }
    assert index.manifest["left_out"] == reasons and index.manifest["num_left_out"] == 3
    assert [index.asset(row).uid for row in range(2)] == ["a", "e"]
    np.testing.assert_allclose(index.image[0], index.text[0], atol=0.02)


def test_left_out_assets_are_tried_again_by_the_next_start(tmp_path):
    colors = Colors(a=(1.0, 0.0, 0.0), b=OSError("no network"))
    assets = [Asset(uid, "") for uid in "ab"]
    build = IndexBuild(assets, ColorEncoder(), tmp_path / "i", colors)
    with pytest.warns(UserWarning, match="no network"):
        build.keep(build.embed(list(build.batches())[0]))
    build.close()
    colors.colors["b"] = (0.0, 1.0, 0.0)
    index = finish(IndexBuild(assets, ColorEncoder(), tmp_path / "i", colors))
    assert len(index) == 2 and index.manifest["left_out"] == {}


def test_nothing_to_index_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="no asset"):
        IndexBuild([], ColorEncoder(), tmp_path / "i", None)
    with pytest.raises(ValueError, match="two assets have the uid a"):
        IndexBuild([Asset("a", ""), Asset("a", "")], ColorEncoder(), tmp_path / "i", None)
    broken = IndexBuild([Asset("a", "")], ColorEncoder(), tmp_path / "i", Colors(a=OSError("no")))
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="none of the assets"):
        finish(broken)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(ValueError, match="is no index"):
        IndexBuild([Asset("a", "")], ColorEncoder(), tmp_path / "photos", None)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_asset_of_which_nothing_can_be_seen_is_left_out(tmp_path):
    from redream.indexing.pictures import over_background

    rgba = torch.zeros(2, 4, 4, 4)
    with pytest.raises(ValueError, match="nothing of it can be seen"):
        over_background(rgba, 1.0)
    rgba[1, :, 0, 0] = 0.5
    seen = over_background(rgba, 1.0)
    assert seen.shape == (1, 3, 4, 4) and seen[0, 0, 0, 0] == 1.0


@pytest.mark.slow
def test_pictures_made_by_other_processes_are_the_same(boxes, tmp_path):
    truth = finish(render(boxes, tmp_path / "truth"))
    same(finish(render(boxes, tmp_path / "index", 5), num_workers=1), truth)


def test_pooling_is_the_unit_mean():
    from redream.indexing.build import embed_pictures

    pictures = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    pictures[0, 0], pictures[1, 1] = 255, 255
    vector = embed_pictures([pictures], ColorEncoder())[0]
    torch.testing.assert_close(vector, torch.tensor([0.5**0.5, 0.5**0.5, 0.01]), atol=0.01, rtol=0)
