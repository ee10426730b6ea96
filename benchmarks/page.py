"""Puts what a benchmark measured into its place on a page."""

import re
from pathlib import Path

from redream.files import whole_file


def put(page: Path, name: str, text: str) -> None:
    """Replaces what stands between ``<!-- NAME -->`` and the next ``<!-- end -->``.

    Raises:
        ValueError: If the page has no such place.
    """
    block = f"<!-- {name} -->\n{text}\n"
    place = re.compile(rf"<!-- {re.escape(name)} -->\n.*?(?=<!-- end -->)", re.DOTALL)
    changed, found = place.subn(lambda _: block, page.read_text("utf-8"), count=1)
    if not found:
        raise ValueError(f"{page} has no place for this: write <!-- {name} --> and <!-- end -->")
    with whole_file(page) as temporary:
        temporary.write_text(changed, "utf-8")
