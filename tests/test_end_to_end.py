"""The main job in a real process, on the embedded world's real weights, cut to a few steps."""

import json
import os
from pathlib import Path

import pytest
import spawning
import trimesh

ROOT = Path(__file__).parents[1]
SMALL = """
trainer:
  callbacks:
    - class_path: redream.callbacks.Previews
      init_args: {every_n_steps: 2, num_views: 4, size: 32}
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args: {save_last: true, save_top_k: 0, every_n_train_steps: 2}
    - class_path: redream.callbacks.Export
      init_args:
        num_frames: 8
        frame_size: 32
        film_size: 48
        prior_samples: 1
        surface_resolution: 24
        texture_size: 64
        baking_size: 16
        metrics:
          - class_path: ClipScore
            init_args: {encoder: {model: "embedded:evaluation_clip"}, captions: "embedded:captions"}
model:
  adapter:
    class_path: LightAdapter
    init_args: {max_steps: 3} # then nothing needs the text encoders any more, and they go
data:
  references: {class_path: redream.assets.ReferenceRenderer, init_args: {num_views: 10}}
"""


@pytest.fixture(scope="module")
def world(embedded_cache):
    """The environment of the commands."""
    return {**os.environ, "REDREAM_CACHE": str(embedded_cache)}


def redream(world, *arguments):
    return spawning.redream(*arguments, env=world, cwd=ROOT)


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.yaml").write_text(SMALL)
    options = ["--config", "configs/default.yaml", "--config", folder / "small.yaml"]
    options += ["--trainer.default_root_dir", folder / "out", "--model.num_particles", 1]
    done = redream(world, "fit", *options, "--prompt", "a golden elephant", "--trainer.max_steps=4")
    assert done.returncode == 0, done.stderr
    return folder / "out", options


def test_retrieved_assets_are_of_the_prompts_category(world, tmp_path):
    done = redream(world, "retrieve", "a wooden chair", "--json", "--out", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    shown = {"uid", "caption", "origin", "scores", "license", "author", "source"}
    assert [set(each) for each in found] == [shown] * 3
    assert all("chair" in each["caption"] for each in found)
    assert all(each["license"] == "cc0" for each in found)


def test_a_run_leaves_all_that_it_promises(run):
    folder, _ = run
    for name in (
        "particle_0.glb", "turntable_0.mp4", "report.html", "attribution.md", "config.yaml",
        "adapter/pytorch_lora_weights.safetensors", "adapter/view_prefixes.safetensors",
        "checkpoints/last.ckpt", "previews/step_000004.png", "retrieval/asset_0.png",
    ):  # fmt: skip
        assert (folder / name).stat().st_size > 0, name
    assert "what the 2D prior paints" in (folder / "report.html").read_text()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["steps"] == 4 and metrics["prompt"] == "a golden elephant"
    assert 1 <= metrics["particles"][0]["rank"] <= metrics["particles"][0]["num_captions"] == 168
    mesh = trimesh.load(folder / "particle_0.glb", force="mesh")
    assert len(mesh.faces) > 20 and abs(mesh.vertices).max() < 1.1
    assert "elephant" in (folder / "attribution.md").read_text()


def test_a_run_goes_on_where_it_stopped(run, world):
    folder, options = run
    before = (folder / "metrics.json").read_bytes()
    done = redream(
        world, "fit", *options, "--prompt", "a golden elephant", "--trainer.max_steps=6",
        "--ckpt_path", "last",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    after = json.loads((folder / "metrics.json").read_text())
    assert after["steps"] == 6
    assert after["seconds"] > json.loads(before)["seconds"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--prompt", " "], "prompt is empty"),
        (["--prompt", "a dog", "--data.num_assets", "1000"], "the index has 240"),
        (["--prompt", "a dog", "--model.sigmaa", "1"], "sigma"),
        (["--prompt", "a dog", "--data.retriever", "ExactRetriver"], "ExactRetriever"),
        (["--prompt", "a dog", "--model.prior.init_args.model", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_input_takes_one_line_and_exit_code_2(world, tmp_path, options, said):
    out = tmp_path / "out"
    config = ["--config", "configs/default.yaml", "--trainer.default_root_dir", out]
    done = redream(world, "fit", *config, *options)
    complaints = [line for line in done.stderr.splitlines() if line.startswith("redream: error:")]
    assert done.returncode == 2, done.stderr
    assert len(complaints) == 1 and said in complaints[0], done.stderr
    assert "Traceback" not in done.stderr
    assert not (out / "report.html").exists()


def test_fit_without_a_config_says_where_to_start(world):
    done = redream(world, "fit", "--prompt", "a dog")
    assert done.returncode == 2
    assert "model.prior, model.representation" in done.stderr
    assert "start from a config, as in --config configs/default.yaml" in done.stderr
