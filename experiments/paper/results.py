"""Writes docs/results.md from the records that the other commands have left.

``python -m experiments.paper.results outputs/paper`` takes every record of a folder, such as
``table1.json`` and ``fig05.json``, in the paper's order, and copies them and their pictures to
``docs/images/results``. From there the page can be made again, or with some records made anew
``outputs/paper docs/images/results``: of two of one name the first counts. A Markdown file is taken
as a page of its own: what ``redream study analyse`` printed. Each says how it was made; one that
does not is refused, and so is one that no commit can make again.
"""

import argparse
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from experiments.paper import verdicts
from experiments.paper.pictures import MOST_BYTES
from experiments.paper.provenance import command, commit
from experiments.paper.record import INDICATIVE, Record, read_record
from redream.files import whole_file

ROOT = Path(__file__).parents[2]
MADE_BY = re.compile(r"^Made by `.+` at commit \S+\.$", re.MULTILINE)
HEAD = """# Results

Every number here was written by the command beside it, at the commit beside it. All of it is on
the embedded world, whose prior, library and judges are small: what holds there need not elsewhere.
"""
IMAGES = "images/results"
READ_WITH = (
    "CLIP score and A-LPIPS are to be read beside the row of *the world's own objects* in Table 1, "
    "which stand for a perfect method. As an object melts into a lump CLIP score falls late and "
    "A-LPIPS even gains ([measured](metrics_check.md)); the shape F-score falls at once."
)


def sources(paths: Sequence[Path]) -> list[Path]:
    """Records in the paper's order: tables, then figures, then the rest; after them pages.

    Args:
        paths: Where to look; of two records of one name that of the earlier path counts.

    Raises:
        FileNotFoundError: If there is nothing at a path.
    """
    found: dict[str, Path] = {}
    for path in paths:
        inside = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not inside or not inside[0].is_file():
            raise FileNotFoundError(f"there is no record at {path}")
        for each in inside:
            found.setdefault(each.name, each)
    return sorted(found.values(), key=_place)


def _place(path: Path) -> tuple[bool, int, str]:
    kinds = ("table", "fresh", "tuning", "fig")
    kind = next((i for i, kind in enumerate(kinds) if path.stem.startswith(kind)), len(kinds))
    return path.suffix != ".json", kind, path.stem


def section(path: Path, docs: Path, folder: str = IMAGES) -> str:
    """A record or a page as a part of the results.

    Args:
        path: A record's JSON, or a page in Markdown.
        docs: Folder of the page.
        folder: The folder in it that the record and its pictures are copied to.

    Returns:
        Markdown.

    Raises:
        ValueError: If it does not say how it was made, is from a checkout with changes, or shows a
            picture that is too large for the documentation.
    """
    record: Record | None = read_record(path) if path.suffix == ".json" else None
    text = path.read_text("utf-8").strip() if record is None else record.page(f"{folder}/").strip()
    made_by = MADE_BY.search(text)
    if made_by is None:
        raise ValueError(f"{path} does not say by which command and commit it was made")
    if made_by[0].endswith("+."):
        raise ValueError(f"{path} was made from files that no commit holds: make it again")
    pictures = [path.parent / each.file for each in record.pictures] if record else []
    for source in [*pictures, *([path] if record else [])]:
        if source in pictures and source.stat().st_size > MOST_BYTES:
            raise ValueError(f"{source} is larger than {MOST_BYTES} bytes")
        with whole_file(docs / folder / source.name) as temporary:
            shutil.copyfile(source, temporary)
    return text + "\n"


def claims(paths: Sequence[Path]) -> str:
    """What of the paper holds, as far as these records say: the page's first part."""
    records = {path.stem: read_record(path) for path in paths if path.suffix == ".json"}
    quick = any(record.quick for record in records.values())
    made_by = f"Made by `{command()}` at commit {commit()}."
    blocks = ["## What of the paper holds here", made_by, *([INDICATIVE] if quick else [])]
    again = [verdicts.ASKED_AGAIN] if "fresh" in records else []
    blocks += [verdicts.RULE, *again, READ_WITH, verdicts.verdicts(records).markdown()]
    return "\n\n".join(blocks) + "\n"


def main() -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=Path, nargs="+", help="folders of records, or pages")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results.md")
    arguments = parser.parse_args()
    paths = sources(arguments.records)
    first = claims(paths)  # before pictures are copied, which would count as changes
    parts = [section(path, arguments.out.parent) for path in paths]
    with whole_file(arguments.out) as temporary:
        temporary.write_text("\n".join([HEAD, first, *parts]), encoding="utf-8")


if __name__ == "__main__":
    main()
