"""A run's ``config.yaml``: whole or absent, and true from wherever it is read again."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from redream.files import whole_file


class WholeConfig(SaveConfigCallback):
    """Saves the config of a training, or of another verb where there is none yet.

    Relative names of files are saved as absolute ones, so that ``redream predict`` finds them from
    every directory.
    """

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Writes the file; a link of its name is replaced, not followed."""
        path = Path(trainer.default_root_dir, "config.yaml")
        if stage != "fit" and path.exists():
            return
        text = self.parser.dump(with_absolute_names(self.config), skip_none=False)
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def with_absolute_names(value: Any) -> Any:  # noqa: ANN401
    """A copy in which the relative names of what is there are absolute.

    A text counts as a name where it has a separator or an ending of a file, and something of that
    name is there.
    """
    if isinstance(value, Namespace):
        return type(value)(**{key: with_absolute_names(each) for key, each in vars(value).items()})
    if isinstance(value, dict):
        return {key: with_absolute_names(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(with_absolute_names(each) for each in value)
    if type(value) is str and _names_a_file(value):
        return os.path.abspath(value)
    if isinstance(value, Path) and not value.is_absolute() and value.exists():
        return value.absolute()
    return value


def _names_a_file(text: str) -> bool:
    if len(text) > 1024 or "\n" in text or "\0" in text or os.path.isabs(text):
        return False
    return (os.sep in text or bool(os.path.splitext(text)[1])) and os.path.exists(text)
