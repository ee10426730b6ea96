"""An index that is being written when the process dies, or when there is no room for it."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from comparing import same, shards
from killing import killed
from toy_encoders import ColorEncoder

from redream import files
from redream.assets import FolderStore
from redream.indexing import IndexBuild, RenderedPictures
from redream.mini import prepare
from redream.retrieval import EmbeddingIndex, writing
from redream.retrieval.derived import load_or_make
from redream.retrieval.verifying import verify_index
from redream.retrieval.writing import write_index
from redream.types import Asset

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the work is forked")


def begin(boxes, out):
    """A build whose shards are all there."""
    store, encoder = FolderStore(boxes), ColorEncoder()
    pictures = RenderedPictures(store, encoder.image_size, num_views=2)
    build = IndexBuild(store.assets(), encoder, out, pictures, store.reference(), 4)
    for batch in build.batches():
        build.keep(build.embed(batch))
    return build


def write(path, num_rows):
    """An index of texts that are all alike: unit vectors of 64 numbers."""
    assets = [Asset(str(row), "a box") for row in range(num_rows)]
    text = np.full((num_rows, 64), 0.125, np.float16)
    return write_index(path, assets, text, None, {"name": "colours", "init_args": {}})


def half(file, array, **_):
    content = np.asarray(array).tobytes()
    with open(file, "wb") as stream:
        stream.write(content[: len(content) // 2])


@needs_fork
@pytest.mark.parametrize(
    ("at", "where", "number", "before"),
    [("save", np, 2, half), ("replace", os, 1, None)],
    ids=["in its pictures", "before its renaming"],
)
def test_a_kill_while_the_index_is_put_together(boxes, tmp_path, at, where, number, before):
    truth = begin(boxes, tmp_path / "truth").assemble()
    out = tmp_path / "index"
    build = begin(boxes, out)
    finished = shards(out)
    killed(build.assemble, at, where, number, before)
    assert not out.exists() and shards(out) == finished
    build.close()
    again = begin(boxes, out)
    assert again.pending == []
    same(again.assemble(), truth)
    verify_index(EmbeddingIndex.open(out))


@needs_fork
@pytest.mark.parametrize(
    ("at", "where", "num_rows"),
    [("exchange_folders", writing, 3), ("rmtree", shutil, 5)],
    ids=["before", "after"],
)
def test_a_kill_while_an_index_is_replaced_leaves_one_of_them_whole(tmp_path, at, where, num_rows):
    path = tmp_path / "index"
    write(path, 3)
    killed(lambda: write(path, 5), at, where)
    verify_index(EmbeddingIndex.open(path))
    assert len(EmbeddingIndex.open(path)) == num_rows
    assert len(list(tmp_path.iterdir())) == 2  # what the kill has left ...
    write(path, 7)
    assert list(tmp_path.iterdir()) == [path] and len(EmbeddingIndex.open(path)) == 7  # ... is gone


def test_folders_are_exchanged_also_where_the_system_cannot(tmp_path, monkeypatch):
    for platform in (sys.platform, "other"):
        monkeypatch.setattr(files.sys, "platform", platform)
        one, other = tmp_path / f"{platform}-1", tmp_path / f"{platform}-2"
        for folder in (one, other):
            folder.mkdir()
            (folder / "name").write_text(folder.name)
        files.exchange_folders(one, other)
        assert [(each / "name").read_text() for each in (one, other)] == [other.name, one.name]


def test_a_full_disk_is_said_and_the_old_index_is_intact(small_disk):
    path = small_disk / "index"
    write(path, 100)
    with pytest.raises(OSError, match=r"cannot write the index .*: [Nn]o space left") as error:
        write(path, 20_000)
    assert "\n" not in str(error.value) and [each.name for each in small_disk.iterdir()] == [
        "index"
    ]
    verify_index(EmbeddingIndex.open(path))


def test_a_build_goes_on_once_there_is_room(boxes, small_disk, tmp_path):
    ballast = small_disk / "ballast"
    build = begin(boxes, small_disk / "index")
    finished = shards(small_disk / "index")
    free = shutil.disk_usage(small_disk).free
    ballast.write_bytes(bytes(free))
    with pytest.raises(OSError, match="[Nn]o space left") as error:
        build.assemble()
    assert str(small_disk) in str(error.value) and "\n" not in str(error.value)
    assert shards(small_disk / "index") == finished
    ballast.unlink()
    truth = begin(boxes, tmp_path / "truth" / "index").assemble()
    same(begin(boxes, small_disk / "index").assemble(), truth)


def test_a_shard_for_which_there_is_no_room_is_said(boxes, small_disk):
    build = IndexBuild(FolderStore(boxes).assets(), ColorEncoder(), small_disk / "texts", None)
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    for batch in build.batches():
        with pytest.raises(OSError, match=r"cannot write .*\.safetensors: [Nn]o space left"):
            build.keep(build.embed(batch))
    assert shards(small_disk / "texts") == {}


def test_a_disk_that_may_only_be_read_is_said(small_disk):
    path = small_disk / "index"
    write(path, 3)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match="Read-only file system") as error:
        write(path, 5)
    assert "\n" not in str(error.value)
    assert len(EmbeddingIndex.open(path)) == 3


@needs_fork
def test_a_kill_while_a_search_structure_is_kept(tmp_path):
    index = write(tmp_path / "index", 3)

    def load():
        return load_or_make(
            index, "sums", {"version": 1}, lambda: "1 2 3",
            lambda made, folder: (folder / "sums.txt").write_text(made) and None,
            lambda folder: (folder / "sums.txt").read_text() + " read",
        )  # fmt: skip

    killed(load, "replace", os)
    assert not (index.path / "sums").exists()
    assert [load(), load()] == ["1 2 3", "1 2 3 read"]
    (index.path / "sums" / "sums.txt").unlink()
    assert [load(), load()] == ["1 2 3", "1 2 3 read"]
    shutil.rmtree(index.path / "sums")
    assert load() == "1 2 3"


@needs_fork
def test_a_kill_while_the_embedded_world_is_made(tmp_path):
    folder = tmp_path / "library"

    def make(place):
        place.mkdir()
        for name in ("a", "b"):
            (place / name).write_text(name)

    killed(lambda: prepare._make_once(folder, make), "rename", os)
    assert not folder.exists()
    prepare._make_once(folder, make)
    assert {each.name for each in folder.iterdir()} == {"a", "b"}
    shutil.rmtree(folder)
    prepare._make_once(folder, make)
    assert folder.is_dir()


def test_the_first_run_draws_what_the_second_does(tmp_path):
    def draw_after_making():
        torch.manual_seed(0)
        prepare._make_once(tmp_path / "library", lambda place: place.mkdir() or torch.rand(3))
        return torch.rand(2)

    first, second = draw_after_making(), draw_after_making()
    assert torch.equal(first, second)
