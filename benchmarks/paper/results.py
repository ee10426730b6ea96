"""Writes docs/results.md from the pages that the other commands have written.

``python benchmarks/paper/results.py PAGE.md ...`` joins, for instance, table1's ``table1.md``, the
tuning's ``tuning.md`` and what ``redream study analyse`` printed. Each says how it was made; one
that does not is refused.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from redream.files import whole_file

MADE_BY = re.compile(r"^Made by `.+` at commit \S+\.$", re.MULTILINE)
HEAD = """# Results

Every number here was written by the command beside it, at the commit beside it.
"""


def join(pages: Sequence[Path]) -> str:
    """The pages as one.

    Raises:
        ValueError: If a page does not say how it was made, or is from a checkout with changes.
    """
    parts = [HEAD]
    for path in pages:
        text = path.read_text("utf-8").strip()
        made_by = MADE_BY.search(text)
        if made_by is None:
            raise ValueError(f"{path} does not say by which command and commit it was made")
        if made_by[0].endswith("+."):
            raise ValueError(f"{path} was made from files that no commit holds: make it again")
        parts.append(text + "\n")
    return "\n".join(parts)


def main() -> None:
    """Joins the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    arguments = parser.parse_args()
    text = join(arguments.pages)
    with whole_file(arguments.out) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
