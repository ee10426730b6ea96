"""What a checkpoint must hold for a run of the method to go on with it, or to export it."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from redream.method.poses import UniformPoses
from redream.training import checkpoints
from redream.training.form import require_tensors


def require_restorable(
    checkpoint: Mapping[str, Any],
    module: LightningModule,
    trainer: Trainer,
    poses: UniformPoses,
    num_particles: int,
) -> None:
    """Looks at all that the module reads back, before it does.

    Args:
        checkpoint: What was read.
        module: The method.
        trainer: The run's.
        poses: How the run judges poses.
        num_particles: K.

    Raises:
        ValueError: If an entry is of another run or of another form; one line that names it.

    Warns:
        RuntimeWarning: If a training goes on with other random numbers.
    """
    checkpoints.require_same_parts(checkpoint, module)
    checkpoints.require_origin_of(checkpoint, trainer)
    if trainer.training:
        checkpoints.warn_of_other_random_keys(checkpoint)
    require_tensors(checkpoint.get("guidance", {}), "guidance")
    if "poses" in checkpoint and poses.is_on:
        poses.require_state(checkpoint["poses"], num_particles)
