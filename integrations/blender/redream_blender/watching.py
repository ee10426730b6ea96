"""The run that Blender waits for, looked at twice a second by a timer, which blocks nothing.

A timer of the application, not a modal operator: Blender saves nothing by itself while one of these
is running, and ends it when another file is opened.
"""

import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import bpy

from . import settings
from .arrival import arrive
from .job import Job, discard, read_note, write_note
from .run_folder import made

_INTERVAL = 0.5  # seconds


class _State:
    """What there is one of in a Blender."""

    job: Job | None = None
    since = 0.0  # seconds since the epoch: models before are another session's
    said = ""
    is_error = False


def current() -> Job | None:
    """The run that is at work."""
    return _State.job


def said() -> tuple[str, bool]:
    """What there is to say of the last run, and whether it is an error."""
    return _State.said, _State.is_error


def say(text: str, is_error: bool = False) -> None:
    """Says something in the panel."""
    _State.said, _State.is_error = text, is_error
    _redraw()


def start(arguments: Sequence[str], folder: Path, note: dict[str, Any] | None = None) -> None:
    """Starts a command, which a timer then waits for; it returns at once.

    Args:
        arguments: What ``redream`` is asked.
        folder: The run's folder.
        note: What to know of it another day; None leaves what is known.

    Raises:
        ValueError: If a run is at work already.
        OSError: If it cannot be started.
        Missing: If ``redream`` is not found.
    """
    if _State.job is not None:
        raise ValueError("a run is at work already: stop or cancel it first")
    home = settings.places().home
    if note is not None:
        write_note(folder, note)
    _State.job = Job(home.command, arguments, folder, os.environ, home.configs.parent)
    _State.since = time.time() - 1.0
    settings.settings(bpy.context).folder = str(folder)
    say("")
    bpy.app.timers.register(tick, first_interval=_INTERVAL, persistent=True)


def wait() -> None:
    """Waits until the run has ended, for scripts; without a window no timer runs."""
    while tick() is not None:
        time.sleep(0.1)
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)


def tick() -> float | None:
    """Looks at the run; seconds until the next look, or None where there is nothing to wait for."""
    job = _State.job
    if job is None:
        return None
    code = job.poll()
    _redraw()
    if code is None:
        return _INTERVAL
    with _in_a_window():
        if code == 0 and bpy.context.mode != "OBJECT":  # importing would end what is being edited
            _State.said = "ready: leave the mode that you are in, and it arrives"
            return _INTERVAL
        _State.job = None
        try:
            _finish(job, code)
        except (OSError, RuntimeError, ValueError) as error:
            say(f"what was made could not be opened: {error}", is_error=True)
    return None


def cancel() -> None:
    """Ends the run at once, and removes its folder where this session began it."""
    job, _State.job = _State.job, None
    if job is None:
        return
    job.kill()
    if not job.had_begun:
        if _is_of_this_scene(job):
            settings.settings(bpy.context).folder = ""
        discard(job.folder)
    say("cancelled")


def leave() -> None:
    """Stops the run at a checkpoint, since nobody will be there to wait for it."""
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    job, _State.job = _State.job, None
    if job is not None:
        job.stop()


def fetch(folder: Path, place: Sequence[float], since: float = 0.0) -> int:
    """Imports what a run has made.

    Args:
        folder: The run's folder.
        place: Where to.
        since: Seconds since the epoch; what is older does not count.

    Returns:
        How many models there were.
    """
    models = made(folder, since).models
    note = read_note(folder)
    name = "" if note.get("keeps_shape") else str(note.get("prompt", ""))
    arrive(models, place, name, folder)
    return len(models)


def _finish(job: Job, code: int) -> None:
    step = job.progress.step
    if job.was_stopped and code != 0:
        say(f"stopped after step {step}" if step else "stopped before the first step")
    elif code != 0:
        say(job.said(), is_error=True)
    elif not _is_of_this_scene(job):
        say(f"ready in {job.folder}: Bring It Here imports it")
    else:
        place = read_note(job.folder).get("place", tuple(bpy.context.scene.cursor.location))
        num = fetch(job.folder, place, _State.since)
        if num and not bpy.app.background:
            bpy.ops.ed.undo_push(message="ReDream")
        what = "1 object arrived" if num == 1 else f"{num} objects arrived"
        say(what if num else "the run ended, and nothing had a surface", is_error=not num)


def _is_of_this_scene(job: Job) -> bool:
    """Whether the scene that is open is the one that the run is for; another file has others."""
    return bool(settings.settings(bpy.context).folder == str(job.folder))


def _in_a_window() -> AbstractContextManager[Any]:
    """A timer has no window, and operators want one."""
    windows = bpy.context.window_manager.windows
    if bpy.context.window is not None or not windows:
        return nullcontext()
    overridden: AbstractContextManager[Any] = bpy.context.temp_override(window=windows[0])
    return overridden


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()
