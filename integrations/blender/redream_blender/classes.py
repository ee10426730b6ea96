"""Makes Blender know the classes, and forget them."""

import bpy

from . import settings, watching
from .operators import OPERATORS
from .panel import RedreamPanel
from .settings import RedreamPreferences, RedreamSettings

_CLASSES = (RedreamPreferences, RedreamSettings, *OPERATORS, RedreamPanel)


def register() -> None:
    """Registers all; the settings become those of every scene."""
    for each in _CLASSES:
        bpy.utils.register_class(each)
    bpy.types.Scene.redream = bpy.props.PointerProperty(type=RedreamSettings)


def unregister() -> None:
    """Stops a run that is at work at a checkpoint, and unregisters all."""
    watching.leave()
    settings.ask_no_more()
    del bpy.types.Scene.redream
    for each in reversed(_CLASSES):
        bpy.utils.unregister_class(each)
