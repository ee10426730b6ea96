"""The panel in the sidebar of the 3D view (N), tab ReDream."""

import textwrap
from typing import Any

import bpy

from . import settings, watching
from .finding import Missing

_LETTER = 7.0  # pixels of a letter at a scale of 1


class RedreamPanel(bpy.types.Panel):
    """Prompt, preset, make; how far it is; what became of it."""

    bl_idname, bl_label = "VIEW3D_PT_redream", "ReDream"
    bl_space_type, bl_region_type, bl_category = "VIEW_3D", "UI", "ReDream"

    def draw(self, context: Any) -> None:  # noqa: ANN401
        """Draws it."""
        layout, chosen = self.layout, settings.settings(context)
        try:
            places = settings.places()
        except Missing as error:
            _lines(layout, context, str(error), "ERROR")
            shown = layout.operator(
                "preferences.addon_show", text="Preferences", icon="PREFERENCES"
            )
            shown.module = __package__
            return
        job = watching.current()
        column = layout.column()
        column.enabled = job is None
        column.prop(chosen, "prompt", text="")
        column.prop(chosen, "preset", text="")
        preset = places.presets.get(chosen.preset)
        if preset is not None:
            _lines(column, context, preset.about, "NONE")
        if places.lacking:
            _lines(column, context, f"{len(places.lacking)} others need what is not here", "INFO")
        _selection(column, chosen)
        column.prop(chosen, "num_objects")
        if not chosen.uses_selection:
            column.prop(chosen, "size")
        column.prop(chosen, "options")
        if job is None:
            layout.operator("redream.make", icon="SHADERFX")
        else:
            _progress(layout, job.progress)
            row = layout.row(align=True)
            row.operator("redream.stop", icon="PAUSE")
            row.operator("redream.cancel", icon="X")
        text, is_error = watching.said()
        _lines(layout, context, text, "ERROR" if is_error else "INFO")
        if job is None:
            _last_run(layout, context)


def _selection(layout: Any, chosen: Any) -> None:  # noqa: ANN401
    layout.prop(chosen, "uses_selection")
    if chosen.uses_selection:
        box = layout.box()
        for name in ("shows", "faces_front", "keeps_shape"):
            box.prop(chosen, name)


def _progress(layout: Any, progress: Any) -> None:  # noqa: ANN401
    steps = f" {progress.step}/{progress.total}" if progress.total else ""
    layout.progress(factor=progress.share, text=f"{progress.stage}{steps}")
    if progress.left:
        layout.label(text=f"{progress.left} left")


def _last_run(layout: Any, context: Any) -> None:  # noqa: ANN401
    """Buttons for what the last run left, those alone that do something."""
    for name in ("go_on", "take", "fetch", "report"):
        operator = getattr(bpy.ops.redream, name)
        if operator.poll():
            layout.operator(f"redream.{name}")


def _lines(layout: Any, context: Any, text: str, icon: str) -> None:  # noqa: ANN401
    """A text in as many labels as it needs, which do not break lines by themselves."""
    letter = (context.preferences.system.ui_scale or 1.0) * _LETTER  # 0 without a screen
    width = max(int((context.region.width if context.region else 240) / letter), 20)
    column = layout.column(align=True)
    for number, line in enumerate(textwrap.wrap(text, width, break_on_hyphens=False)):
        column.label(text=line, icon=icon if number == 0 else "NONE")
