"""The record of a table or figure: what was found and how, as JSON; a page is its rendering."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.page import put
from experiments.paper.provenance import command, commit
from redream.files import whole_file

INDICATIVE = "**Indicative: from `--quick`, too little to conclude from.**"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table; its cells are shown as they are."""

    head: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """The table in Markdown."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class Picture:
    """A PNG beside the record, and what it shows."""

    file: str
    shows: str


Part = Text | Table | Picture
_KINDS: dict[str, type[Part]] = {"text": Text, "table": Table, "picture": Picture}


@dataclass(frozen=True)
class Record:
    """What one command found.

    Attributes:
        title: Its heading.
        parts: What is shown, in order.
        numbers: Everything that was measured, unrounded.
        quick: Whether it is from ``--quick``.
        finished: Pieces of work that are done.
        planned: Pieces of work that there are.
        command: The command line.
        commit: The commit that it ran at, with ``+`` where files differed from it.
    """

    title: str
    parts: Sequence[Part]
    numbers: Any
    quick: bool
    finished: int
    planned: int
    command: str = field(default_factory=command)
    commit: str = field(default_factory=commit)

    @property
    def pictures(self) -> list[Picture]:
        """The pictures among the parts."""
        return [part for part in self.parts if isinstance(part, Picture)]

    def page(self, folder: str = "") -> str:
        """The record as Markdown.

        Args:
            folder: Where the pictures are, as seen from the page.
        """
        blocks = [f"## {self.title}", f"Made by `{self.command}` at commit {self.commit}."]
        if self.quick:
            blocks.append(INDICATIVE)
        if self.finished < self.planned:
            blocks.append(f"**Unfinished: {self.finished} of {self.planned}.**")
        for part in self.parts:
            if isinstance(part, Text):
                blocks.append(part.text)
            elif isinstance(part, Picture):
                blocks.append(f"![{part.shows}]({folder}{part.file})\n\n*{part.shows}*")
            else:
                blocks.append(part.markdown())
        return "\n\n".join(blocks) + "\n"


def write_record(record: Record, path: Path) -> str:
    """Writes a record as JSON, and its page beside it.

    Args:
        record: The record; its pictures are beside it already.
        path: The JSON file.

    Returns:
        The page.

    Raises:
        FileNotFoundError: If a picture is missing.
    """
    for picture in record.pictures:
        if not (path.parent / picture.file).is_file():
            raise FileNotFoundError(f"the record {path} shows {picture.file}, which is missing")
    kinds = {kind: name for name, kind in _KINDS.items()}
    parts = [{"kind": kinds[type(part)], **asdict(part)} for part in record.parts]
    facts = {**asdict(record), "parts": parts}
    page = record.page()
    for file, text in ((path, json.dumps(facts, indent=1)), (path.with_suffix(".md"), page)):
        with whole_file(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return page


def read_record(path: Path) -> Record:
    """Reads what :func:`write_record` wrote.

    Raises:
        ValueError: If the file is no record.
    """
    try:
        facts = json.loads(path.read_text("utf-8"))
        parts = []
        for part in facts.pop("parts"):
            parts.append(_KINDS[part.pop("kind")](**part))
        return Record(parts=parts, **facts)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no record of a table or figure") from error


def put_record(record: Record, page: Path, place: str, beside: Path) -> None:
    """Puts a record without its heading, and its pictures, into a page of the documentation.

    Args:
        record: The record.
        page: The Markdown file; pictures go to ``images`` beside it.
        place: What stands between ``<!-- PLACE -->`` and ``<!-- end -->`` is replaced.
        beside: The folder that the pictures are in.

    Raises:
        ValueError: If the page has no such place.
    """
    _, _, text = record.page("images/").partition("\n\n")
    put(page, place, text.rstrip())
    for picture in record.pictures:
        shutil.copyfile(beside / picture.file, page.parent / "images" / picture.file)
