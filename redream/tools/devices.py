"""What ``--trainer.devices auto`` means: as many processes as particles can be shared among."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from redream.cli import num_cores

_AMONG_OTHERS = {"LOCAL_RANK", "RANK", "SLURM_PROCID", "WORLD_SIZE"}
"""Of which none is set where nobody has launched this process among others."""


def devices_of(
    asked: Mapping[str, Any], num_particles: int, particles_per_step: int, typed: Sequence[str]
) -> dict[str, int]:
    """The trainer's ``devices``, where it is ``auto`` and the run may have several processes.

    Lightning starts the others by running this very command again. So there are several only where
    the command line is this run: a stage, a test or a notebook has one process.

    Args:
        asked: The trainer's options.
        num_particles: K.
        particles_per_step: How many of them a step updates.
        typed: The arguments that were parsed.

    Returns:
        ``devices``, or nothing where the trainer is to decide.
    """
    is_plain = asked.get("strategy") in ("auto", "ddp") and asked.get("num_nodes") == 1
    is_command = list(typed) == sys.argv[1:] and typed[:1] == ["fit"]
    if asked.get("devices") != "auto" or not is_plain or not is_command:
        return {}
    from redream.training.limits import num_processes  # Lightning, which takes seconds

    num_gpus = gpus(asked.get("accelerator"))
    num = num_processes(num_gpus or num_cores(), num_particles, particles_per_step)
    if num > 1 and not _AMONG_OTHERS & os.environ.keys():
        kind = "GPUs" if num_gpus else "cores"
        each = num_particles // num
        print(
            f"redream: {num} processes on {num} {kind}, {each} of {num_particles} particles each",
            file=sys.stderr,
        )
    return {"devices": num}


def gpus(accelerator: object) -> int:
    """How many of CUDA's GPUs a run with this accelerator can have."""
    import torch

    return torch.cuda.device_count() if accelerator in ("auto", "gpu", "cuda") else 0
