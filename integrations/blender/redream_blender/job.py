"""A run: the command in a process of its own, without a shell, its output in a file.

It reads nothing from this program and writes into a file, so that neither ever waits for the other.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .progress import Progress
from .run_folder import can_go_on

NOTE, LOG = "blender.json", "blender.log"
_IS_WINDOWS = os.name == "nt"
_OF_THIS_PYTHON = ("PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__")


class Job:
    """A running command.

    Args:
        command: The program, with what comes before a verb.
        arguments: What it is asked.
        folder: The run's folder; made where it is missing. ``blender.log`` in it has the output.
        environ: The variables of this program.
        where: The folder that relative names in configs are meant from, such as an index's.

    Attributes:
        folder: The run's folder.
        had_begun: Whether the folder held a checkpoint before.
        progress: How far it is, as of the last :meth:`poll`.
        was_stopped: Whether :meth:`stop` was asked.

    Raises:
        OSError: If the folder cannot be written, or the program cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        arguments: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        where: Path,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.was_stopped = folder, False
        self.had_begun = can_go_on(folder)
        log, began = folder / LOG, time.time()
        # Its own group, or session: a Ctrl-C in Blender's terminal is not the run's, and a signal
        # to the run is not Blender's.
        apart: dict[str, Any] = {"start_new_session": True}
        if _IS_WINDOWS:
            apart = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(environ),
                cwd=where,
                **apart,
            )
        self.progress = Progress(folder, log, began)

    def poll(self) -> int | None:
        """Reads the progress; the exit code, or None while it runs."""
        code = self._process.poll()
        self.progress.read()
        return code

    def stop(self) -> None:
        """Asks the run to end its step, save a checkpoint and leave; returns at once."""
        self.was_stopped = True
        if self._process.poll() is None:
            number = getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT)
            self._process.send_signal(number)

    def kill(self) -> None:
        """Ends the run and what it has started, at once; waits until it is gone."""
        if self._process.poll() is None:
            if _IS_WINDOWS:
                tree = ["taskkill", "/T", "/F", "/PID", str(self._process.pid)]
                subprocess.run(tree, capture_output=True, check=False)
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def said(self) -> str:
        """Why the command failed, in one line."""
        self.progress.read()
        return self.progress.error or f"redream failed; {self.folder / LOG} says more"


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables for another Python: without those of Blender's, with UTF-8 and unbuffered."""
    kept = {key: value for key, value in environ.items() if key.upper() not in _OF_THIS_PYTHON}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def write_note(folder: Path, note: Mapping[str, Any]) -> None:
    """Keeps beside a run what Blender must know to go on with it another day."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{NOTE}.part"
    temporary.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, folder / NOTE)


def read_note(folder: Path) -> dict[str, Any]:
    """What :func:`write_note` kept; empty where there is nothing, or nothing of ours."""
    try:
        note = json.loads((folder / NOTE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def discard(folder: Path) -> None:
    """Removes a cancelled run's folder, which was made for it."""
    shutil.rmtree(folder, ignore_errors=True)
