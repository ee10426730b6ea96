"""The ``data`` of a run's config, made without the run: for tools that only look at assets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch import LightningModule

from redream.data import RetrievalDataModule
from redream.plain_data import read_yaml
from redream.tools.parser import Parser, prepare_parser
from redream.tools.typed_commands import add_command_option


def data_of(configs: Sequence[Path], prompt: str, typed: Sequence[str] = ()) -> RetrievalDataModule:
    """Makes the data of configs laid one over the other, with the command line's safety.

    Args:
        configs: YAML files such as ``configs/default.yaml``, of which only ``data`` is read.
        prompt: What is looked for.
        typed: Words of the command line that let a generator's command run.

    Returns:
        The data; nothing is retrieved yet.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has no data, or wrong ones; one line.
    """
    trees = [_data_in(config) for config in configs]
    if not any(trees):
        raise ValueError(f"{configs[0]} has no `data`, which says where assets come from")
    prepare_parser({"trainer": Trainer, "model": LightningModule, "data": RetrievalDataModule})
    parser = Parser(prog="redream retrieve")
    parser.command = parser.prog
    add_command_option(parser)
    parser.add_lightning_class_args(RetrievalDataModule, "data")
    parsed = None
    for tree in trees:
        parsed = parser.parse_object({"data": {**tree, "prompt": prompt}}, parsed)
    parser.typed = list(typed)
    assert parsed is not None  # there is a config with data
    made: RetrievalDataModule = parser.instantiate(parsed).data
    return made


def _data_in(config: Path) -> dict[str, Any]:
    """The ``data`` of a file; empty where it says nothing of them."""
    if not config.is_file():
        raise FileNotFoundError(f"there is no config at {config}")
    tree = read_yaml(config)
    data = tree.get("data") if isinstance(tree, dict) else None
    return data if isinstance(data, dict) else {}
