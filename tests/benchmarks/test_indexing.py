"""The plan of a large index: what one asset costs, times their number."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from indexing import GPU_PICTURES_PER_SECOND, Clock, copied, plan  # noqa: E402

from redream.assets import FolderStore  # noqa: E402


def test_a_plan_multiplies():
    rows = plan({"load": 9.0, "render": 36.0}, {"text.npy": 1000}, 5e4, 10, 800_000)
    told = {row[0]: row[1:] for row in rows}
    assert told["load"] == ["900.00 ms of CPU", "200.0 CPU hours"]
    assert told["render"][1] == "800.0 CPU hours"
    assert told["files read"] == ["50 kB", "40 GB"]
    assert told["text.npy"] == ["100 B", "0.08 GB"]
    hours = 8 * 800_000 / GPU_PICTURES_PER_SECOND / 3600.0
    assert told["embed, on a GPU"][1].startswith(f"{hours:,.1f} GPU hours")


def test_a_clock_counts_each_part():
    clock = Clock()
    for part in ("a", "b", "a"):
        with clock(part):
            sum(range(10**5))
    assert set(clock.seconds) == {"a", "b"} and all(each > 0.0 for each in clock.seconds.values())


def test_copies_are_assets_of_their_own(tmp_path: Path):
    (tmp_path / "few").mkdir()
    for name in "ab":
        (tmp_path / "few" / f"{name}.obj").write_text(
            f"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3 # {name}\n"
        )
    few = FolderStore(tmp_path / "few")
    many = copied(few, few.assets(), 5, tmp_path / "many")
    assert len({each.uid for each in many.assets()}) == 5
    written = [many.file(f"{row}-{'ab'[row % 2]}").read_text() for row in range(5)]
    assert [text[-2] for text in written] == list("ababa")
