"""``redream study make | serve | analyse``: which of two methods people prefer (Table 2)."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from redream.tools.arguments import ToolParser


def main(verb: str, arguments: Sequence[str]) -> None:
    """Makes a study's page, collects answers, or says what they say.

    Args:
        verb: ``study``.
        arguments: The command line after the verb.

    Raises:
        ValueError: If runs, the study or answers are wrong.
    """
    options = _parser(verb).parse_args(arguments)
    if options.action == "make":
        from redream.tools.study_make import find_objects, make_study

        methods = dict(_named(text) for text in options.runs)
        objects = {name: find_objects(folder) for name, folder in methods.items()}
        num = make_study(objects, options.out, options.question, options.repeats, options.seed)
        print(f"{num} pairs: open {options.out / 'page' / 'index.html'}, or")
        print(f"redream study serve {options.out}")
    elif options.action == "serve":
        from redream.tools.study_serve import serve

        serve(options.study, options.host, options.port)
    else:
        from redream.tools.study_analyse import analyse, as_markdown

        found = analyse(options.study, options.answers or [options.study / "answers.csv"])
        print(json.dumps(asdict(found), indent=2) if options.json else as_markdown(found))


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or not name or not folder:
        raise ValueError(f"say METHOD=FOLDER, as in ReDream=runs/redream, got {text!r}")
    return name, Path(folder)


def _parser(verb: str) -> ToolParser:
    parser = ToolParser(
        prog=f"redream {verb}", description="Ask people which of two methods they prefer."
    )
    actions = parser.add_subparsers(dest="action", metavar="make|serve|analyse", required=True)
    make: argparse.ArgumentParser = actions.add_parser(
        "make", help="write a blind page from runs of the same prompts"
    )
    make.add_argument("runs", metavar="METHOD=FOLDER", nargs="+", help="a method and its runs")
    make.add_argument("--out", metavar="DIR", type=Path, required=True, help="the study's folder")
    make.add_argument(
        "--question",
        default="Which object do you prefer, given the text?",
        help="default: %(default)s",
    )
    make.add_argument(
        "--repeats", type=int, default=4, help="pairs asked again, swapped; default: %(default)s"
    )
    make.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    serve = actions.add_parser("serve", help="show the page and write answers.csv")
    serve.add_argument("study", metavar="DIR", type=Path, help="the study's folder")
    serve.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    serve.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    analyse = actions.add_parser("analyse", help="preferences, with intervals")
    analyse.add_argument("study", metavar="DIR", type=Path, help="the study's folder")
    analyse.add_argument(
        "answers", metavar="CSV", type=Path, nargs="*", help="default: DIR/answers.csv"
    )
    analyse.add_argument("--json", action="store_true", help="print JSON")
    return parser
