"""The parser of a run's configuration: what it may import, and errors of one line."""

import logging
import sys
import warnings
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NoReturn

from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser

from redream.plugins import Component, describe_broken, list_components
from redream.tools.classes_only import expected_bases, require_classes
from redream.tools.config_loader import bound_configs
from redream.tools.embedded import resolve
from redream.tools.parser_errors import explain, what_the_class_said
from redream.tools.typed_commands import withhold_commands
from redream.tools.vocabulary import gather

IMPORTABLE = (
    "redream",
    *(
        f"lightning.pytorch.{each}"
        for each in ("accelerators", "callbacks", "loggers", "plugins", "profilers", "strategies")
    ),
    "torch.optim",
)
"""What a config may import, besides plugins: a config from a stranger is data, not code."""
NOT_IMPORTABLE = (
    "*",
    *(f"redream.{each}" for each in ("__main__", "cli", "mini", "plugins", "testing", "tools")),
)
"""What it may not, though its package is above: commands and programs are no part of a run."""


class Parser(LightningArgumentParser):
    """LightningCLI's parser with errors of one line and the names of the embedded world."""

    components: Sequence[Component] = ()
    """What is installed: the names that a config may use."""

    core: dict[str, type] = {}
    """The classes behind the top-level keys ``trainer``, ``model`` and ``data``."""

    kinds: Collection[type] = ()
    """The classes that a config may make, and what descends from them; found when first needed."""

    command = "redream fit"
    """What is called, to point to its help."""

    is_making = False
    """Whether a parser is making objects: those of what is inside are made within."""

    typed: Sequence[str] = ()
    """The command line, from the moment that it is parsed."""

    def parse_args(  # type: ignore[override]  # jsonargparse's is not argparse's either
        self,
        args: Iterable[str] | None = None,
        namespace: Any = None,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Parses a command line, and remembers it: some things are taken from there alone."""
        self.typed = list(sys.argv[1:] if args is None else args)
        return super().parse_args(list(self.typed), namespace, **named)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises a ValueError that says in one line what is wrong and what would be right."""
        if not self.exit_on_error:  # a parser inside a parser: the outer one reports
            super().error(message, ex)
        explained = explain(message, gather(self.core, self.components), self.command)
        raise ValueError(explained) from ex

    def require_classes(self, namespace: Namespace) -> None:
        """Refuses what was parsed where it names anything that is no class of a run.

        Raises:
            ValueError: If it does; one line.
        """
        if not Parser.kinds:
            Parser.kinds = expected_bases(self.core.values(), self.components)
        require_classes(namespace, Parser.kinds)

    def instantiate(self, namespace: Namespace, *args: Any, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """Instantiates the classes, ``embedded:`` names replaced; the saved config keeps them."""
        self.require_classes(namespace)
        resolved = resolve(namespace)  # a copy: the saved config keeps what was written
        if not Parser.is_making:  # the parsers of what is inside have no command line of their own
            withhold_commands(resolved, self.typed)
        is_inside, Parser.is_making = Parser.is_making, True
        try:
            instances: Namespace = super().instantiate(resolved, *args, **kwargs)
        except ValueError as error:
            raise ValueError(what_the_class_said(str(error))) from error
        finally:
            Parser.is_making = is_inside
        return instances

    def instantiate_classes(self, cfg: Namespace, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """The name by which Lightning still calls ``instantiate``."""
        return self.instantiate(cfg, **kwargs)


def prepare_parser(core: dict[str, type]) -> None:
    """Loads the plugins and lets :class:`Parser` import them, and nothing that is a stranger's.

    Args:
        core: The classes behind the parser's top-level keys.
    """
    _quiet_lightning()
    known, Parser.components, Parser.core = Parser.components, list_components(), core
    Parser.kinds = ()
    for component in Parser.components:
        if component.reason is not None and component not in known:
            print(f"redream: warning: {describe_broken(component)}", file=sys.stderr)
    bound_configs()
    usable = [each for each in Parser.components if each.reason is None]
    plugins = [each.value.partition(":")[0] for each in usable]
    plugins += [each.split(".")[0] for each in plugins]
    modules = [each.__module__ for key, each in core.items() if key != "trainer"]
    set_parsing_settings(
        import_path_denylist=[*NOT_IMPORTABLE],
        import_path_allowlist=[*IMPORTABLE, *plugins, *modules],
    )


def _quiet_lightning() -> None:
    """Keeps from the user what only Lightning's developers can act on, and its greetings."""
    for logger in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
    warnings.filterwarnings("ignore", r"The '.*_dataloader' does not have many workers")
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")  # the frozen prior
    warnings.filterwarnings("ignore", r".*there is no last checkpoint available")  # we say it
    # random numbers are keyed by the step: a run goes on as if it had not stopped
    warnings.filterwarnings("ignore", r"You're resuming from a checkpoint that ended before")
    warnings.filterwarnings("ignore", r"The dirpath has changed from")  # an export elsewhere
    warnings.filterwarnings("ignore", r"predict returned None")  # callbacks export instead
