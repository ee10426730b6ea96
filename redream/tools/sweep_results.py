"""What a sweep made, in one table (CSV and Markdown) and on one page."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from redream.files import whole_file
from redream.tools.sweep_run import Run

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}"
    ".runs{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:1rem}"
    "article{border:1px solid #8886;border-radius:.5rem;padding:.75rem;overflow-wrap:anywhere}"
    "img{width:100%;border-radius:.25rem}small{opacity:.7}.failed{border-color:#c33}"
)


def write_results(runs: Sequence[Run], failures: Mapping[Path, str], out: Path) -> None:
    """Writes ``results.csv``, ``results.md`` and ``index.html``, each whole or not at all.

    Args:
        runs: All runs, in the order of the table.
        failures: Why a run's folder has no result.
        out: The sweep's folder.
    """
    rows = [_row(run, failures, out) for run in runs]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    lines = [columns, ["---"] * len(columns)]
    lines += [[row.get(name, "").replace("|", "\\|") for name in columns] for row in rows]
    markdown = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    page = _page([_card(run, row, out) for run, row in zip(runs, rows, strict=True)])
    texts = {"results.csv": table.getvalue(), "results.md": markdown, "index.html": page}
    for name, text in texts.items():
        with whole_file(out / name) as temporary:
            temporary.write_text(text, "utf-8")


def _row(run: Run, failures: Mapping[Path, str], out: Path) -> dict[str, str]:
    folder = os.path.relpath(run.folder, out)
    row = {"prompt": run.prompt, "seed": str(run.seed), "folder": folder, "state": "unfinished"}
    result = run.result
    if result is not None:
        row |= {"state": "done", "seconds": f"{result['seconds']:g}"}
        row |= {name: f"{value:.4g}" for name, value in result["metrics"].items()}
    elif run.folder in failures:
        row |= {"state": "failed", "reason": " ".join(failures[run.folder].split())}
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
