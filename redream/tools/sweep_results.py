"""What a sweep made, in one table (CSV and Markdown) and on one page."""

import csv
import io
import os
import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from redream.escaping import in_a_spreadsheet, in_markdown, on_one_line
from redream.files import whole_file
from redream.tools.sweep_run import Run

_SHARE = 20.0  # times as long as writing took is waited before it is done again
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}"
    ".runs{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:1rem}"
    "article{border:1px solid #8886;border-radius:.5rem;padding:.75rem;overflow-wrap:anywhere}"
    "img{width:100%;border-radius:.25rem}small{opacity:.7}.failed{border-color:#c33}"
)


class Results:
    """What has become of a sweep's runs, as ``results.csv``, ``results.md`` and ``index.html``.

    Each run is looked at once when it changes, and the files are written anew at most so often
    that this takes a twentieth of the time: what a run costs does not grow with their number.

    Args:
        runs: All runs, in the order of the table.
        out: The sweep's folder.

    Attributes:
        failures: Why a run's folder has no result.
    """

    def __init__(self, runs: Sequence[Run], out: Path) -> None:
        self.runs, self.out = runs, out
        self.failures: dict[Path, str] = {}
        self._shown = {run.folder: _shown(run, None, out) for run in runs}
        self._num_done = sum(row["state"] == "done" for row, _ in self._shown.values())
        self._next = 0.0  # when the files may be written again

    @property
    def count(self) -> str:
        """How many of all runs are done."""
        return f"{self._num_done}/{len(self.runs)}"

    def note(self, run: Run, failure: str | None = None) -> None:
        """Looks at a run that has ended.

        Args:
            run: The run.
            failure: Why it has no result.
        """
        if failure is not None:
            self.failures[run.folder] = failure
        self._num_done -= self._shown[run.folder][0]["state"] == "done"
        self._shown[run.folder] = _shown(run, failure, self.out)
        self._num_done += self._shown[run.folder][0]["state"] == "done"

    def write_now_and_then(self) -> None:
        """Writes the files, unless they were written a moment ago."""
        if time.monotonic() >= self._next:
            self.write()

    def write(self) -> None:
        """Writes the files, each whole or not at all."""
        began = time.monotonic()
        shown = [self._shown[run.folder] for run in self.runs]
        rows, cards = [row for row, _ in shown], [card for _, card in shown]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, restval="", lineterminator="\n")
        writer.writerow({name: in_a_spreadsheet(name) for name in columns})
        writer.writerows({name: _cell(name, value) for name, value in row.items()} for row in rows)
        lines = [[in_markdown(name) for name in columns], ["---"] * len(columns)]
        lines += [[in_markdown(row.get(name, "")) for name in columns] for row in rows]
        markdown = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        texts = {"results.csv": table.getvalue(), "results.md": markdown}
        for name, text in (texts | {"index.html": _page(cards)}).items():
            with whole_file(self.out / name) as temporary:
                temporary.write_text(text, "utf-8")
        now = time.monotonic()
        self._next = now + _SHARE * (now - began)


def _shown(run: Run, failure: str | None, out: Path) -> tuple[dict[str, str], str]:
    """A run's row of the table and its card on the page."""
    row = _row(run, failure, out)
    return row, _card(run, row, out)


def _cell(name: str, value: str) -> str:
    """A value of the CSV: a text that is no formula; numbers are ours and stay numbers."""
    return in_a_spreadsheet(value) if name in ("prompt", "folder", "reason") else value


def _row(run: Run, failure: str | None, out: Path) -> dict[str, str]:
    folder = os.path.relpath(run.folder, out)
    row = {"prompt": run.prompt, "seed": str(run.seed), "folder": folder, "state": "unfinished"}
    result = run.result
    if result is not None:
        row |= {"state": "done", "seconds": f"{result['seconds']:g}"}
        row |= {name: f"{value:.4g}" for name, value in result["metrics"].items()}
    elif failure is not None:
        row |= {"state": "failed", "reason": on_one_line(failure)}
    return row


def _card(run: Run, row: Mapping[str, str], out: Path) -> str:
    folder = quote(row["folder"])
    previews = sorted((run.folder / "previews").glob("*.png"))
    picture = ""
    if previews:
        source = quote(os.path.relpath(previews[-1], out))
        picture = f'<img src="{source}" alt="" loading="lazy">'
    page = "report.html" if (run.folder / "report.html").is_file() else "log.txt"
    skipped = ("prompt", "seed", "folder", "state")
    facts = " &middot; ".join(
        f"{escape(name)} {escape(value)}" for name, value in row.items() if name not in skipped
    )
    return (
        f'<article class="{row["state"]}"><a href="{folder}/{page}">{picture}'
        f"<p>{escape(run.prompt)}</p></a>"
        f"<small>seed {run.seed} &middot; {row['state']} &middot; {facts}</small></article>"
    )


def _page(cards: Sequence[str]) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>ReDream sweep</title>'
        f"<style>{_STYLE}</style></head><body><h1>{len(cards)} runs</h1>"
        f'<div class="runs">\n{chr(10).join(cards)}\n</div></body></html>\n'
    )
