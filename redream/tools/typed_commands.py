"""A program runs because its user typed it, and never because a configuration names it.

:class:`~redream.sources.Command` runs a command line. A configuration may come from a stranger, so
what was parsed is walked before anything is made of it: every ``command`` of such a class that was
not itself an argument of this command line is made to give only what it has made before.
"""

import re
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from inspect import isclass
from typing import Any

from jsonargparse import ArgumentParser

from redream.sources import Command
from redream.tools.classes_only import already_imported

_OPTION = re.compile(r"--(?:[\w-]+\.)*command")
_CONFIRMING = re.compile("--command")


def add_command_option(parser: ArgumentParser) -> None:
    """Adds ``--command``, by which a config's generator may run its program."""
    parser.add_argument(
        "--command",
        type=str | None,
        default=None,
        help="The command of a generator in the config, typed again so that it may run.",
    )


def typed_commands(arguments: Sequence[str], option: re.Pattern[str] = _OPTION) -> set[str]:
    """The values of options that are called ``command``, such as ``--data...command LINE``."""
    apart = {
        value
        for name, value in zip(arguments, arguments[1:], strict=False)
        if option.fullmatch(name)
    }
    joined = (each.partition("=") for each in arguments)
    return apart | {value for name, sign, value in joined if sign and option.fullmatch(name)}


def withhold_commands(config: Any, arguments: Sequence[str]) -> None:  # noqa: ANN401
    """Lets no command run that stands in what was parsed and was not typed.

    Args:
        config: What was parsed; changed where it stands.
        arguments: The command line.

    Raises:
        ValueError: If a class that runs commands cannot be kept from it.
    """
    typed, found_commands = typed_commands(arguments), set[str]()
    for where, spec in _specs(config, ""):
        found = already_imported(str(spec.get("class_path")))
        if not (isclass(found) and issubclass(found, Command)):
            continue
        given = [part for part in (spec.get("init_args"), spec.get("dict_kwargs")) if part]
        commands = [_plain(part)["command"] for part in given if "command" in _plain(part)]
        if not commands:  # a plugin's own
            continue
        found_commands |= set(map(str, commands))
        may_run = all(command in typed for command in commands)
        init_args = spec.get("init_args")
        if may_run:
            continue
        if not isinstance(init_args, Namespace | dict) or len(given) > 1:
            raise ValueError(f"{where}: its command must be given on the command line")
        _plain(init_args)["may_run"] = False
    if unknown := typed_commands(arguments, _CONFIRMING) - found_commands:
        raise ValueError(
            f"--command {unknown.pop()!r} confirms nothing: no generator of this configuration has "
            "that command; it stands in a config and is typed again here (docs/library.md)"
        )


def _plain(values: Any) -> dict[str, Any]:  # noqa: ANN401
    """A namespace as the dictionary behind it."""
    plain: dict[str, Any] = vars(values) if isinstance(values, Namespace) else values
    return plain


def _specs(value: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401
    """Everything in a value that names a class, at any depth."""
    waiting: list[tuple[str, Any]] = [(where, value)]
    seen = set[int]()
    while waiting:
        place, each = waiting.pop()
        if not isinstance(each, Namespace | dict | list | tuple) or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, list | tuple):
            inside: Iterable[tuple[Any, Any]] = enumerate(each)
        else:
            plain = _plain(each)
            if "class_path" in plain:
                yield place, plain
            inside = plain.items()
        waiting += [(f"{place}.{key}" if place else str(key), part) for key, part in inside]
