"""What a trainer cannot be asked for, and why; ``docs/reliability.md`` has the table."""

import math

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy

from redream.kernels.launch import require_runnable
from redream.training.parallel import ParticleParallel


def require_workable(trainer: Trainer, num_particles: int, particles_per_step: int) -> None:
    """Refuses what cannot work before any process is launched or anything is loaded.

    Args:
        trainer: The trainer, not yet running.
        num_particles: K.
        particles_per_step: How many of them a step updates.

    Raises:
        ValueError: If an option cannot work; one line with the reason and what to do instead.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, SingleDeviceStrategy | ParticleParallel):
        raise ValueError(
            f"the strategy {type(strategy).__name__} cannot work here: it would split or average "
            "parameters, and particles are whole scenes, each its process's own; use "
            "--trainer.strategy ddp"
        )
    require_runnable(strategy.root_device)
    if trainer.precision not in ("32-true", "bf16-mixed"):
        raise ValueError(
            f"--trainer.precision {trainer.precision} cannot work here: particles are rendered by "
            "kernels in 32 bits, and what is trained stays in them; take bf16-mixed, or for a "
            "smaller and faster prior --model.prior.init_args.dtype bfloat16"
        )
    if trainer.accumulate_grad_batches != 1:
        raise ValueError(
            "--trainer.accumulate_grad_batches cannot work here: random numbers are keyed by the "
            "step, so that it would add the same views again; set --model.cameras.num_views"
        )
    num = trainer.num_devices * trainer.num_nodes
    if num_particles % num:
        raise ValueError(
            f"{num_particles} particles (--model.num_particles) cannot be divided among {num} "
            f"processes: each trains as many; take a multiple of {num}, or fewer processes"
        )
    if particles_per_step % num:
        raise ValueError(
            f"{particles_per_step} particles a step (--model.particles_per_step) cannot be divided "
            f"among {num} processes: each would not have one to train in each step; take a "
            f"multiple of {num}"
        )
    by_norm = trainer.gradient_clip_val and str(trainer.gradient_clip_algorithm) != "value"
    if num > 1 and by_norm:
        raise ValueError(
            "--trainer.gradient_clip_val cannot work with several processes: none of them knows "
            "the norm over all particles; bound each value (--trainer.gradient_clip_algorithm "
            "value) or the scores (--model.guidance.init_args.clip)"
        )


def num_processes(num_devices: int, num_particles: int, particles_per_step: int) -> int:
    """The most processes, one a device, that have equally many particles to train in each step.

    Args:
        num_devices: Cores, or GPUs.
        num_particles: K.
        particles_per_step: How many of them a step updates.

    Returns:
        A number from 1 to ``num_devices``.
    """
    shared = math.gcd(num_particles, particles_per_step)
    return max(num for num in range(1, max(num_devices, 1) + 1) if shared % num == 0)


def require_uncompiled(module: LightningModule) -> None:
    """Refuses a module that went through ``torch.compile``.

    Raises:
        ValueError: If it did.
    """
    if getattr(module, "_compiler_ctx", None) is not None:
        raise ValueError(
            "torch.compile cannot work here: particles are rendered by Warp's kernels, which the "
            "compiler does not see; train the module as it is"
        )
