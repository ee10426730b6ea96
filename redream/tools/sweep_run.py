"""One run of a sweep: a prompt and a seed in a folder of their own, made once and for all."""

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redream import cli
from redream.files import whole_file
from redream.locks import NO_LINKS, lock_alone
from redream.plain_data import read_json
from redream.tools.cluster import stand_in

DONE, LOG, LOCK = "done.json", "log.txt", ".lock"
CHECKPOINT = Path("checkpoints") / "last.ckpt"


class RunFailed(RuntimeError):
    """A run that ended without its results; the message is its last line."""


@dataclass(frozen=True)
class Run:
    """What is to be made.

    Attributes:
        prompt: The prompt.
        seed: The run's seed.
        folder: Where its outputs go.
        options: Options of ``redream fit`` that all runs share.
        started_in: Where the sweep was started, which relative paths are relative to; None where
            that is here.
    """

    prompt: str
    seed: int
    folder: Path
    options: tuple[str, ...]
    started_in: Path | None = None

    @property
    def result(self) -> dict[str, Any] | None:
        """What a finished run left; None where it is not finished, or what it left is damaged."""
        try:
            left = read_json(self.folder / DONE)
        except (OSError, ValueError):
            return None
        if not isinstance(left, dict) or not isinstance(left.get("metrics"), dict):
            return None
        return (
            left if all(map(_is_number, (left.get("seconds"), *left["metrics"].values()))) else None
        )

    @property
    def last_line(self) -> str:
        """The last line of its log; empty where there is none."""
        try:
            lines = (self.folder / LOG).read_text("utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def plan(
    prompts: Sequence[str],
    seeds: int,
    out: Path,
    options: Sequence[str],
    started_in: Path | None = None,
) -> list[Run]:
    """The runs of a sweep, prompt by prompt; a prompt that comes again counts once.

    A run's folder is named after its prompt and seed alone, so that a sweep that is started again,
    with more prompts or in another order, finds what it has made.
    """
    return [
        Run(prompt, seed, out / "runs" / f"{_slug(prompt)}-{seed}", tuple(options), started_in)
        for prompt in dict.fromkeys(prompts)
        for seed in range(seeds)
    ]


def read_prompts(path: Path) -> list[str]:
    """Reads a file of one prompt a line; empty lines and those that begin with # are left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text, or has no prompt.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of prompts at {path}")
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error.reason}") from error
    prompts = [line for line in lines if line and not line.startswith("#")]
    if not prompts:
        raise ValueError(f"{path} has no prompt: write one a line")
    return prompts


def make(run: Run) -> dict[str, Any]:
    """Makes a run unless it is made, going on from its last checkpoint.

    Whoever comes second to a folder waits for the first, and finds it finished; when a process
    dies, the system lets its lock go.

    Args:
        run: What to make.

    Returns:
        What it left, with ``prompt``, ``seed``, ``seconds`` and ``metrics``.

    Raises:
        RunFailed: If ``redream fit`` failed; its log says why.
    """
    stand_in(run.started_in)
    run.folder.mkdir(parents=True, exist_ok=True)
    with lock_alone(run.folder / LOCK, waits=True):
        if run.result is not None:
            return run.result
        start = time.time()
        with _logging_to(run.folder / LOG):
            command = [*run.options, f"--prompt={run.prompt}", f"--seed_everything={run.seed}"]
            command += ["--trainer.default_root_dir", str(run.folder)]
            checkpoint = _usable_checkpoint(run.folder)
            more = [] if checkpoint is None else ["--ckpt_path", str(checkpoint)]
            status = _status(["fit", *command, *more])
            if status == 0 and more and not (run.folder / "report.html").is_file():
                # it was stopped while it exported: there was nothing left to fit
                status = _status(["predict", *command, *more])
        if status != 0:
            raise RunFailed(run.last_line or f"redream fit ended with {status}")
        made = {"prompt": run.prompt, "seed": run.seed, "seconds": round(time.time() - start, 1)}
        result = {**made, "metrics": _metrics(run.folder)}
        with whole_file(run.folder / DONE) as temporary:
            temporary.write_text(json.dumps(result, indent=2), "utf-8")
        return result


def _status(command: Sequence[str]) -> int:
    """The exit code of a command, which may leave because of a signal."""
    try:
        return cli.main(command)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1


def _usable_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to go on from; None where there is none that can be read."""
    if not (folder / CHECKPOINT).exists():
        return None
    from redream.representations.checkpoint import read_checkpoint_or_previous

    try:
        return read_checkpoint_or_previous(folder / CHECKPOINT)[0]
    except (OSError, ValueError) as error:
        print(f"starting again: {error}", file=sys.stderr)
        return None


def _is_number(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is a number, and one that a float can hold."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= sys.float_info.max
    return isinstance(value, float)


def _metrics(folder: Path) -> dict[str, float]:
    """The numbers of ``metrics.json``; none where the config measures nothing."""
    try:
        measured = read_json(folder / "metrics.json")
    except (OSError, ValueError):
        return {}
    found: dict[str, float] = {}

    def gather(value: Any, name: str) -> None:  # noqa: ANN401
        if isinstance(value, dict):
            for key, each in value.items():
                gather(each, f"{name}.{key}" if name else str(key))
        elif _is_number(value):
            found[name] = float(value)

    gather(measured, "")
    return found


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | NO_LINKS, 0o644)
    with open(descriptor, "a", encoding="utf-8", errors="replace", buffering=1) as log:
        with redirect_stdout(log), redirect_stderr(log):
            yield


def _slug(prompt: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:40].strip("-")
    return f"{words or 'prompt'}-{hashlib.sha256(prompt.encode()).hexdigest()[:8]}"
