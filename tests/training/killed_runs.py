"""A tiny job twice: left alone, and killed in a checkpoint, in a step and in the export.

Usage: python killed_runs.py PRIOR FOLDER

One process imports everything and forks the runs. They leave their outputs in FOLDER/whole/out and
FOLDER/killed/out, and beside them in random.txt what all random generators would have given next
as the last step ended.
"""

import io
import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
import torch
import trimesh
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from kills import Job, imported_once  # noqa: E402

NUM_STEPS, SAVED_EVERY = 6, 2


def config(prior, asset):
    """Everything that a run does, as small as it can be."""
    return {
        "prompt": "a dog",
        "trainer": {
            "logger": False,
            "num_sanity_val_steps": 0,
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "callbacks": [
                {
                    "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
                    "init_args": {
                        "save_last": True,
                        "save_top_k": 0,
                        "every_n_train_steps": SAVED_EVERY,
                    },
                },
                {
                    "class_path": "redream.callbacks.Export",
                    "init_args": {
                        "num_frames": 8,
                        "frame_size": 16,
                        "surface_resolution": 12,
                        "texture_size": 16,
                        "baking_size": 16,
                    },
                },
            ],
        },
        "model": {
            "prior": {"class_path": "StableDiffusionPrior", "init_args": {"model": str(prior)}},
            "representation": {
                "class_path": "NeRF",
                "init_args": {
                    "num_levels": 2,
                    "log2_table_size": 8,
                    "hidden": 8,
                    "num_steps": 16,
                    "occupancy_period": 2,
                    "init_steps": 20,
                },
            },
            "adapter": {"class_path": "LightAdapter", "init_args": {"patience": 1}},
            "guidance": {"class_path": "VSD"},
            "num_particles": 2,
            "particles_per_step": 1,
            "cameras": {"render_size": 16},
            "adaptation": {"batch_size": 2, "held_out_period": 2},
            "warmup": {"steps": 4},
        },
        "data": {
            "assets": str(asset),
            "captions": "a box",
            "references": {
                "class_path": "redream.assets.ReferenceRenderer",
                "init_args": {"num_views": 10, "size": 16},
            },
        },
    }


def die():
    """As the kernel, an operator or a scheduler ends a process."""
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_checkpoint():
    """Dies with half of the checkpoint of step 4 on disk; the last one is of step 2."""
    plain = torch.save

    def save(checkpoint, file):
        if checkpoint["global_step"] < 4:
            plain(checkpoint, file)
            return
        whole = io.BytesIO()
        plain(checkpoint, whole)
        file.write(whole.getvalue()[: whole.tell() // 2])
        file.flush()
        die()

    torch.save = save


def in_a_step():
    """Dies with the gradients of step 5 in memory; the last checkpoint is of step 4."""
    from redream.method.module import ReDream

    plain = ReDream.on_before_optimizer_step

    def guarded(module, optimizer):
        plain(module, optimizer)
        if module.global_step == 5:
            die()

    ReDream.on_before_optimizer_step = guarded


def in_the_export():
    """Dies with the second model written and not yet in its place."""
    plain = os.replace

    def replace(source, target):
        if Path(target).name == "particle_1.glb":
            die()
        plain(source, target)

    os.replace = replace


def record_random_state(path):
    """Keeps, as the last step begins its end, what all generators would give next."""
    from redream.method.module import ReDream

    plain = ReDream.on_before_optimizer_step

    def recorded(module, optimizer):
        if module.global_step == NUM_STEPS - 1:
            name, keys, *rest = np.random.get_state()
            states = [torch.get_rng_state().tolist(), random.getstate(), name, keys.tolist(), rest]
            path.write_text(repr(states))
        plain(module, optimizer)

    ReDream.on_before_optimizer_step = recorded


def main():
    prior, root = map(Path, sys.argv[1:])
    trimesh.creation.box((0.8, 1.0, 1.4)).export(root / "box.glb")
    (root / "tiny.yaml").write_text(yaml.safe_dump(config(prior, root / "box.glb")))
    imported_once()

    whole, killed = (
        Job(root / name, root / "cache", NUM_STEPS, [root / "tiny.yaml"])
        for name in ("whole", "killed")
    )
    run(whole)
    run(killed, kill=in_a_checkpoint)
    run(killed, "--ckpt_path=last", kill=in_a_step)
    run(killed, "--ckpt_path=last", kill=in_the_export)
    run(killed, "--ckpt_path=last")


def run(job, *more, kill=None):
    """Runs a job to its end, or to the moment at which it must die."""

    def prepare():
        record_random_state(job.folder / "random.txt")
        if kill is not None:
            kill()

    _, status = os.waitpid(job.start(*more, prepare=prepare), 0)
    expected = 0 if kill is None else signal.SIGKILL
    if status != expected:
        raise SystemExit(f"{status} and not {expected}:\n{job.log.read_text()[-2000:]}")


if __name__ == "__main__":
    main()
