"""A run whose prior is adapted ahead and whose poses are judged, in one process or two.

Usage: python judged_runs.py PRIOR FOLDER alone|both

Two are forked here, and told their places as a cluster would: tests/training/toy_runs.py leaves
that to Lightning, which starts the second from the beginning.
"""

import os
import socket
import sys

import torch
from lightning.pytorch.callbacks import Callback
from toy_runs import DiscData, make_module, make_trainer

from redream.adapters import LightAdapter
from redream.method.adaptation import AdaptationSchedule
from redream.method.guidance import SDS
from redream.method.poses import PictureFeatures, UniformPoses
from redream.schedules import Ramp
from redream.training.parallel import ParticleParallel

NUM_STEPS = 3


class MeanColour(PictureFeatures):
    """What tells a red disc from a green one, and no pose from another."""

    name = "mean colour"

    def of(self, pictures):
        return pictures.mean(dim=(2, 3))


class Telling(Callback):
    """Each process writes what it knows at the end."""

    def on_train_end(self, trainer, pl_module):
        told = {
            "poses": pl_module.poses.state(),
            "faces": pl_module.poses.num_faces,
            "adapter": {name: each.detach() for name, each in pl_module.adapter.named_parameters()},
            "finished": pl_module.adapter.stopped(0),
        }
        torch.save(told, f"{trainer.default_root_dir}/rank{trainer.global_rank}.pt")


def run(prior, folder, **options):
    """Three steps of two particles, each with a term of its own for the poses."""
    module = make_module(
        prior, guidance=SDS(), adapter=LightAdapter(max_steps=2),
        adaptation=AdaptationSchedule(batch_size=2, ahead=True),
        poses=UniformPoses(Ramp(1.0, 1.0), features=MeanColour(), min_accuracy=0.0),
    )  # fmt: skip
    make_trainer(folder, NUM_STEPS, [Telling()], **options).fit(module, DiscData())


def fork():
    """Makes a second process of this one; the second's number in the first, 0 in the second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ["MASTER_PORT"] = str(free.getsockname()[1])
    second = os.fork()
    os.environ["LOCAL_RANK"] = "0" if second else "1"
    return second


def main():
    *where, how = sys.argv[1:]
    if how == "alone":
        run(*where)
        return
    second = fork()
    run(*where, devices=2, strategy=ParticleParallel())
    if second:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(second, 0)[1]))


if __name__ == "__main__":
    main()
