"""Parts of a job, each a process with a time limit: what one of them does cannot end the others."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

State = Literal["done", "failed", "timed out", "not started"]


class Part(NamedTuple):
    """A command to run.

    Attributes:
        name: Its key in the report.
        title: Its heading on the page.
        command: What is run.
        limit: Seconds after which it is ended.
        is_json: Whether the last line that it prints is its result; else that line is the result
            as it stands.
    """

    name: str
    title: str
    command: Sequence[str]
    limit: float
    is_json: bool = True


class Result(NamedTuple):
    """What became of a part.

    Attributes:
        name: The part's.
        title: The part's.
        state: Whether it ended well, and if not, how.
        seconds: How long it took.
        reason: Why there is no result; empty where there is one.
        result: What it printed last; None where it did not end well.
    """

    name: str
    title: str
    state: State
    seconds: float
    reason: str
    result: Any


def run_in_turn(parts: Sequence[Part], seconds: float, folder: Path) -> Iterator[Result]:
    """Runs one after the other, and yields each as it ends.

    Args:
        parts: What is run.
        seconds: For all of it: the last may get less than their limits, or are not started.
        folder: Where the commands run.
    """
    end = time.monotonic() + seconds
    for part in parts:
        left = end - time.monotonic()
        if left <= 0.0:
            reason = f"the {seconds:.3g} seconds for all parts were over"
            yield Result(part.name, part.title, "not started", 0.0, reason, None)
        else:
            yield run(part, min(part.limit, left), folder)


def run(part: Part, limit: float, folder: Path) -> Result:
    """Runs a part to its end or its limit, with all processes that it starts."""
    begin = time.monotonic()

    def ended(state: State, reason: str = "", result: Any = None) -> Result:  # noqa: ANN401
        seconds = round(time.monotonic() - begin, 1)
        return Result(part.name, part.title, state, seconds, reason, result)

    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            part.command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return ended("timed out", f"it took more than {limit:.3g} seconds")
        finally:
            _end(process)
        printed, complained = (_lines(each) for each in (out, err))
    if code != 0:
        return ended("failed", f"exit code {code}: {' / '.join((complained or printed)[-3:])}")
    if not printed:
        return ended("failed", "it printed no result")
    if not part.is_json:
        return ended("done", result=printed[-1])
    try:
        return ended("done", result=json.loads(printed[-1]))
    except ValueError:
        return ended("failed", f"its last line is no JSON: {printed[-1][:200]}")


def _end(process: subprocess.Popen) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # all have ended
    process.wait()


def _lines(file: Any) -> list[str]:  # noqa: ANN401
    file.seek(0)
    return [line.rstrip() for line in file.read().splitlines() if line.strip()]
