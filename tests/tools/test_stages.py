"""Stages as one job: what the command line says of them, and real runs that are killed."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import spawning
import torch

from redream.tools.parser_errors import explain
from redream.tools.stages import read_stages
from redream.tools.vocabulary import Vocabulary

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "configs" / "stages.yaml"
SMALL = """
trainer:
  max_steps: 2
  callbacks:
    - class_path: redream.callbacks.Progress
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args: {save_last: true, save_top_k: 0, every_n_train_steps: 1}
    - class_path: redream.callbacks.Export
      init_args: {num_frames: 8, frame_size: 16, surface_resolution: 24, texture_size: 32,
        baking_size: 16, metrics: null}
model:
  num_particles: 1
  cameras: {render_size: 32}
data:
  num_assets: 1
  encoder: null
  references: {class_path: redream.assets.ReferenceRenderer, init_args: {num_views: 10, size: 64}}
stages:
  geometry: # without the plugin: the NeRF's triangles, moved
    trainer: {max_steps: 400}
    model:
      representation:
        class_path: Mesh
        init_args: {init_from: "stage:previous", init_resolution: 24, vertex_lr: 1.0e-4,
          shading: camera_normal, learn_background: false,
          penalties: {normal_consistency: {start: 1.0, end: 1.0}}}
  texture: {trainer: {max_steps: 2}}
"""


def read(tmp_path, text, *arguments):
    (tmp_path / "stages.yaml").write_text(text)
    return read_stages([f"--config={tmp_path / 'stages.yaml'}", *arguments])


def overlay(command, number, before=()):
    """What the command line of a stage says last of all configs."""
    arguments = command.arguments(command.stages[number], {name: Path(name) for name in before})
    configs = [each.removeprefix("--config=") for each in arguments if "--config=" in each]
    return (
        json.loads(configs[-1]),
        configs[:-1],
        [each for each in arguments if "config" not in each],
    )


def test_a_command_without_stages_is_an_ordinary_run(tmp_path):
    assert read(tmp_path, "prompt: a dog") is None
    assert read_stages(["--config", "/nowhere.yaml", "--trainer.fast_dev_run"]) is None


def test_each_stage_lies_over_its_own_config_and_the_users(tmp_path):
    text = "stages: {one: {config: base.yaml}, two: {model: {init: 'stage:previous', x: 1}}}"
    command = read(tmp_path, text, "--prompt", "a dog", "--stages.two.model.x=2")
    assert [each.name for each in command.stages] == ["one", "two"]
    tree, configs, options = overlay(command, 0)
    assert tree == {"stages": None}
    assert configs == [str(tmp_path / "base.yaml"), str(tmp_path / "stages.yaml")]
    assert options == ["--prompt=a dog"]
    tree, configs, options = overlay(command, 1, ["one"])
    assert tree["model"] == {"init": "one/checkpoints/last.ckpt", "x": 1}
    assert options == ["--prompt=a dog", "--model.x=2"]


def test_a_later_config_changes_one_key_of_a_stage_or_leaves_it_out(tmp_path):
    (tmp_path / "more.yaml").write_text("stages: {one: {model: {y: 2}}, two: null}")
    text = "stages: {one: {model: {x: 1}}, two: {}, three: {from: 'stage:one/adapter'}}"
    command = read(tmp_path, text, "--config", str(tmp_path / "more.yaml"))
    assert [each.name for each in command.stages] == ["one", "three"]
    assert overlay(command, 0)[0]["model"] == {"x": 1, "y": 2}
    assert overlay(command, 1, ["one"])[0]["from"] == "one/adapter"
    assert len(read(tmp_path, text, "--stages.two", "null").stages) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stage", "geometri"], "did you mean geometry"),
        (["--stages.txture.seed", "1"], "did you mean texture"),
        (["--ckpt_path", "a.ckpt"], "--stage geometry"),
        (["--stages.nerf", "1"], "takes null"),
    ],
)
def test_a_wrong_option_takes_one_line(arguments, said):
    with pytest.raises(ValueError, match=said):
        read_stages(["--config", str(SHIPPED), *arguments])


def test_a_stage_cannot_be_named_out_of_the_jobs_folder(tmp_path):
    with pytest.raises(ValueError, match="must be named by letters"):
        read(tmp_path, "stages: {../../elsewhere: {}}")


def test_a_stage_cannot_start_from_a_later_one():
    command = read_stages(["--config", str(SHIPPED)])
    with pytest.raises(ValueError, match="no such stage before"):
        command.arguments(command.stages[2], {"nerv": Path("nerv")})


def test_a_plugin_of_ours_that_is_missing_comes_with_its_install_line():
    message = "Expected a dot import path string: DMTet"
    said = explain(message, Vocabulary([], ["NeRF", "Mesh"], []))
    assert "pip install -e plugins/redream-kaolin" in said


@pytest.fixture(scope="module")
def job(tmp_path_factory, embedded_cache):
    """The command line of a small job, its folder, and its environment."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "small.yaml").write_text(SMALL)
    options = ["--config", SHIPPED, "--config", folder / "small.yaml", "--prompt", "a golden vase"]
    options += ["--trainer.default_root_dir", folder / "out"]
    return (
        ["fit", *map(str, options)],
        folder / "out",
        {**os.environ, "REDREAM_CACHE": str(embedded_cache)},
    )


def finished(folder):
    path = folder / "stages" / "finished.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def test_a_job_that_is_killed_goes_on_where_it_was_and_leaves_one_folder(job):
    command, out, world = job
    running = spawning.start(*command, env=world, cwd=ROOT)
    while running.poll() is None and not (out / "stages/geometry/checkpoints/last.ckpt").exists():
        time.sleep(0.02)
    running.kill()
    killed = running.finish()
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert finished(out) == {"nerf": 2}
    assert not (out / "report.html").exists()
    first = (out / "stages/nerf/checkpoints/last.ckpt").read_bytes()
    names = ("last.ckpt", "previous-last.ckpt")
    kept = [torch.load(out / "stages/nerf/checkpoints" / n, weights_only=True) for n in names]
    assert [each["global_step"] for each in kept] == [2, 1]  # the end once, and a step before it

    again = [*command, "--ckpt_path", "last", "--stages.geometry.trainer.max_steps", "12"]
    done = spawning.redream(*again, env=world, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert finished(out)["nerf"] == finished(out)["texture"] == 2
    assert (out / "stages/nerf/checkpoints/last.ckpt").read_bytes() == first
    assert "/16  texture: " in done.stderr and "nerf: " not in done.stderr
    for name in ("particle_0.glb", "report.html", "config.yaml", "checkpoints/last.ckpt"):
        assert (out / name).stat().st_size > 0, name
    assert json.loads((out / "metrics.json").read_text())["steps"] == 2
    assert (out / "stages/geometry/report.html").is_file()


def test_a_stage_runs_alone_from_the_checkpoint_of_the_one_before(job):
    command, out, world = job
    if "geometry" not in finished(out):
        pytest.skip("the job before this one has failed")
    before = (out / "stages/geometry/checkpoints/last.ckpt").read_bytes()
    options = ["--stage", "texture", "--stages.texture.trainer.max_steps", "1"]
    done = spawning.redream(*command, *options, env=world, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert finished(out)["texture"] == 1
    assert (out / "stages/geometry/checkpoints/last.ckpt").read_bytes() == before
