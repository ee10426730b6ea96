"""ReDream in Blender: a panel that makes an object of a prompt, by the ``redream`` command.

The command has an environment of its own; Blender's Python gets no package. Modules that need no
Blender are loaded without it, so that they can be tested anywhere.
"""


def register() -> None:
    """Adds the panel, once the version of Blender is known to do.

    Raises:
        RuntimeError: If Blender is too old; one line.
    """
    import bpy

    from .versions import refusal

    refused = refusal(bpy.app.version)
    if refused:
        raise RuntimeError(refused)
    from . import classes

    classes.register()


def unregister() -> None:
    """Removes the panel; a run that is at work is stopped at a checkpoint."""
    from . import classes

    classes.unregister()
