"""``--export.formats`` and its like: the Export callback's arguments by a name of their own.

Callbacks are a list, and an option of the command line cannot say which of the list it means.
"""

from argparse import SUPPRESS

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from redream.callbacks import Export

_CLASS_PATH = "redream.callbacks.Export"


def add_export_options(parser: LightningArgumentParser) -> None:
    """Adds an option ``--export.NAME`` for each argument of the Export callback.

    An option that is not given is absent from the parsed config, so that the callback's own value
    holds.
    """
    names = parser.add_class_arguments(Export, "export", instantiate=False)
    parser.set_defaults({name: SUPPRESS for name in names})


def hand_to_export(config: Namespace) -> None:
    """Moves the given options to the config's Export callback, adding one where there is none."""
    given = config.pop("export", None)
    if not given:
        return
    callbacks = config.trainer.callbacks or []
    for callback in callbacks:
        if callback.class_path.split(".")[-1] == "Export":
            callback.init_args.update(given)
            return
    added = Namespace(class_path=_CLASS_PATH, init_args=given)  # type: ignore[no-untyped-call]
    config.trainer.callbacks = [*callbacks, added]
