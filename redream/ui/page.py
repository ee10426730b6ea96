"""The page: making, watching, comparing."""

from functools import partial
from importlib.resources import files
from typing import Any

import gradio as gr

from redream.ui.asked import Asked
from redream.ui.live import SCRIPT
from redream.ui.looking import Looking
from redream.ui.making import Making
from redream.ui.queue import Queue
from redream.ui.ticks import SEND
from redream.ui.watching import Shown, Watching

_LIST_S = 30.0
_REMEMBER = (
    "name => { if (name) history.replaceState(null, '', '?run=' + encodeURIComponent(name)); }"
)
"""The address names the run, so that a page that is loaded again shows it again."""
_QUIET = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
"""What is answered at once: Gradio's queue would cost many times as much as the answer."""


def make_page(queue: Queue, looking: Looking) -> gr.Blocks:
    """Paints the page.

    Args:
        queue: The runs.
        looking: Finds assets.

    Returns:
        The page, to be served.
    """
    making, watching = Making(queue, looking), Watching(queue)
    with gr.Blocks(title="ReDream", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.HTML('<header class="rd-head"><p>ReDream</p></header>', apply_default_css=False)
        chosen = gr.Textbox(visible="hidden", elem_id="chosen")  # the address is made of it
        with gr.Tabs(selected="make") as tabs:
            with gr.Tab("Make", id="make"):
                form, make, said = making.paint()
            with gr.Tab("Runs", id="runs") as runs_tab:
                with gr.Row(elem_classes="rd-two"):
                    with gr.Column(scale=1, min_width=220):
                        runs = gr.HTML(elem_id="runs", apply_default_css=False)
                    with gr.Column(scale=3, min_width=320, elem_id="run"):
                        shown = watching.paint(runs)
            with gr.Tab("Compare", id="compare") as compare_tab:
                with gr.Row():
                    one = gr.Dropdown([], label="One run", elem_id="one")
                    other = gr.Dropdown([], label="Another", elem_id="other")
                beside = gr.HTML(elem_id="beside", apply_default_css=False)
        _watch(page, watching, chosen, shown, tabs, runs_tab)

        made = make.click(
            making.make, form.inputs, [chosen, said], show_progress_on=said,
            js=SEND, api_visibility="private", show_progress="minimal",
        )  # fmt: skip
        made.then(_to_run, said, tabs, **_QUIET).then(
            watching.show, [chosen, shown.signature], list(shown), **_QUIET
        ).then(None, chosen, None, js=_REMEMBER, **_QUIET)
        # in the queue: past it a changed gr.State is not told, and its assets are never drawn
        shown.again.click(
            partial(_again, making, watching), chosen, [tabs, *form.inputs],
            api_visibility="private", show_progress="hidden",
        )  # fmt: skip
        compare_tab.select(partial(_choices, watching), None, [one, other], **_QUIET)
        for each in (one, other):
            each.input(watching.beside, [one, other], beside, **_QUIET)
    return page


def _watch(
    page: gr.Blocks,
    watching: Watching,
    chosen: gr.Textbox,
    shown: Shown,
    tabs: gr.Tabs,
    runs_tab: gr.Tab,
) -> None:
    """Paints a run as it grows, and the list of all when it may have changed."""
    paint = {"fn": watching.show, "inputs": [chosen, shown.signature], "outputs": list(shown)}
    loaded = page.load(_asked_in_address, None, [chosen, tabs], **_QUIET)
    loaded.then(**paint, **_QUIET).then(None, None, None, js=SCRIPT, **_QUIET)
    refresh = gr.Button("Refresh", visible="hidden", elem_id="refresh")
    refresh.click(**paint, **_QUIET)
    gr.Timer(_LIST_S).tick(watching.runs, chosen, shown.runs, **_QUIET)
    runs_tab.select(watching.runs, chosen, shown.runs, **_QUIET)
    actions = {
        shown.stop: watching.queue.stop,
        shown.resume: watching.queue.resume,
        shown.finish: watching.queue.finish,
    }
    for button, action in actions.items():
        done = button.click(partial(watching.do, action), chosen, None, **_QUIET)
        done.then(**paint, **_QUIET)


def _asked_in_address(request: gr.Request) -> tuple[str, Any]:
    """The run that the address names, as in ``?run=a-dog``."""
    name = str(dict(request.query_params).get("run", ""))[:400]
    return name, gr.Tabs(selected="runs") if name else gr.skip()


def _to_run(refused: str) -> Any:  # noqa: ANN401
    return gr.skip() if refused else gr.Tabs(selected="runs")


def _again(making: Making, watching: Watching, name: str) -> list[Any]:
    """The form, filled with what a run was asked; of a command line's run the prompt alone."""
    asked, assets = watching.chosen_in(name)
    if asked is None:
        return [gr.skip()] * (1 + len(making.fill(Asked("", "", {}))))
    return [gr.Tabs(selected="make"), *making.fill(asked, assets)]


def _choices(watching: Watching) -> list[gr.Dropdown]:
    found = watching.finished()
    return [gr.Dropdown(found, value=None), gr.Dropdown(found, value=None)]


def style() -> str:
    """The page's own style."""
    return (files("redream.ui") / "style.css").read_text("utf-8")


def theme() -> gr.themes.Base:
    """Fonts that are on every computer: none is fetched."""
    fonts = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
    mono = ("ui-monospace", "Menlo", "Consolas", "monospace")
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue, neutral_hue=gr.themes.colors.gray,
        font=list(fonts), font_mono=list(mono), radius_size=gr.themes.sizes.radius_md,
    )  # fmt: skip
