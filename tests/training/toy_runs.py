"""A small run of the whole method; as a script, in two processes until Ctrl-C reaches one.

Usage: python toy_runs.py PRIOR FOLDER STEPS CHECKPOINT
"""

import os
import signal
import sys
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader

from redream.adapters import LightAdapter
from redream.method.adaptation import AdaptationSchedule
from redream.method.cameras import CameraSampler
from redream.method.guidance import VSD
from redream.method.module import ReDream
from redream.priors import StableDiffusionPrior
from redream.representations import NeRF
from redream.training.checkpoints import WholeCheckpoints
from redream.training.parallel import ParticleParallel, gather_particles

sys.path.insert(0, str(Path(__file__).parents[1]))
from two_discs import Discs  # noqa: E402


class DiscData(Discs, L.LightningDataModule):
    """The discs as the data of a run."""

    def train_dataloader(self):
        return DataLoader(range(1000), batch_size=None)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class Gathering(Callback):
    """Writes what the first process knows of all particles when a preview would be made."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        if gather_particles(trainer):
            tables = [each.field.grid.table.detach() for each in pl_module.particles]
            seen = " ".join(str(float(table.norm())) for table in tables)
            folder = Path(trainer.default_root_dir)
            folder.mkdir(exist_ok=True)
            (folder / "seen.txt").write_text(seen)


class CtrlC(Callback):
    """Interrupts the second process alone after a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_rank == 1 and trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def make_module(prior, **arguments):
    """The method on a miniature prior."""
    torch.manual_seed(0)

    def particle(seed):
        return NeRF(
            seed, num_levels=2, log2_table_size=6, hidden=8, num_steps=16, occupancy_period=2
        )

    defaults = dict(
        prior=StableDiffusionPrior(str(prior)), representation=particle, adapter=LightAdapter(),
        guidance=VSD(), num_particles=2, cameras=CameraSampler(render_size=16),
        adaptation=AdaptationSchedule(batch_size=2, held_out_period=2),
    )  # fmt: skip
    return ReDream(**(defaults | arguments))


def make_trainer(folder, num_steps, callbacks=(), save_every=1, **options):
    """A trainer as the command line makes it."""
    saver = ModelCheckpoint(
        save_last=True, save_top_k=0, every_n_train_steps=save_every, save_on_exception=True
    )
    defaults = dict(
        default_root_dir=folder, max_steps=num_steps, accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[saver, *callbacks],
        plugins=[WholeCheckpoints()], num_sanity_val_steps=0,
    )  # fmt: skip
    return L.Trainer(**(defaults | options))


def main():
    prior, folder, num_steps, checkpoint = sys.argv[1:]
    trainer = make_trainer(
        folder, 100, [Gathering(), CtrlC(int(num_steps))], save_every=100, devices=2,
        strategy=ParticleParallel(),
    )  # fmt: skip
    trainer.fit(make_module(prior), DiscData(), ckpt_path=checkpoint)


if __name__ == "__main__":
    main()
