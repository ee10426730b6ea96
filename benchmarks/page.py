"""Puts what a benchmark measured into its place on a page."""

import re
from pathlib import Path

from redream.files import whole_file


def put(page: Path, name: str, text: str) -> None:
    """Replaces what stands between ``<!-- NAME -->`` and the next ``<!-- end -->``.

    Raises:
        ValueError: If the page has no such place.
    """
    require_place(page, name)
    block = f"<!-- {name} -->\n{text}\n"
    changed = _place(name).sub(lambda _: block, page.read_text("utf-8"), count=1)
    with whole_file(page) as temporary:
        temporary.write_text(changed, "utf-8")


def require_place(page: Path, name: str) -> None:
    """Makes sure that a page has the marks, before minutes are spent on what goes there.

    Raises:
        ValueError: If it has none.
        FileNotFoundError: If there is no such page.
    """
    if not _place(name).search(page.read_text("utf-8")):
        raise ValueError(f"{page} has no place for this: write <!-- {name} --> and <!-- end -->")


def _place(name: str) -> re.Pattern[str]:
    return re.compile(rf"<!-- {re.escape(name)} -->\n.*?(?=<!-- end -->)", re.DOTALL)
