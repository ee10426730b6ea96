"""What the panel's buttons do."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

from . import settings, watching
from .command import Selection, Wish, fit_arguments, go_on_arguments, take_arguments
from .finding import Missing
from .job import discard, read_note
from .run_folder import can_be_taken, can_go_on, made, new_folder
from .selection import write_selection

Said = set[str]


def _is_idle() -> bool:
    return watching.current() is None


def _last(context: Any) -> Path | None:  # noqa: ANN401
    folder = settings.settings(context).folder
    return Path(bpy.path.abspath(folder)) if folder else None


def _selected(context: Any, file: Path) -> tuple[Selection | None, float]:  # noqa: ANN401
    """The selection, written to a file, where it is to be used; and the new object's size."""
    chosen = settings.settings(context)
    if not chosen.uses_selection:
        return None, chosen.size * context.scene.unit_settings.scale_length
    size_m = write_selection(context, file)
    return Selection(file, chosen.shows, chosen.faces_front, chosen.keeps_shape), size_m


class _Starts:
    """Starts a run and returns at once; a script, where no timer runs, may wait for its end."""

    waits: bpy.props.BoolProperty(
        name="Wait", description="Return when the run has ended", options={"HIDDEN", "SKIP_SAVE"}
    )
    report: Callable[[set[str], str], None]

    def execute(self, context: Any) -> Said:  # noqa: ANN401
        """Starts the run."""
        try:
            self.begin(context)
        except (Missing, OSError, ValueError, RuntimeError) as error:
            line = " ".join(str(error).split())
            watching.say(line, is_error=True)
            self.report({"WARNING"}, line)  # an error would be an exception in a script
            return {"CANCELLED"}
        if self.waits:
            watching.wait()
        return {"FINISHED"}

    def begin(self, context: Any) -> None:  # noqa: ANN401
        """Starts the command.

        Raises:
            Missing: If ``redream`` is not found.
            OSError: If a folder cannot be written.
            ValueError: If something is wrong with what is asked.
        """
        raise NotImplementedError


class RedreamMake(_Starts, bpy.types.Operator):
    """Make an object of the prompt; Blender stays yours meanwhile."""

    bl_idname, bl_label = "redream.make", "Make"

    @classmethod
    def poll(cls, context: Any) -> bool:  # noqa: ANN401
        """Whether no run is at work."""
        return _is_idle()

    def begin(self, context: Any) -> None:  # noqa: ANN401
        """Starts a run."""
        chosen, places = settings.settings(context), settings.places()
        if chosen.preset not in places.presets:
            raise Missing("choose a preset: the one that was chosen is not there any more")
        folder = new_folder(settings.runs_folder(), chosen.prompt, time.localtime())
        try:
            # In the run's folder: a run that goes on another day reads the selection again.
            selection, size_m = _selected(context, folder / "selection.glb")
            wish = Wish(
                chosen.prompt,
                places.presets[chosen.preset],
                chosen.num_objects,
                size_m,
                chosen.options,
                selection,
            )
            arguments = fit_arguments(wish, places.home.configs, folder)
            note = {
                "prompt": chosen.prompt.strip(),
                "arguments": arguments,
                "place": list(context.scene.cursor.location),
                "keeps_shape": bool(selection and selection.keeps_shape),
            }
            watching.start(arguments, folder, note)
        except (Missing, OSError, ValueError, RuntimeError):
            discard(folder)
            raise


class RedreamStop(bpy.types.Operator):
    """End the step, save a checkpoint and leave; Go On goes on from there."""

    bl_idname, bl_label = "redream.stop", "Stop"

    @classmethod
    def poll(cls, context: Any) -> bool:  # noqa: ANN401
        """Whether a run is at work that was not told yet."""
        job = watching.current()
        return job is not None and not job.was_stopped

    def execute(self, context: Any) -> Said:  # noqa: ANN401
        """Sends the signal."""
        job = watching.current()
        if job is not None:
            job.stop()
            watching.say("stopping when the step has ended")
        return {"FINISHED"}


class RedreamCancel(bpy.types.Operator):
    """End the run at once and remove what it has made."""

    bl_idname, bl_label = "redream.cancel", "Cancel"

    @classmethod
    def poll(cls, context: Any) -> bool:  # noqa: ANN401
        """Whether a run is at work."""
        return not _is_idle()

    def execute(self, context: Any) -> Said:  # noqa: ANN401
        """Ends the run."""
        watching.cancel()
        return {"FINISHED"}


class RedreamGoOn(_Starts, bpy.types.Operator):
    """Go on with the last run from its checkpoint."""

    bl_idname, bl_label = "redream.go_on", "Go On"

    @classmethod
    def poll(cls, context: Any) -> bool:  # noqa: ANN401
        """Whether the last run has a checkpoint."""
        folder = _last(context)
        return _is_idle() and folder is not None and can_go_on(folder)

    def begin(self, context: Any) -> None:  # noqa: ANN401
        """Starts it again."""
        folder = _last(context)
        arguments = read_note(folder).get("arguments") if folder else None
        if folder is None or not isinstance(arguments, list):
            raise ValueError(f"nothing is known of the run in {folder}: make a new one")
        watching.start(go_on_arguments([str(each) for each in arguments]), folder)


class RedreamTake(_Starts, bpy.types.Operator):
    """Take the stopped run's object as it is at its last checkpoint."""

    bl_idname, bl_label = "redream.take", "Take It As It Is"

    @classmethod
    def poll(cls, context: Any) -> bool:  # noqa: ANN401
        """Whether the last run has a checkpoint."""
        folder = _last(context)
        return _is_idle() and folder is not None and can_be_taken(folder)

    def begin(self, context: Any) -> None:  # noqa: ANN401
        """Starts the export."""
        folder = _last(context)
        if folder is None:
            raise ValueError("there is no run: make one first")
        watching.start(take_arguments(folder), folder)


class RedreamFetch(bpy.types.Operator):
    """Import the last run's objects once more, at the cursor."""

    bl_idname, bl_label = "redream.fetch", "Bring It Here"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:  # noqa: ANN401
        """Whether the last run has made something, and objects can be added."""
        folder = _last(context)
        return folder is not None and context.mode == "OBJECT" and bool(made(folder).models)

    def execute(self, context: Any) -> Said:  # noqa: ANN401
        """Imports them."""
        folder = _last(context)
        if folder is not None:
            watching.fetch(folder, tuple(context.scene.cursor.location))
        return {"FINISHED"}


class RedreamReport(bpy.types.Operator):
    """Open the last run's page: what was retrieved, under which licence, how good it is."""

    bl_idname, bl_label = "redream.report", "Report"

    @classmethod
    def poll(cls, context: Any) -> bool:  # noqa: ANN401
        """Whether there is one."""
        folder = _last(context)
        return folder is not None and made(folder).report is not None

    def execute(self, context: Any) -> Said:  # noqa: ANN401
        """Opens it in the browser."""
        folder = _last(context)
        report = made(folder).report if folder else None
        if report is not None:
            bpy.ops.wm.url_open(url=report.absolute().as_uri())
        return {"FINISHED"}


OPERATORS = (
    RedreamMake,
    RedreamStop,
    RedreamCancel,
    RedreamGoOn,
    RedreamTake,
    RedreamFetch,
    RedreamReport,
)
