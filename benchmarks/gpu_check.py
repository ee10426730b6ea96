"""60 steps in the layout of configs/paper_check.yaml, on random weights: nothing is downloaded.

    python benchmarks/gpu_check.py [--device cuda] [--quick]

``redream fit`` with configs/paper.yaml and configs/paper_check.yaml, each phase at a tenth of its
length: warm-up, adaptation, the switch to large views, the late diffusion times, checkpoints,
export. Both priors are miniatures of random weights, and the assets are the embedded world's. On a
CPU views, references and the export are small, too. The last line is JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml

from redream.priors.miniature import save_miniature

CONFIGS = Path(__file__).parents[1] / "configs"
SHARE = 10
COUNTS = {"begin_step", "end_step", "max_steps", "steps", "every_n_steps", "every_n_train_steps"}
"""The keys whose values are counts of steps."""


def shortened(config: Any, share: int = SHARE) -> Any:  # noqa: ANN401
    """A configuration whose counts of steps are divided, at least 1 each where they were not 0.

    Args:
        config: As YAML gives it.
        share: What they are divided by.
    """
    if isinstance(config, list):
        return [shortened(each, share) for each in config]
    if not isinstance(config, dict):
        return config
    return {
        key: -(-value // share)
        if key in COUNTS and isinstance(value, int)
        else shortened(value, share)
        for key, value in config.items()
    }


def random_world(folder: Path) -> dict[str, Any]:
    """What replaces downloads: two miniatures, the embedded world's assets."""
    for name, prediction in (("base", "epsilon"), ("zeta", "v_prediction")):
        save_miniature(folder / name, prediction)
    prior = {"class_path": "StableDiffusionPrior", "init_args": {"dtype": "bfloat16"}}
    guidance = {"class_path": "VSD", "init_args": {"prior": _of(prior, folder / "zeta")}}
    return {
        "trainer": {"default_root_dir": str(folder / "run")},
        "model": {"prior": _of(prior, folder / "base"), "guidance": guidance},
        "data": {
            "retriever": {"class_path": "ExactRetriever", "init_args": {"index": "embedded:index"}},
            "store": {"class_path": "EmbeddedLibrary"},
            "encoder": {"model": "embedded:retrieval_clip", "pretrained": None},
            "references": {
                "class_path": "redream.assets.ReferenceRenderer",
                "init_args": {"cache_dir": None},
            },
        },
    }


def small(config: dict[str, Any]) -> None:
    """Sizes for a CPU, in place."""
    config["model"]["cameras"]["render_size"] |= {"start": 24, "end": 48}
    config["model"]["representation"]["init_args"] |= {"log2_table_size": 12, "num_steps": 96}
    for callback in config["trainer"]["callbacks"]:
        if callback["class_path"].endswith("Previews"):
            callback["init_args"] |= {"num_views": 2, "size": 32}
        if callback["class_path"].endswith("Export"):
            sizes = {"surface_resolution": 24, "num_frames": 8, "frame_size": 64}
            callback["init_args"] |= sizes | {"texture_size": 128}


def main() -> None:
    """Runs the command in a folder of its own and prints what it left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help="small sizes, as on a CPU")
    options = parser.parse_args()
    is_cpu = options.device == "cpu"
    is_small = is_cpu or options.quick
    check = shortened(yaml.safe_load((CONFIGS / "paper_check.yaml").read_text("utf-8")))
    if is_small:
        small(check)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "check.yaml").write_text(yaml.safe_dump(check), "utf-8")
        (folder / "random.yaml").write_text(yaml.safe_dump(random_world(folder)), "utf-8")
        configs = [CONFIGS / "paper.yaml", folder / "check.yaml", folder / "random.yaml"]
        command = [sys.executable, "-m", "redream", "fit"]
        command += [f"--config={path}" for path in configs] + ["--prompt=a golden elephant"]
        command += [f"--trainer.accelerator={'cpu' if is_cpu else 'gpu'}"]
        if is_small:
            command += [
                f"--data.references.init_args.{each}" for each in ("num_views=12", "size=64")
            ]
        done = subprocess.run(command, stdout=sys.stderr)
        if done.returncode:
            sys.exit(done.returncode)
        run = folder / "run"
        metrics = json.loads((run / "metrics.json").read_text("utf-8"))
        keys = ("steps", "seconds", "peak_memory_gib", "peak_gpu_memory_gib")
        report = {key: metrics[key] for key in keys if key in metrics}
        report["files"] = sorted(
            str(path.relative_to(run)) for path in run.rglob("*") if path.suffix in {".glb", ".mp4"}
        )
        print(json.dumps(report))


def _of(prior: dict[str, Any], folder: Path) -> dict[str, Any]:
    return prior | {"init_args": prior["init_args"] | {"model": str(folder)}}


if __name__ == "__main__":
    main()
