"""The page's first part: a prompt, a preset, assets to tick, and the button that makes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from redream.plugins import one_line
from redream.ui.asked import FORMATS, SETTINGS, Asked, checked
from redream.ui.configs import value_at
from redream.ui.looking import Found, Looking
from redream.ui.pictures import shown, take_picture
from redream.ui.pieces import alert, asset_card
from redream.ui.presets import Preset
from redream.ui.queue import Queue
from redream.ui.safety import MAX_PROMPT, MAX_YAML, PICTURES, UPLOADS, keep_upload
from redream.ui.ticks import SEND, read_ticks

_SHOWN = 6  # assets at first, and as many more each time


class Form(NamedTuple):
    """The components of the form, in the order in which they are handed to functions.

    Attributes:
        ticks: Which assets are ticked, as :data:`redream.ui.ticks.SEND` reads it off the page.
        prompt: What to make.
        preset: A preset's name.
        settings: A number for each of :data:`SETTINGS`.
        formats: What models are written as.
        device: Where it runs.
        yaml: Everything else.
        found: The assets that were found, and what each was found for.
        picture: A picture of the object, by its name below the folder of uploads.
    """

    ticks: gr.Textbox
    prompt: gr.Textbox
    preset: gr.Dropdown
    settings: tuple[gr.Number, ...]
    formats: gr.CheckboxGroup
    device: gr.Dropdown
    yaml: gr.Textbox
    found: gr.State
    picture: gr.Textbox

    @property
    def inputs(self) -> list[Any]:
        """All of them in a row."""
        return [
            self.ticks, self.prompt, self.preset, *self.settings, self.formats, self.device,
            self.yaml, self.found, self.picture,
        ]  # fmt: skip


class Filled(NamedTuple):
    """What stands in the form."""

    ticks: dict[str, bool]
    prompt: str
    preset: str
    settings: Sequence[float | None]
    formats: Sequence[str]
    device: str
    yaml: str
    found: Sequence[dict[str, Any]]
    picture: str


def filled(values: Sequence[Any]) -> Filled:
    """The values of :attr:`Form.inputs` by name.

    Raises:
        ValueError: If the ticks are none.
    """
    ticks, prompt, preset, *middle = values
    num = len(SETTINGS)
    formats, device, yaml, found, picture = middle[num:]
    return Filled(
        read_ticks(ticks, found), prompt or "", preset or "", middle[:num], formats, device, yaml,
        found, picture,
    )  # fmt: skip


class Making:
    """What the form does.

    Args:
        queue: Where runs are queued.
        looking: Finds assets.
    """

    def __init__(self, queue: Queue, looking: Looking) -> None:
        self.queue, self.looking = queue, looking
        self.choices = [each for each in queue.presets.values() if not each.lacks]

    def paint(self) -> tuple[Form, gr.Button, gr.HTML]:
        """Paints the form; its components, the button that makes, and where refusals are said."""
        first = self.choices[0]
        with gr.Row(elem_classes="rd-ask"):
            prompt = gr.Textbox(
                label="What shall it be?", placeholder="a striped dog", max_length=MAX_PROMPT,
                elem_id="prompt", autofocus=True, scale=3, max_lines=1,
            )  # fmt: skip
            preset = gr.Dropdown(
                [(_called(each), each.config.name) for each in self.choices],
                value=first.config.name, label="Preset", elem_id="preset", scale=2,
                info=first.config.title,
            )  # fmt: skip
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            with gr.Row():
                settings = tuple(
                    gr.Number(
                        _preset_value(first, each.key), label=each.title, info=each.hint,
                        precision=0, min_width=140, elem_id=each.key.replace(".", "-"),
                    )
                    for each in SETTINGS
                )  # fmt: skip
            with gr.Row():
                formats = gr.CheckboxGroup(
                    list(FORMATS), value=["glb"], label="Write models as", min_width=140
                )
                devices = [("the first that is free", "auto")]
                devices += [(each.title, each.name) for each in self.queue.devices]
                device = gr.Dropdown(
                    devices, value="auto", label="Runs on", visible=len(devices) > 2, min_width=140
                )
            yaml = gr.Textbox(
                label="Everything else, as YAML", lines=4, max_length=MAX_YAML, elem_id="yaml",
                info="As in a config; it is laid over the preset",
                placeholder="model: {guidance: {init_args: {scale: 5.0}}}",
            )  # fmt: skip
        found = gr.State([])
        ticks = gr.Textbox(visible="hidden", elem_id="ticks")
        picture = gr.Textbox(visible="hidden", elem_id="handed-in")
        form = Form(ticks, prompt, preset, settings, formats, device, yaml, found, picture)
        with gr.Row(elem_classes="rd-buttons"):
            make = gr.Button("Make it", variant="primary", elem_id="make")
            look = gr.Button("Show what is retrieved", elem_id="look")
            more = gr.Button("Look for others", elem_id="more", interactive=False)
            upload = gr.UploadButton(
                "Use a file of my own", file_types=list(UPLOADS), elem_id="upload"
            )
            hand_in = gr.UploadButton(
                "Hand in a picture", file_types=list(PICTURES), elem_id="picture",
                visible=first.picture != "none",
            )  # fmt: skip
        said = gr.HTML(elem_id="said", apply_default_css=False)
        own = gr.HTML(elem_id="own", apply_default_css=False)
        gr.render(inputs=[found], show_progress="hidden")(_paint_assets)
        lacking = [each for each in self.queue.presets.values() if each.lacks]
        if lacking:
            many = "1 preset" if len(lacking) == 1 else f"{len(lacking)} presets"
            with gr.Accordion(f"{many} that cannot run here", open=False):
                gr.Dataframe(
                    [[each.config.name, "; ".join(each.lacks)] for each in lacking],
                    headers=["preset", "why"], interactive=False, wrap=True,
                )  # fmt: skip
        answers = {
            "outputs": [found, said, more], "show_progress_on": said, "js": SEND, **_QUIET,
            "concurrency_id": "found", "concurrency_limit": 1,  # each goes on from the one before
        }  # fmt: skip
        look.click(self.look, form.inputs, **answers)
        more.click(self.look_for_others, form.inputs, **answers)
        upload.upload(self.take, [*form.inputs, upload], **answers)
        # in the browser: no press comes before the numbers, and a form that is filled keeps its own
        preset.input(None, preset, list(settings), js=self._numbers(), api_visibility="private")
        preset.change(self.show_preset, [preset, picture], [preset, hand_in, own], **_QUIET)
        hand_in.upload(self.take_picture, hand_in, [picture, said], **_QUIET)
        picture.change(self.show_picture, picture, own, **_QUIET)
        return form, make, said

    def look(self, *values: Any) -> tuple[Any, ...]:  # noqa: ANN401
        """Shows the nearest assets, as many ticked as a run takes."""
        return self._said(lambda: self._look(filled(values), _SHOWN, False))

    def look_for_others(self, *values: Any) -> tuple[Any, ...]:  # noqa: ANN401
        """Shows more of the ranking; ticks stay."""
        return self._said(lambda: self._look_for_others(filled(values)))

    def take(self, *values: Any) -> tuple[Any, ...]:  # noqa: ANN401
        """Takes an uploaded file, the last of what the form holds, among the assets."""
        return self._said(lambda: self._take(filled(values[:-1]), values[-1]))

    def make(self, *values: Any) -> tuple[Any, str]:  # noqa: ANN401
        """Queues what is asked for; the run's name, or why it is refused."""
        try:
            folder = self.queue.add(self._asked(filled(values)))
            self.queue.tick()
        except (ValueError, OSError) as error:
            return gr.skip(), alert(one_line(error))
        return folder.relative_to(self.queue.out).as_posix(), ""

    def show_preset(self, name: str, picture: str) -> list[Any]:
        """The preset's own sentence, and the picture where it takes one."""
        preset = self._preset(name)
        takes = preset.picture != "none"
        own = self.show_picture(picture) if takes else ""
        return [gr.Dropdown(info=preset.config.title), gr.update(visible=takes), own]

    def take_picture(self, file: str) -> tuple[Any, str]:
        """Takes an uploaded picture of the object; why it is refused."""
        try:
            return take_picture(Path(file), self.queue.uploads), ""
        except (ValueError, OSError) as error:
            return gr.skip(), alert(one_line(error))

    def show_picture(self, name: str) -> str:
        """The picture that was handed in."""
        return shown(name, self.queue.uploads)

    def fill(self, asked: Asked, assets: Sequence[Found] = ()) -> list[Any]:
        """The values of :attr:`Form.inputs` that ask for the same again.

        Args:
            asked: What was asked for.
            assets: The assets that were chosen then.
        """
        known = asked.preset in {each.config.name for each in self.choices}
        preset = self._preset(asked.preset if known else self.choices[0].config.name)
        settings = [asked.settings.get(e.key, _preset_value(preset, e.key)) for e in SETTINGS]
        listed = [{**each._asdict(), "ticked": True, "looked": None} for each in assets]
        formats = list(asked.formats) or ["glb"]
        name = preset.config.name
        return [
            "", asked.prompt, name, *settings, formats, asked.device, asked.yaml, listed,
            asked.picture,
        ]  # fmt: skip

    def _look_for_others(self, form: Filled) -> list[dict[str, Any]]:
        num = sum(each["origin"] != "own" for each in form.found)
        return self._look(form, num + _SHOWN, True)

    def _look(self, form: Filled, num: int, keeps: bool) -> list[dict[str, Any]]:
        asked = checked(self._asked(form._replace(found=[], ticks={})))
        preset = self._preset(asked.preset)
        found = self.looking.look(asked.prompt, preset.config, asked.yaml, num)
        taken = int(_setting(form, "data.num_assets") or 3)
        own = [each for each in form.found if each["origin"] == "own"]
        looked = _looked(form)
        listed = [
            {**each._asdict(), "ticked": place < taken, "looked": looked}
            for place, each in enumerate(found)
        ]
        if keeps:
            listed = [{**each, "ticked": form.ticks.get(each["uid"], False)} for each in listed]
        return [{**each, "ticked": form.ticks.get(each["uid"], True)} for each in own] + listed

    def _take(self, form: Filled, file: str) -> list[dict[str, Any]]:
        kept = keep_upload(Path(file), Path(file).name, self.queue.uploads)
        name = kept.relative_to(self.queue.uploads).as_posix()
        found = self.looking.look_at(name, self.queue.uploads, "your own file")
        others = [
            {**each, "ticked": form.ticks.get(each["uid"], False)}
            for each in form.found
            if each["uid"] != name
        ]
        mine = {**found._asdict(), "caption": kept.name, "ticked": True, "looked": None}
        return [mine, *others]

    def _said(self, work: Callable[[], list[dict[str, Any]]]) -> tuple[Any, ...]:
        try:
            found = work()
        except (ValueError, OSError) as error:
            return gr.skip(), alert(one_line(error)), gr.skip()
        return found, "", gr.Button(interactive=True)

    def _asked(self, form: Filled) -> Asked:
        preset = self._preset(form.preset)
        settings = {
            each.key: _whole(value, each.title)
            for each, value in zip(SETTINGS, form.settings, strict=True)
            # Gradio shows a number that a preset does not say as 0
            if value is not None and value != (_preset_value(preset, each.key) or 0)
        }
        own = [each["uid"] for each in form.found if each["origin"] == "own"]
        others = [each["uid"] for each in form.found if each["origin"] != "own"]
        mine = [uid for uid in own if form.ticks.get(uid)]
        chosen = [uid for uid in others if form.ticks.get(uid)]
        if form.found and not mine and not chosen:
            raise ValueError("no asset is ticked: tick one, or show what is retrieved again")
        taken = int(_setting(form, "data.num_assets") or 3)
        nearest = [each["uid"] for each in form.found if each["looked"] == _looked(form)]
        if not mine and chosen == nearest[:taken]:  # what a run takes by itself
            chosen = []
        formats = () if list(form.formats) == ["glb"] else tuple(form.formats)
        picture = form.picture if preset.picture != "none" else ""
        return Asked(
            form.prompt, form.preset, settings, form.yaml or "", chosen, mine, formats,
            form.device, picture,
        )  # fmt: skip

    def _numbers(self) -> str:
        """JavaScript: the settings of the preset that was chosen."""
        table = {
            each.config.name: [_preset_value(each, setting.key) for setting in SETTINGS]
            for each in self.choices
        }
        return f"name => ({json.dumps(table)})[name]"

    def _preset(self, name: str) -> Preset:
        preset = self.queue.presets.get(name)
        if preset is None:
            raise ValueError(f"there is no preset {str(name)[:40]!r}")
        return preset


