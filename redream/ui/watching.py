"""The page's second part: all runs, one of them as it grows, and what it has made."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from redream.plugins import one_line
from redream.ui import pieces
from redream.ui.asked import Asked
from redream.ui.looking import Found
from redream.ui.queue import Queue
from redream.ui.runs import Run, find_runs, read_run
from redream.ui.safety import inside


class Shown(NamedTuple):
    """The components of a run, in the order in which they are painted anew.

    Attributes:
        signature: What was painted last; nothing is painted twice.
        runs: The list of all runs, which changes when this one does.
        progress: Where it is.
        stop: Asks it to leave.
        resume: Goes on.
        finish: Exports what there is.
        again: Fills the form with what was asked for.
        sheet: Its contact sheet.
        made: What there is once it has made something.
        objects: The objects, to be turned.
        results: Numbers, licences, downloads.
        report: The report.
        command: The command.
    """

    signature: gr.State
    runs: gr.HTML
    progress: gr.HTML
    stop: gr.Button
    resume: gr.Button
    finish: gr.Button
    again: gr.Button
    sheet: gr.HTML
    made: gr.Column
    objects: gr.HTML
    results: gr.HTML
    report: gr.HTML
    command: gr.HTML


class Watching:
    """What the page shows of runs, and how they are stopped and taken up.

    Args:
        queue: The runs.
    """

    def __init__(self, queue: Queue) -> None:
        self.queue, self.out = queue, queue.out

    def paint(self, runs: gr.HTML) -> Shown:
        """Paints the place of one run; nothing is in it yet.

        Args:
            runs: Where all runs are listed.
        """
        progress = _html(elem_id="progress")
        with gr.Row(elem_classes="rd-buttons"):
            stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
            resume = gr.Button("Go on", visible=False, elem_id="resume")
            finish = gr.Button("Export what there is", visible=False, elem_id="finish")
            again = gr.Button("Again with ...", visible=False, elem_id="again")
        sheet = _html(elem_id="sheet")
        with gr.Column(visible=False, elem_id="made") as made:
            objects = _html(elem_id="objects")
            results = _html(elem_id="results")
            with gr.Accordion("Report", open=False, elem_id="report"):
                report = _html()
        with gr.Accordion("The command", open=False, elem_id="command"):
            command = _html()
        return Shown(
            gr.State(""), runs, progress, stop, resume, finish, again, sheet, made, objects,
            results, report, command,
        )  # fmt: skip

    def show(self, name: str, painted: str) -> list[Any]:
        """A run as it is; nothing where that has been painted already."""
        run = self._run(name)
        if run is None:
            nothing = f"no {name}"
            if painted == nothing:
                return [gr.skip()] * len(Shown._fields)
            said = pieces.alert("there is no such run") if name else ""
            gone = [*[gr.update(visible=False)] * 4, "", gr.update(visible=False)]
            return [nothing, self.runs(""), said, *gone, *[""] * 4]
        place = self.queue.places().get(run.folder, 0)
        asked = bool(run.asked)
        signature = f"{name} {run.state} {run.status} {run.sheet} {place} {len(run.models)} {asked}"
        if signature == painted:
            return [gr.skip()] * len(Shown._fields)
        runs = gr.skip() if painted.startswith(f"{name} {run.state} ") else self.runs(name)
        head = [
            signature,
            runs,
            pieces.progress(run, place),
            *self._buttons(run),
            pieces.sheet(run),
        ]
        if painted.startswith(f"{name} ") and run.is_active:  # what was made before stays
            return [*head, *[gr.skip()] * 5]
        return [*head, *self._made(run)]

    def runs(self, chosen: str) -> str:
        """All runs."""
        return pieces.run_cards(find_runs(self.out), self.queue.places(), chosen)

    def finished(self) -> list[tuple[str, str]]:
        """Runs that can be compared."""
        runs = [run for run in find_runs(self.out) if run.films or run.sheet]
        return [(f"{run.prompt} ({run.name.rpartition('/')[2]})", run.name) for run in runs]

    def chosen_in(self, name: str) -> tuple[Asked | None, list[Found]]:
        """What a run was asked, and the assets that were chosen for it, as they were shown."""
        run = self._run(name)
        if run is None:
            return None, []
        if run.job is None:
            return Asked(run.prompt, "", {}), []
        asked = run.job.asked
        wanted = [(uid, "own") for uid in asked.own] + [(uid, "library") for uid in asked.chosen]
        of_library = {each["uid"]: (place, each) for place, each in enumerate(run.credits)}
        of_own = list(enumerate(run.credits[: len(asked.own)]))
        found = []
        for number, (uid, origin) in enumerate(wanted):
            known = of_own[number] if number < len(of_own) else of_library.get(uid)
            place, facts = known if known else (0, {"caption": uid})
            texts = {key: facts.get(key, "") for key in ("caption", "license", "author", "source")}
            picture = f".{pieces.link(run, f'retrieval/asset_{place}.png')}" if known else ""
            found.append(Found(uid=uid, origin=origin, scores={}, picture=picture, **texts))
        return asked, found

    def beside(self, *names: str | None) -> str:
        """Runs side by side."""
        runs = [run for name in names if name and (run := self._run(name)) is not None]
        return pieces.beside(runs) if runs else ""

    def do(self, action: Callable[[Path], None], name: str) -> None:
        """Stops a run, or takes it up.

        Raises:
            gr.Error: If it cannot be done.
        """
        run = self._run(name)
        if run is None:
            return
        try:
            action(run.folder)
            self.queue.tick()
        except (ValueError, OSError) as error:
            raise gr.Error(one_line(error), print_exception=False) from error

    def _run(self, name: str) -> Run | None:
        with suppress(ValueError, OSError):
            folder = inside(self.out, name)
            if folder.is_dir():
                return read_run(self.out.resolve(), folder)
        return None

    def _buttons(self, run: Run) -> list[Any]:
        of_page = run.job is not None
        has_begun = run.has("checkpoints/last.ckpt")
        ended = run.state in ("stopped", "failed", "withdrawn")
        return [
            gr.update(
                value="Withdraw" if run.state == "queued" else "Stop",
                visible=of_page and (run.is_active or run.state == "queued"),
            ),
            gr.update(value="Go on" if has_begun else "Try again", visible=of_page and ended),
            gr.update(visible=of_page and ended and has_begun),
            gr.update(visible=True),
        ]

    def _made(self, run: Run) -> list[Any]:
        command = ""
        if run.job is not None:
            with suppress(ValueError, OSError):
                command = pieces.command(self.queue.options(run.job.asked, run.folder))
        return [
            gr.update(visible=bool(run.films or run.models)),
            pieces.objects(run),
            pieces.results(run),
            pieces.report(run),
            command,
        ]


def _html(**options: Any) -> gr.HTML:  # noqa: ANN401
    """Our own HTML, in our own style."""
    return gr.HTML(apply_default_css=False, **options)
