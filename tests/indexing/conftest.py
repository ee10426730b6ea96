import sys
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parents[1] / room) for room in ("assets", "retrieval", "indexing")]
from fabricated import write_box_glb  # noqa: E402

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@pytest.fixture
def boxes(tmp_path):
    """A folder of twelve boxes in three colours, with captions."""
    lines = []
    for number in range(12):
        name = list(COLORS)[number % 3]
        write_box_glb(tmp_path / "boxes" / f"box{number:02}.glb", COLORS[name])
        lines.append(f"box{number:02},a {name} box\n")
    (tmp_path / "boxes" / "captions.csv").write_text("".join(lines))
    return tmp_path / "boxes"
