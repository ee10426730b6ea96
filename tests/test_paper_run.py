"""The paper's configuration end to end, on miniatures of Stable Diffusion 2.1's layout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import trimesh
import yaml

from redream.priors.miniature import save_miniature

ROOT = Path(__file__).parents[1]
STEPS, LARGE = 6, 4
"""Steps, and the one from which views have 512 pixels."""


def save_layout_of_2_1(folder, prediction):
    """Four levels with 5, 10, 20, 20 heads, 8 pixels a latent, at a hundredth of the width."""
    from diffusers import AutoencoderKL

    cross, cross_up = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
    save_miniature(
        folder,
        prediction,
        sample_size=64,
        block_out_channels=(20, 40, 80, 80),
        attention_head_dim=(5, 10, 20, 20),
        use_linear_projection=True,
        norm_num_groups=5,
        down_block_types=(cross, cross, cross, "DownBlock2D"),
        up_block_types=("UpBlock2D", cross_up, cross_up, cross_up),
    )
    torch.manual_seed(0)
    AutoencoderKL(
        block_out_channels=(4, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=512,
    ).save_pretrained(folder / "vae")


def changes(folder):
    """What replaces downloads, and shortens: everything else is configs/paper.yaml's."""
    config = yaml.safe_load((ROOT / "configs" / "paper.yaml").read_text("utf-8"))
    trainer, model = config["trainer"], config["model"]
    trainer |= {"default_root_dir": str(folder / "run"), "max_steps": STEPS, "accelerator": "cpu"}
    for callback in trainer["callbacks"]:
        name, arguments = callback["class_path"].rpartition(".")[2], callback.get("init_args", {})
        if name == "Previews":
            arguments |= {"every_n_steps": 3, "num_views": 2, "size": 48}
        if name == "ModelCheckpoint":
            arguments["every_n_train_steps"] = 3
        if name == "Export":
            arguments |= {"surface_resolution": 32, "texture_size": 256, "num_frames": 8}
            arguments |= {"frame_size": 64, "baking_size": 64, "metrics": []}
    model["cameras"]["render_size"] |= {"begin_step": LARGE, "end_step": LARGE}
    model["prior"]["init_args"]["model"] = str(folder / "base")
    guidance = model["guidance"]["init_args"]
    guidance["prior"]["init_args"]["model"] = str(folder / "zeta")
    guidance["timesteps"]["high"] |= {"begin_step": LARGE, "end_step": LARGE}
    field = model["representation"]["init_args"]
    field |= {"log2_table_size": 12, "num_levels": 6, "num_steps": 48}
    field["penalties"]["opacity"] |= {"begin_step": LARGE, "end_step": LARGE}
    model["adapter"]["init_args"] |= {"max_steps": 5, "patience": None}
    model["adaptation"]["held_out_period"] = 2
    model["warmup"]["steps"] = 3
    model["correction"]["weight"] |= {"begin_step": 5, "end_step": 5}
    data = config["data"]
    data["retriever"] = {"class_path": "ExactRetriever", "init_args": {"index": "embedded:index"}}
    data["store"] = {"class_path": "EmbeddedLibrary"}
    data["encoder"] = {"model": "embedded:retrieval_clip", "pretrained": None}
    data["references"]["init_args"] |= {
        "num_views": 10, "size": 64, "cache_dir": str(folder / "references"),
    }  # fmt: skip
    return config


@pytest.mark.slow
def test_the_papers_run_reaches_its_end_from_64_to_512_pixels(tmp_path, embedded_cache):
    for name, prediction in (("base", "epsilon"), ("zeta", "v_prediction")):
        save_layout_of_2_1(tmp_path / name, prediction)
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(changes(tmp_path)))
    command = [sys.executable, "-m", "redream", "fit", "--config", tmp_path / "paper.yaml"]
    done = subprocess.run(
        [*map(str, command), "--prompt", "a golden elephant"],
        env={**os.environ, "REDREAM_CACHE": str(embedded_cache)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    assert metrics["steps"] == STEPS and not metrics["interrupted"]
    assert len(metrics["assets"]) == 3
    assert "skipped" not in done.stdout + done.stderr
    model = trimesh.load(run / "particle_0.glb", force="mesh")
    assert len(model.faces) > 20
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == STEPS
    state = checkpoint["state_dict"]
    assert all(
        bool(torch.isfinite(each).all())
        for each in state.values()
        if isinstance(each, torch.Tensor)
    )
    learned = [each for name, each in state.items() if "lora_B" in name]
    assert learned and all(bool((each != 0.0).any()) for each in learned)  # omega's and zeta's
    cited = subprocess.run(
        [sys.executable, "-m", "redream", "cite", str(run)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert cited.stdout.count("@misc{asset-") == 3
