"""Writes the figures of `make fuzz` into the page on reliability.

python tests/fuzz/reporting.py outputs/fuzz.json docs/reliability.md
"""

import json
import re
import sys
from pathlib import Path

HEADING = "## Fuzz"
NAMES = {
    "captions": "CSV files of captions",
    "prompt": "prompts, retrieved with and encoded",
    "checkpoint": "checkpoints and the config beside",
    "index": "index folders, opened, searched and verified",
    "config": "YAML of the four verbs",
    "mesh": "GLB, glTF, OBJ and PLY files",
    "verb": "whole `fit`, `validate`, `test` and `predict`: checkpoint, config beside",
    "stages": "configs of several stages",
    "sweep": "folders of sweeps",
}


def table(rows: list[dict]) -> str:
    """The outcomes as Markdown."""
    lines = ["| input | tried | read | refused in one line | promise broken | slowest, CPU s |"]
    lines.append("|---|---|---|---|---|---|")
    for row in rows:
        cells = [NAMES[row["input"]], *(f"{row[key]:,}" for key in ("tried", "read", "refused"))]
        lines.append(f"| {' | '.join([*cells, str(row['broken']), str(row['slowest_s'])])} |")
    total = [f"{sum(row[key] for row in rows):,}" for key in ("tried", "read", "refused", "broken")]
    lines.append(f"| all | {' | '.join(total)} | {max(row['slowest_s'] for row in rows)} |")
    return "\n".join(lines)


def replace_table(page: str, rows: list[dict]) -> str:
    """The page with a new table below its heading."""
    before, _, after = page.partition(HEADING)
    section, following, rest = after.partition("\n## ")
    kept = re.sub(r"\n(\|.*\n)+", "\n" + table(rows).replace("\\", "\\\\") + "\n", section, count=1)
    return before + HEADING + kept + following + rest


if __name__ == "__main__":
    figures, path = Path(sys.argv[1]), Path(sys.argv[2])
    path.write_text(replace_table(path.read_text("utf-8"), json.loads(figures.read_text())))
