"""The pages that the package writes itself: its rooms' API, and the help of its command line."""

import contextlib
import importlib
import io
import os
import pkgutil
import sys
from pathlib import Path
from unittest import mock

import redream
from redream import cli

# Not for import: the program's entrance, its verbs, and the embedded world, which is files.
NO_API = {"__main__", "cli", "mini"}

WITHIN = {"priors": ("prompting",), "testing": ("priors",), "tools": ("lightning", "notebook")}
"""Parts of rooms that have a name of their own in code that uses ReDream."""

SUBVERBS = {"index": ("build", "import", "info", "verify")}
"""Verbs of verbs, with a help of their own."""


def rooms() -> list[str]:
    """The modules and packages of ReDream that others import from."""
    names = [module.name for module in pkgutil.iter_modules(redream.__path__)]
    return sorted(name for name in names if name not in NO_API)


def write_api(folder: Path) -> None:
    """Writes a page for each room: what it exports, from the docstrings.

    Pages of rooms that are gone are removed, so that the folder is that of a fresh checkout.
    """
    folder.mkdir(exist_ok=True)
    pages = {f"{name}.md": api_page(name) for name in rooms()}
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        write_changed(folder / name, text)


def api_page(room: str) -> str:
    """The page of a room; a package's page has what its ``__init__`` exports."""
    parts = [f"# redream.{room}", automodule(room)]
    for part in WITHIN.get(room, ()):
        parts += [f"## redream.{room}.{part}", automodule(f"{room}.{part}")]
    return "\n\n".join(parts) + "\n"


def automodule(name: str) -> str:
    """What has Sphinx describe a module, or what a package exports."""
    exports = hasattr(importlib.import_module(f"redream.{name}"), "__all__")
    imported = "   :imported-members:\n" if exports else ""
    return (
        f"```{{eval-rst}}\n.. automodule:: redream.{name}\n"
        f"   :members:\n{imported}   :show-inheritance:\n```"
    )


def write_command_line(path: Path) -> None:
    """Writes the page of the command line: each verb's ``--help``, as a user sees it."""
    parts = [
        "# The command line",
        "What `redream --help` and the help of each verb say. `validate`, `test` and `predict` "
        "take the options of `fit`, and `--ckpt_path` to say what they look at.",
        block(cli.usage()),
    ]
    for verb, entry in cli.VERBS.items():
        parts += [f"## {verb}", f"{entry.help[0].upper()}{entry.help[1:]}."]
        if entry.module != cli.VERBS["fit"].module or verb == "fit":
            parts.append(block(help_of(verb)))
        for subverb in SUBVERBS.get(verb, ()):
            parts += [f"### {verb} {subverb}", block(help_of(verb, subverb))]
    write_changed(path, "\n\n".join(parts) + "\n")


def help_of(*verbs: str) -> str:
    """What a command prints for ``--help``, at a page's width."""
    printed = io.StringIO()
    command = mock.patch.object(sys, "argv", ["redream", *verbs, "--help"])
    width = mock.patch.dict(os.environ, {"COLUMNS": "100"})
    with command, width, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        cli.main()
    text = printed.getvalue().strip()
    if not text:
        raise RuntimeError(f"`redream {' '.join(verbs)} --help` printed nothing")
    return text.replace(str(Path.home()), "~")


def block(text: str) -> str:
    """Text as it is, in a fence longer than any within."""
    return f"`````text\n{text}\n`````"


def write_changed(path: Path, text: str) -> None:
    """Writes a page unless it is there already: what has not changed is not built again."""
    if path.is_file() and path.read_text("utf-8") == text:
        return
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
