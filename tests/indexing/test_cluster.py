"""An index on a Ray cluster: the same vectors, whatever is killed on the way."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import trimesh
from waiting import wait_for

from redream import cli
from redream.mini.prepare import WEIGHTS
from redream.retrieval import EmbeddingIndex
from redream.tools.index_cluster import _halved, make_shard
from redream.types import Asset

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: redream[ray]"
)

SLOW = """
import os, signal, time
from pathlib import Path
from redream.assets import FolderStore

class SlowStore(FolderStore):
    "Leaves word of its process; one asset kills whoever loads it."

    def __init__(self, path: str) -> None:
        super().__init__(path)

    def load(self, uid):
        words = Path(os.environ["WORDS"])
        (words / f"{uid}-{os.getpid()}-{time.monotonic_ns()}").touch()
        if uid == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.7)
        return super().load(uid)
"""
"""A store that a user tries, in every process, the workers included."""


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    for number in range(8):
        mesh = trimesh.creation.box((1.0, 1.0 + number, 2.0))
        mesh.export(folder / f"box {number}.glb")
    return folder


def command(library, out, *more, store="FolderStore"):
    encoder = ["--encoder.model", str(WEIGHTS / "retrieval_clip"), "--encoder.device", "cpu"]
    words = ["--store", store, "--store.path", str(library), "--out", str(out)]
    small = ["--views.num_views", "2", "--shard_size", "2"]
    return ["index", "build", *words, *encoder, *small, *more]


def test_a_task_makes_what_a_build_would_have(library, tmp_path, monkeypatch):
    out = tmp_path / "index"
    words = command(library, out)
    assert cli.main(words) == 0
    index = EmbeddingIndex.open(out)
    here = Path.cwd()
    monkeypatch.setattr(sys, "path", list(sys.path))
    shard = make_shard(tuple(words[2:]), here, [index.asset(0), index.asset(1)])
    assert shard.uids == ("box 0", "box 1") and not shard.left_out
    assert np.array_equal(shard.text.numpy(), index.text[:2])
    np.testing.assert_allclose(shard.image.numpy(), index.image[:2], atol=2e-3)


def test_a_shard_whose_workers_die_is_halved_until_one_is_left_out():
    waiting = deque([[Asset("z", "z")]])
    assets = [Asset(name, name) for name in "abc"]
    assert _halved(assets, waiting, "killed") is None
    assert [[each.uid for each in part] for part in waiting] == [["a"], ["b", "c"], ["z"]]
    shard = _halved(assets[:1], waiting, "killed")
    assert shard.left_out == {"a": "its workers died (killed)"} and shard.uids == ()
    assert len(waiting) == 3


def test_wrong_numbers_and_a_missing_ray_are_said(library, tmp_path, capsys, monkeypatch):
    assert cli.main(command(library, tmp_path / "i", "--ray.workers", "2", "--ray.cpus", "0")) == 2
    assert "--ray.cpus must be at least 1" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(command(library, tmp_path / "i", "--ray.workers", "2")) == 2
    said = capsys.readouterr().err
    assert "needs Ray" in said and said.count("\n") == 1


@pytest.mark.slow
@needs_ray
def test_whatever_is_killed_the_index_is_whole(library, tmp_path):
    """A worker, the driver, and an asset that kills whoever loads it."""
    (library / "poison.glb").write_bytes((library / "box 0.glb").read_bytes())
    words = tmp_path / "words"
    words.mkdir()
    out = tmp_path / "index"
    line = [sys.executable, "-m", "redream", *command(library, out, store="SlowStore")]
    line += ["--ray.workers", "2", "--ray.retries", "1"]
    (tmp_path / "slow.py").write_text(SLOW)
    plugin = f"stores={tmp_path / 'slow.py'}:SlowStore"
    environment = {**os.environ, "REDREAM_PLUGINS": plugin, "WORDS": str(words)}
    started = []

    def start():
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(line, env=environment, cwd=tmp_path, **pipes))
        return started[-1]

    def shards():
        return list((tmp_path / ".index.building").glob("[!.]*.safetensors"))

    try:
        driver = start()
        first = wait_for(lambda: sorted(words.glob("box*")), driver)[0]
        os.kill(int(first.name.split("-")[1]), signal.SIGKILL)  # its shard is made again
        wait_for(shards, driver)
        driver.send_signal(signal.SIGTERM)
        errors = driver.communicate(timeout=300)[1]
        assert driver.returncode == 143, errors
        assert not out.exists()
        kept = {path: path.stat().st_mtime_ns for path in shards()}
        before = len(list(words.iterdir()))

        driver = start()
        said, errors = driver.communicate(timeout=900)
        assert driver.returncode == 0, errors
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert kept and "8 assets in" in said and "1 left out" in said
    assert "left poison out of the index: its workers died" in errors
    index = EmbeddingIndex.open(out)
    uids = [index.asset(row).uid for row in range(len(index))]
    assert uids == [f"box {number}" for number in range(8)]
    loaded_again = [path.name.split("-")[0] for path in words.iterdir()]
    assert len(loaded_again) > before  # the rest, and not what was kept
    assert not (tmp_path / ".index.building").exists()