_QUIET = {"api_visibility": "private", "show_progress": "minimal"}


def _looked(form: Filled) -> list[str]:
    """What assets are found for: others may be the nearest for anything else."""
    return [" ".join(form.prompt.split()), form.preset, form.yaml or ""]


def _paint_assets(listed: list[dict[str, Any]]) -> None:
    with gr.Row(elem_classes="rd-assets"):
        for place, each in enumerate(listed, 1):
            with gr.Column(min_width=150, elem_classes="rd-card"):
                gr.HTML(asset_card(_found(each), place), apply_default_css=False)
                gr.Checkbox(each["ticked"], label="use it", container=False, interactive=True)


def _found(listed: dict[str, Any]) -> Found:
    return Found(**{name: listed[name] for name in Found._fields})


def _called(preset: Preset) -> str:
    return preset.config.name.removeprefix("methods/").replace("_", " ")


def _preset_value(preset: Preset, key: str) -> int | None:
    """A preset's own value, where it is one whole number; the seed is 0 unless it says another."""
    value = value_at(preset.config.values, key)
    if key == "seed_everything" and value is None:
        return 0
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _setting(form: Filled, key: str) -> float | None:
    return next(v for each, v in zip(SETTINGS, form.settings, strict=True) if each.key == key)


def _whole(value: float, title: str) -> int:
    if not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{title} must be a whole number")
    return int(value)
