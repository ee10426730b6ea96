"""What the user sets: in the scene what to make, in the preferences where things are."""

import os
import time
import zlib
from pathlib import Path
from typing import Any

import bpy

from .finding import Home, Missing, find_home
from .lacking import Lacking
from .presets import DEFAULT, Preset, read_presets

_LOOKED_FOR = 5.0  # seconds that an answer holds: a panel is drawn many times a second
_answers: dict[tuple[str, str], tuple[float, "Places | Missing"]] = {}
_asked: dict[Home, Lacking] = {}  # once a session: what a computer has does not change often
_shown: list[tuple[str, str, str, str, int]] = []  # Blender needs the texts to live on


class Places:
    """Where ReDream is, its presets by their names, and what the others lack."""

    def __init__(self, home: Home) -> None:
        self.home = home
        if home not in _asked:
            _asked[home] = Lacking(home.command, home.configs.parent, os.environ)
        self._all = read_presets(home.configs)

    @property
    def lacking(self) -> dict[str, str]:
        """What the presets lack that this computer cannot run, as far as it is known."""
        return _asked[self.home].now()

    @property
    def presets(self) -> dict[str, Preset]:
        """Those that it can run; the default is always among them."""
        lacking = self.lacking
        return {e.name: e for e in self._all if e.name not in lacking or e.name == DEFAULT}


def ask_no_more() -> None:
    """Ends what was asked and has not been answered."""
    for each in _asked.values():
        each.end()
    _asked.clear()
    _answers.clear()


class RedreamPreferences(bpy.types.AddonPreferences):
    """Where ``redream`` lives, and where its runs go."""

    bl_idname = __package__

    program: bpy.props.StringProperty(
        name="ReDream",
        description="The program redream, the folder of its environment, or the checkout that has "
        "its environment in .venv. Empty: it is looked for",
        subtype="FILE_PATH",
    )
    configs: bpy.props.StringProperty(
        name="Presets",
        description="ReDream's folder configs. Empty: that of the checkout",
        subtype="DIR_PATH",
    )
    runs: bpy.props.StringProperty(
        name="Runs",
        description="Where runs are kept, each in a folder of its own",
        subtype="DIR_PATH",
        default=str(Path("~", "ReDream")),
    )

    def draw(self, context: Any) -> None:  # noqa: ANN401
        """Draws the three, and whether they do."""
        layout = self.layout
        for name in ("program", "configs", "runs"):
            layout.prop(self, name)
        try:
            layout.label(text=f"Found: {' '.join(places().home.command)}", icon="CHECKMARK")
        except Missing as error:
            layout.label(text=str(error), icon="ERROR")


def _preset_items(scene: Any, context: Any) -> list[tuple[str, str, str, str, int]]:  # noqa: ANN401
    try:
        presets = list(places().presets.values())
    except Missing:
        presets = []
    items = [(each.name, each.label, each.about, "", _number(each.name)) for each in presets]
    _shown[:] = items or [(DEFAULT, "none found", "", "", 0)]
    return _shown


def _number(name: str) -> int:
    """What a scene keeps of its choice: the name's own number, so that a new file changes none.

    A scene that has not chosen has 0, which is the default preset's.
    """
    return 0 if name == DEFAULT else (zlib.crc32(name.encode()) >> 1) | 1


class RedreamSettings(bpy.types.PropertyGroup):
    """What to make."""

    prompt: bpy.props.StringProperty(
        name="Prompt", description="What to make, in words", default="a golden elephant"
    )
    preset: bpy.props.EnumProperty(
        name="Preset", description="By which configuration", items=_preset_items
    )
    num_objects: bpy.props.IntProperty(
        name="Objects", description="How many; each takes its time", default=1, min=1, max=16
    )
    size: bpy.props.FloatProperty(
        name="Size",
        description="Longest side",
        default=1.0,
        min=1e-3,
        subtype="DISTANCE",
    )
    uses_selection: bpy.props.BoolProperty(
        name="Use the selection as the asset",
        description="Start from the selected objects instead of retrieved ones",
    )
    shows: bpy.props.StringProperty(
        name="Shows",
        description='What the selection shows as it is, such as "a clay dog"; empty: the prompt',
    )
    faces_front: bpy.props.BoolProperty(
        name="Faces front",
        description="The selection faces the front view (-Y). Else its front is looked for",
        default=True,
    )
    keeps_shape: bpy.props.BoolProperty(
        name="Keep its shape",
        description="Paint the selection's own surface: it keeps its texture coordinates and the "
        "names of its materials, where they can hold a texture. Else it is where the object starts",
    )
    options: bpy.props.StringProperty(
        name="Options",
        description="More options of redream fit, such as --trainer.max_steps 200",
    )
    folder: bpy.props.StringProperty(name="Last run", subtype="DIR_PATH")


def settings(context: Any) -> Any:  # noqa: ANN401
    """The scene's settings."""
    return context.scene.redream


def preferences() -> Any:  # noqa: ANN401
    """The add-on's preferences."""
    return bpy.context.preferences.addons[__package__].preferences


def runs_folder() -> Path:
    """Where runs are kept."""
    return Path(bpy.path.abspath(preferences().runs)).expanduser().absolute()


def places() -> Places:
    """Where ReDream is, looked for anew every few seconds.

    Raises:
        Missing: If it is not found; one line.
    """
    chosen = preferences()
    key = (bpy.path.abspath(chosen.program), bpy.path.abspath(chosen.configs))
    when, answer = _answers.get(key, (-_LOOKED_FOR, Missing("")))
    if time.monotonic() - when >= _LOOKED_FOR:
        try:
            answer = Places(find_home(*key, os.environ))
        except Missing as error:
            answer = error
        _answers.clear()
        _answers[key] = (time.monotonic(), answer)
    if isinstance(answer, Missing):
        raise answer
    return answer
