"""``redream fit`` with stages: ordinary runs in sequence, as one job that can be taken up again.

The last stage's files lie in the job's folder, those of the others in ``stages/NAME`` below it,
each the whole folder of a run. ``stages/finished.json`` remembers the steps of finished stages.
"""

import gc
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from redream.callbacks.progress import Part, Progress
from redream.callbacks.status import Status
from redream.files import whole_file
from redream.plain_data import read_json
from redream.tools.lightning import ReDreamCLI, run
from redream.tools.run_folder import make_room, owned
from redream.tools.stages import Command, Stage


class Planned(NamedTuple):
    """A stage that has been parsed.

    Attributes:
        stage: The stage.
        folder: Where its run writes.
        num_steps: How many steps it makes.
    """

    stage: Stage
    folder: Path
    num_steps: int

    @property
    def checkpoint(self) -> Path:
        """Its last checkpoint."""
        return self.folder / "checkpoints" / "last.ckpt"


class Parsed(ReDreamCLI):
    """A command line that is parsed and checked, without making or running anything."""

    def instantiate_classes(self) -> None:
        """Makes nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Runs nothing."""


class StageCLI(ReDreamCLI):
    """One stage: an ordinary run whose progress is a part of the job's."""

    part: Part
    """Where in the job it is."""

    root: Path
    """The job's folder."""

    def owned(self, folder: Path) -> AbstractContextManager[None]:
        """The job has its folder already, and those of its stages lie in it."""
        return nullcontext()

    def make_room(self, folder: Path, checkpoint: str | None) -> None:
        """The job has made room before its first stage."""

    def before_fit(self) -> None:
        """Tells those that say where the job is."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Progress | Status):
                callback.part = self.part
            if isinstance(callback, Status):
                callback.folder = self.root

    def after_fit(self) -> None:
        """Keeps the last step, from which the next stage starts, where no callback has."""
        path = Path(self.trainer.default_root_dir, "checkpoints/last.ckpt")
        savers = self.trainer.checkpoint_callbacks
        kept = [each.last_model_path for each in savers if isinstance(each, ModelCheckpoint)]
        if path.resolve() not in [Path(each).resolve() for each in kept]:
            self.trainer.save_checkpoint(path)


def run_stages(command: Command, module: type[Any], data: type[Any]) -> None:
    """Runs the stages that are not finished yet.

    Every stage's config is parsed before the first stage runs.

    Args:
        command: The command line.
        module: The LightningModule behind the key ``model``.
        data: The LightningDataModule behind the key ``data``.

    Raises:
        ValueError: If a config is wrong; one line.
    """
    planned = _plan(command, module, data)
    root = planned[-1].folder
    with owned(root):
        if command.only is None and command.resume is None:
            make_room(root, None)
        _run_planned(command, planned, module, data)


def _run_planned(
    command: Command, planned: Sequence[Planned], module: type[Any], data: type[Any]
) -> None:
    """Runs the stages in a folder that is the job's."""
    root = planned[-1].folder
    names = [each.stage.name for each in planned]
    chosen = range(len(planned)) if command.only is None else [names.index(command.only)]
    resume = command.resume is not None
    if not resume:
        _forget(planned[chosen[0] :], root)
    total = sum(planned[i].num_steps for i in chosen)
    for i in chosen:
        stage, folder, num_steps = planned[i]
        done = _finished(root).get(stage.name, -1) >= num_steps
        if resume and done and planned[i].checkpoint.is_file():
            continue
        _forget(planned[i + 1 :], root)
        options = [f"--trainer.default_root_dir={folder}"]
        if resume and (taken := _taken_up(command, planned[i])) is not None:
            options.append(f"--ckpt_path={taken}")
        earlier = {each.stage.name: each.folder for each in planned[:i]}
        num_before = sum(planned[j].num_steps for j in chosen if j < i)
        StageCLI.root = root
        StageCLI.part = Part(stage.name, num_before, total)
        run(module, data, ["fit", *command.arguments(stage, earlier, *options)], cli=StageCLI)
        _write_finished(root, _finished(root) | {stage.name: num_steps})
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _plan(command: Command, module: type[Any], data: type[Any]) -> list[Planned]:
    """Parses every stage; the job's folder is the last one's."""
    configs, earlier = [], dict[str, Path]()
    for stage in command.stages:
        parsed = run(module, data, ["fit", *command.arguments(stage, earlier)], cli=Parsed)
        configs.append(parsed.config.fit)
        earlier[stage.name] = Path(stage.name)
    for stage, config in zip(command.stages, configs, strict=True):
        if config.trainer.max_steps < 1:
            raise ValueError(f"the stage {stage.name} needs trainer.max_steps, to know its end")
    root = Path(configs[-1].trainer.default_root_dir or ".")
    folders = [root / "stages" / stage.name for stage in command.stages[:-1]] + [root]
    return [
        Planned(stage, folder, config.trainer.max_steps)
        for stage, folder, config in zip(command.stages, folders, configs, strict=True)
    ]


def _taken_up(command: Command, planned: Planned) -> Path | None:
    """The checkpoint that a stage goes on from; None where it has made none yet."""
    if command.only is not None and command.resume != "last":
        return Path(str(command.resume))
    return planned.checkpoint if planned.checkpoint.is_file() else None


def _forget(planned: Sequence[Planned], root: Path) -> None:
    """Makes stages undone, so that nothing of an earlier job is taken up."""
    names = [each.stage.name for each in planned]
    finished = _finished(root)
    if any(name in finished for name in names):
        kept = {name: steps for name, steps in finished.items() if name not in names}
        _write_finished(root, kept)
    for each in planned:
        each.checkpoint.unlink(missing_ok=True)


def _finished(root: Path) -> dict[str, int]:
    """Steps of the stages that are finished."""
    path = root / "stages" / "finished.json"
    try:
        finished = read_json(path)
        return {str(name): int(steps) for name, steps in finished.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: remove it, and start without --ckpt_path") from error


def _write_finished(root: Path, finished: dict[str, int]) -> None:
    with whole_file(root / "stages" / "finished.json") as temporary:
        temporary.write_text(json.dumps(finished, indent=2) + "\n", encoding="utf-8")
