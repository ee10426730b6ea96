import json
from pathlib import Path

import pytest
from redream_voxel_grid import VoxelGrid

from redream import cli
from redream.testing import RepresentationContract

DEFAULT = Path(__file__).parents[3] / "configs" / "default.yaml"


class TestVoxelGrid(RepresentationContract):
    def make(self, seed):
        return VoxelGrid(seed=seed, resolution=16, num_steps=32)


def test_too_small_a_grid_is_refused():
    with pytest.raises(ValueError, match="too small, 1 corners"):
        VoxelGrid(resolution=1)


def test_it_runs_with_the_default_configuration(tmp_path, monkeypatch):
    """No other option than its name: penalties of the NeRF stay with the NeRF."""
    monkeypatch.setenv("REDREAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("REDREAM_PLUGINS", "representations=redream_voxel_grid:VoxelGrid")
    (tmp_path / "small.yaml").write_text(
        "trainer:\n  callbacks:\n    - class_path: Export\n      init_args: "
        "{num_frames: 8, frame_size: 32, surface_resolution: 24, texture_size: 64}\n"
    )
    done = cli.main([
        "fit", f"--config={DEFAULT}", f"--config={tmp_path / 'small.yaml'}",
        "--model.representation=VoxelGrid", "--trainer.max_steps=2", "--model.num_particles=1",
        "--model.cameras.render_size=24", "--model.adaptation.batch_size=1",
        "--data.references.init_args.num_views=10", f"--trainer.default_root_dir={tmp_path}",
    ])  # fmt: skip
    assert done == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["steps"] == 2
    assert (tmp_path / "particle_0.glb").stat().st_size > 1000
