"""``redream fit | validate | test | predict``: LightningCLI on ReDream's module and data."""

import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from redream.plugins import Component, describe_broken, list_components
from redream.representations.checkpoint import config_of
from redream.tools.embedded import resolve
from redream.tools.export_options import add_export_options, hand_to_export
from redream.tools.output import require_writable
from redream.tools.parser_errors import explain, what_the_class_said
from redream.tools.vocabulary import gather

IMPORTABLE = ("redream", "lightning.pytorch", "torch.optim")
"""What a config may import, besides plugins: a config from a stranger is data, not code."""


class Parser(LightningArgumentParser):
    """LightningCLI's parser with errors of one line and the names of the embedded world."""

    components: Sequence[Component] = ()
    """What is installed: the names that a config may use."""

    core: dict[str, type] = {}
    """The classes behind the top-level keys ``trainer``, ``model`` and ``data``."""

    command = "redream fit"
    """What is called, to point to its help."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises a ValueError that says in one line what is wrong and what would be right."""
        if not self.exit_on_error:  # a parser inside a parser: the outer one reports
            super().error(message, ex)
        explained = explain(message, gather(self.core, self.components), self.command)
        raise ValueError(explained) from ex

    def instantiate(self, namespace: Namespace, *args: Any, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """Instantiates the classes, ``embedded:`` names replaced; the saved config keeps them."""
        resolved = resolve(namespace)
        try:
            instances: Namespace = super().instantiate(resolved, *args, **kwargs)
        except ValueError as error:
            raise ValueError(what_the_class_said(str(error))) from error
        return instances

    def instantiate_classes(self, cfg: Namespace, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """The name by which Lightning still calls ``instantiate``."""
        return self.instantiate(cfg, **kwargs)


class ReDreamCLI(LightningCLI):
    """LightningCLI with the top-level keys ``prompt``, for the data, and ``export``."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds ``--prompt``, in YAML the line ``prompt: ...``, and the options of the export."""
        parser.add_argument("--prompt", type=str, default="", help="What to make, in a few words.")
        parser.link_arguments("prompt", "data.prompt")
        add_export_options(parser)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ANN401
        """Parses the arguments; they are the command line, so Lightning need not warn of them."""
        self.config = parser.parse_args(args)

    def before_instantiate_classes(self) -> None:
        """Finds out before the heavy work whether there is a prompt and room for the output."""
        config = self.config if self.subcommand is None else self.config[self.subcommand]
        if not config.prompt.strip():
            raise ValueError('the prompt is empty; give one, as in --prompt "a striped dog"')
        require_writable(Path(config.trainer.default_root_dir or "."))
        hand_to_export(config)


def main(verb: str, arguments: Sequence[str]) -> None:
    """Runs one of Lightning's four verbs.

    Args:
        verb: ``fit``, ``validate``, ``test`` or ``predict``.
        arguments: The command line after the verb.

    Raises:
        ValueError: If the command line or config is wrong; one line.
    """
    from redream.data import RetrievalDataModule
    from redream.module import ReDream

    run(ReDream, RetrievalDataModule, [verb, *_with_own_config(verb, arguments)])


def _with_own_config(verb: str, arguments: Sequence[str]) -> list[str]:
    """A checkpoint brings the config of its run, unless another is given."""
    given = dict(zip(arguments, arguments[1:], strict=False))  # options written apart
    given |= dict(each.split("=", 1) for each in arguments if "=" in each)
    if verb == "fit" or {"--config", "-c"} & given.keys() or "--ckpt_path" not in given:
        return list(arguments)
    config = config_of(Path(given["--ckpt_path"]))
    return list(arguments) if config is None else [f"--config={config}", *arguments]


def configured(config: str | Path, *arguments: str) -> ReDreamCLI:
    """Makes what a configuration describes, without running it: the road from Python.

    Args:
        config: A YAML file such as ``configs/default.yaml``.
        *arguments: More options, as on the command line: ``"--prompt=a golden vase"``.

    Returns:
        A command with its ``trainer``, ``model`` and ``datamodule``; generate with
        ``made.trainer.fit(made.model, made.datamodule)``.

    Raises:
        ValueError: If the configuration is wrong; one line.
    """
    from redream.data import RetrievalDataModule
    from redream.module import ReDream

    return run(ReDream, RetrievalDataModule, [f"--config={config}", *arguments], verb=False)


def run(
    module: type[LightningModule],
    data: type[LightningDataModule],
    arguments: Sequence[str],
    verb: bool = True,
) -> ReDreamCLI:
    """Loads the plugins, then parses the arguments and runs the verb.

    Args:
        module: The LightningModule behind the key ``model``.
        data: The LightningDataModule behind the key ``data``.
        arguments: The verb and its options.
        verb: Whether there is a verb to run; without one everything is made and nothing runs.

    Returns:
        The finished command, with its ``trainer``, ``model`` and ``datamodule``.

    Raises:
        ValueError: If something is wrong that the user can mend, a GPU that is too small included.
    """
    prepare_parser({"trainer": Trainer, "model": module, "data": data})
    try:
        return ReDreamCLI(
            module,
            data,
            parser_class=Parser,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            save_config_kwargs={"overwrite": True},
            args=list(arguments),
            run=verb,
        )
    except torch.OutOfMemoryError as error:
        raise ValueError(
            "the GPU has too little memory: set --model.variational_prior null (zeta shares the "
            "prior's network), --model.prior.init_args.dtype bfloat16, or a smaller "
            "--model.render_size"
        ) from error


def prepare_parser(core: dict[str, type]) -> None:
    """Loads the plugins and lets :class:`Parser` import them, and nothing that is a stranger's.

    Args:
        core: The classes behind the parser's top-level keys.
    """
    _quiet_lightning()
    Parser.components, Parser.core = list_components(), core
    for component in Parser.components:
        if component.reason is not None:
            print(f"redream: warning: {describe_broken(component)}", file=sys.stderr)
    plugins = [component.value.partition(":")[0].split(".")[0] for component in Parser.components]
    modules = [each.__module__ for key, each in core.items() if key != "trainer"]
    set_parsing_settings(
        import_path_denylist=["*"],
        import_path_allowlist=[*IMPORTABLE, *plugins, *modules],
    )


def _quiet_lightning() -> None:
    """Keeps from the user what only Lightning's developers can act on, and its greetings."""
    for logger in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
    warnings.filterwarnings("ignore", r"The '.*_dataloader' does not have many workers")
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")  # the frozen prior
    warnings.filterwarnings("ignore", r"The dirpath has changed from")  # an export elsewhere
    warnings.filterwarnings("ignore", r"predict returned None")  # callbacks export instead
