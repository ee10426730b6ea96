"""Captions of assets, as Cap3D publishes them."""

import csv
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

_NUM_NAMED = 5  # faults and uids named one by one; the others are counted


def read_captions(
    path: str | Path,
    known: Collection[str] | None = None,
    may_be_unknown: Callable[[str], bool] = lambda uid: True,
) -> dict[str, str]:
    """Reads captions of assets from a CSV without a header of ``uid,caption``.

    The file is streamed, so its other rows cost no memory: Cap3D's file has a million rows, of
    which a quarter name assets of Objaverse-XL. A caption may hold commas, quoted or not.

    Args:
        path: The file.
        known: The uids to keep, as a set or a dictionary; None keeps all.
        may_be_unknown: Of a uid that is not known, whether to pass it over in silence.

    Returns:
        The caption of each such uid that has one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not text or not a CSV, if a quote that is not closed swallows the rows
            behind it, or if all are wanted and there is none.

    Warns:
        UserWarning: For rows without uid or caption, for uids that come again (the first row
            counts) and for unknown uids, each in one line and at most six lines.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no captions file at {path}")
    captions: dict[str, str] = {}
    num_faults = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, row, raw in _rows(file):
                if _swallows(row, raw, known):
                    raise ValueError(
                        f"{path}:{number}: a quote opens here that swallows the rows behind it: "
                        'close it, or double each quote inside of quotes, as in ""'
                    )
                fault = _take(row, captions, known, may_be_unknown)
                num_faults += fault is not None
                if fault is not None and num_faults <= _NUM_NAMED:
                    warnings.warn(f"{path}:{number}: {fault}; ignored", stacklevel=3)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV of uid,caption ({error})") from error
    if num_faults > _NUM_NAMED:
        warnings.warn(f"{path}: {num_faults - _NUM_NAMED} more such rows; ignored", stacklevel=3)
    if known is None and not captions:
        raise ValueError(f"{path} has no captions: write lines of uid,caption")
    return captions


def _rows(file: Iterable[str]) -> Iterator[tuple[int, list[str], list[str]]]:
    """The rows of a CSV, each with the number of its first line and its lines as they are."""
    raw: list[str] = []

    def lines() -> Iterator[str]:
        for line in file:
            raw.append(line)
            yield line

    number = 1
    for row in csv.reader(lines()):
        yield number, row, raw
        number += len(raw)
        raw.clear()


def _swallows(row: list[str], raw: list[str], known: Collection[str] | None) -> bool:
    """Whether a row of several lines holds other rows: a quote opens that nobody meant to.

    A caption of several lines between quotes is one; then they close, and no further line of it
    begins as rows do.
    """
    if len(raw) == 1:
        return False
    if "".join(raw).count('"') % 2:
        return True
    firsts = [line.partition(",") for line in raw[1:]]
    if known is None:
        size = len(row[0].strip())
        return any(comma and len(uid) == size and " " not in uid for uid, comma, _ in firsts)
    return any(comma and uid.strip() in known for uid, comma, _ in firsts)


def _take(
    row: list[str],
    captions: dict[str, str],
    known: Collection[str] | None,
    may_be_unknown: Callable[[str], bool],
) -> str | None:
    """Puts a row's caption to the others, or says what is wrong with the row."""
    if not row:
        return None
    uid, caption = row[0].strip(), ",".join(row[1:]).strip()
    if not uid or not caption:
        return "not uid,caption"
    if known is not None and uid not in known:
        return None if may_be_unknown(uid) else f"there is no asset {uid}"
    if uid in captions:
        return f"{uid} again"
    captions[uid] = caption
    return None


def name_some(uids: Collection[str], num: int = _NUM_NAMED) -> str:
    """The first ``num`` of many uids or other names, and how many more there are."""
    shown = ", ".join(list(uids)[:num])
    more = len(uids) - num
    return f"{shown} and {more} more" if more > 0 else shown
