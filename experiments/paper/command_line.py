"""The options that every figure's command has."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.paper.kept import NOTHING, kept_objects
from experiments.paper.world import World, read_prompts
from redream.errors import first_line


def figure_parser(description: str | None, quick: str) -> argparse.ArgumentParser:
    """A parser with ``--out`` and ``--quick``.

    Args:
        description: The script's docstring.
        quick: What ``--quick`` takes.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and records")
    parser.add_argument("--quick", action="store_true", help=f"{quick}: indicative")
    return parser


def in_one_line(main: Callable[[], int]) -> int:
    """Runs a command; what its user can mend is told in a line.

    Args:
        main: The command.

    Returns:
        Its exit status, 2 where it was refused.
    """
    try:
        return main()
    except (ValueError, OSError) as error:
        print(first_line(error), file=sys.stderr)
        return 2


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Adds what commands that make objects have."""
    parser.add_argument("--processes", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--report", action="store_true", help="only write what is there")


def add_kept_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--kept``, for commands that need no more of an object than its numbers."""
    parser.add_argument(
        "--kept",
        type=kept_objects,
        default=NOTHING,
        metavar="FOLDER",
        help="of records, such as docs/images/results: objects that they hold are not made again",
    )


def fronted_prompts(world: World, num: int | None = None) -> Sequence[str]:
    """The first test prompts whose object has a front; all of them without a number."""
    return [each for each in read_prompts(world.prompts) if world.has_front(each)][:num]
