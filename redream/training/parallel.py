"""``--trainer.strategy ddp``: each process trains its own particles, and all share the adapters.

Lightning launches the processes and joins them, on one machine or several, as for any DDP. What
differs is what they tell each other: not the gradients of all parameters but those of omega, e_psi
and zeta, in one message a step. A particle is trained where it belongs and nowhere else; the first
process gets a copy of all of them when it writes a checkpoint, a preview or the export.
"""

import atexit
import signal
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.trainer.states import TrainerStatus
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from redream.signals import are_answered
from redream.training.finite import GivenUp
from redream.training.processes import Processes


class ParticleParallel(DDPStrategy):
    """DDP in which particles belong to processes; takes the arguments of Lightning's own.

    The module offers ``particles``, ``processes`` and ``shared_parameters()``.
    """

    _asked_to_stop = False  # Ctrl-C was pressed
    stops_together = False
    """Whether all processes raise at the same step, so that they may still talk."""

    def configure_ddp(self) -> None:
        """Tells the module which process this is; what is shared starts as the first has it."""
        self._module.processes = Processes(self.global_rank, self.world_size)
        for parameter in self._module.shared_parameters():
            dist.broadcast(parameter.detach(), 0)

    def teardown(self) -> None:
        """Leaves the module as a single process's, which knows all particles if it is the first."""
        if self.lightning_module is not None:
            self._module.processes = Processes()
        super().teardown()

    def on_train_start(self) -> None:
        """From now on Ctrl-C is answered between two steps, by all processes at once."""
        super().on_train_start()
        self._before = (
            None if are_answered() else signal.signal(signal.SIGINT, self._note_interrupt)
        )

    def on_train_end(self) -> None:
        """Ctrl-C means again what it meant before."""
        super().on_train_end()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._asked_to_stop:
            raise KeyboardInterrupt
        self._asked_to_stop = True

    def training_step(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """A step, unless one of the processes was asked to stop: then all stop."""
        is_own = self._before is not None  # the command line asks all processes by itself
        if is_own and self.reduce_boolean_decision(self._asked_to_stop, all=False):
            self.stops_together = True
            raise KeyboardInterrupt
        return super().training_step(*args, **kwargs)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """A step of the optimiser; giving up is a decision of all processes."""
        try:
            return super().optimizer_step(*args, **kwargs)
        except GivenUp:
            self.stops_together = True
            raise

    def post_backward(self, closure_loss: Tensor) -> None:
        """Averages the gradients of what is shared."""
        self._module.processes.average_gradients(self._module.shared_parameters())

    def gather_particles(self) -> bool:
        """Brings the first process's copies of all particles up to date.

        All processes call it at the same step.

        Returns:
            Whether this process knows all particles now.
        """
        if self._is_alone:
            return False
        processes, particles = self._module.processes, self._module.particles
        own = {
            index: tree_map_only(Tensor, Tensor.cpu, dict(particles[index].state_dict()))
            for index in processes.own(range(len(particles)))
        }
        for rank, states in enumerate(processes.tell_first(own)):
            for index, state in states.items() if rank != processes.rank else ():
                particles[index].load_state_dict(state)
        return self.is_global_zero

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The state of the module, whole in the first process."""
        self.gather_particles()
        return super().lightning_module_state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The state of the optimiser, whole in the first process."""
        whole: dict[str, Any] = super().optimizer_state(optimizer)
        if self._is_alone:
            return whole
        mine = _of_particles(whole, self._module.processes.own(range(len(self._module.particles))))
        own = {key: value for key, value in whole["state"].items() if key in mine}
        for states in self._module.processes.tell_first(tree_map_only(Tensor, Tensor.cpu, own)):
            whole["state"] = dict(sorted((states | whole["state"]).items()))
        return whole

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Takes what a checkpoint of any number of processes holds of this process's particles."""
        num = len(self._module.particles)
        others = sorted(set(range(num)) - set(self._module.processes.own(range(num))))
        for whole in checkpoint["optimizer_states"]:
            theirs = _of_particles(whole, others)
            whole["state"] = {key: v for key, v in whole["state"].items() if key not in theirs}
        super().load_optimizer_state_dict(checkpoint)

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Writes a checkpoint, unless this process stops alone and so does not have it whole."""
        if not self._is_alone:
            super().save_checkpoint(*args, **kwargs)

    def barrier(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Waits for the others, unless this process stops alone."""
        if not self._is_alone:
            super().barrier(*args, **kwargs)

    def broadcast(self, obj: Any, src: int = 0) -> Any:  # noqa: ANN401
        """What the others hear from ``src``; a process that stops alone hears itself."""
        return obj if self._is_alone else super().broadcast(obj, src)

    def reduce(self, tensor: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """One value of all; a process that stops alone has its own."""
        return tensor if self._is_alone else super().reduce(tensor, *args, **kwargs)

    def on_exception(self, exception: BaseException) -> None:
        """Ends the processes that would wait for this one forever, once it has said why.

        Those that stop together wait for the first, which may be exporting. Lightning ends a
        process soon after one that it launched has ended, so that is left to the very last.
        """
        super().on_exception(exception)
        if self.stops_together:
            self.barrier()
        if self.local_rank == 0 and self.launcher is not None:
            atexit.register(self.launcher.kill, getattr(signal, "SIGKILL", signal.SIGTERM))
        elif self.stops_together:
            time.sleep(60.0)  # until the first ends this one

    @property
    def _module(self) -> Any:  # noqa: ANN401
        return self.lightning_module

    @property
    def _is_alone(self) -> bool:
        """Whether this process stops by itself, so that no other will answer it."""
        module = self.lightning_module
        if module is None or module._trainer is None or self.stops_together:
            return False
        return module.trainer.state.status == TrainerStatus.INTERRUPTED


def gather_particles(trainer: Trainer) -> bool:
    """Whether this process knows all particles as they are now, and is the one that writes.

    All processes call it at the same step; see :meth:`ParticleParallel.gather_particles`.
    """
    if isinstance(trainer.strategy, ParticleParallel):
        return trainer.strategy.gather_particles()
    return trainer.is_global_zero


def _of_particles(optimizer_state: Mapping[str, Any], particles: list[int]) -> set[int]:
    """The numbers of the parameters of some particles in an optimiser's state."""
    return {
        number
        for group in optimizer_state["param_groups"]
        for number in group["params"]
        if any(group["name"].startswith(f"theta_{index}.") for index in particles)
    }
