"""The page of the embedded world: measured sections are new, the others stay."""

import argparse
import json

import pytest

from benchmarks.mini import _adaptation_lines, _named_folder, table
from benchmarks.mini_samples import sample_lines
from redream.mini.prepare import WEIGHTS

RECOGNISED = {"category": 0.91, "material": 0.82, "num": 40}
DISTANCE = {"value": 0.25, "low": 0.2, "high": 0.3}
PRIOR = {
    "guidance_scale": 3.0,
    "restored": RECOGNISED,
    "psnr": 27.94,
    "seen": RECOGNISED,
    "held_out": RECOGNISED | {"num": 7, "material": 0.5},
    "distance": DISTANCE,
    "autoencoded": DISTANCE | {"value": 0.01},
}
MEASURED = {
    "judge": RECOGNISED | {"num": 400},
    "renders": DISTANCE | {"value": 0.0},
    "priors": {"older": PRIOR, "shipped": PRIOR | {"psnr": 31.06}},
}


def test_priors_stand_side_by_side():
    lines = sample_lines(MEASURED)
    table_rows = [line for line in lines if line.startswith("|")]
    assert table_rows[0] == "| measure | older | shipped | floor |"
    assert all(line.count("|") == 5 for line in table_rows)
    assert "| autoencoder on unseen renders | 27.9 dB | 31.1 dB | 31 dB |" in table_rows
    assert "0.250 [0.200, 0.300]" in "\n".join(table_rows)
    assert "91%, 50%" in next(line for line in table_rows if "held-out" in line)
    assert lines[0].startswith("The judge on 400 unseen renders: category 91%")


def test_what_is_short_of_its_floor_is_named():
    assert sample_lines(MEASURED)[-1] == (
        "Short of its floor: the judge's category 91% of 97%, the judge's material 82% of 92%, "
        "seen pairs' category 91% of 98%, seen pairs' material 82% of 88%, "
        "held-out pairs' category 91% of 97%, held-out pairs' material 50% of 80%."
    )
    perfect = {"category": 1.0, "material": 1.0, "num": 9}
    whole = {**PRIOR, "seen": perfect, "held_out": perfect, "psnr": 31.0}
    lines = sample_lines({**MEASURED, "judge": perfect, "priors": {"shipped": whole}})
    assert lines[-1] == "Short of its floor: nothing."


def test_what_adaptation_loses_beyond_its_floor_is_named():
    kept = {"back": 0.9, "view": 0.9, "category": 0.96, "material": 0.85}
    lost = {"back": 0.7, "view": 0.8, "category": 0.96, "material": 0.735}
    raw = {"back": 0.1, "view": 0.3, "category": 1.0, "material": 0.875}
    assert "Short of its floor: nothing." in _adaptation_lines([{"raw": raw, "adapted": kept}])
    lines = _adaptation_lines([{"raw": raw, "adapted": lost}, {"raw": raw, "adapted": kept}])
    assert lines[-2] == (
        'Short of its floor: "back view" 80% of 85%, material, 8 points lost where 5 may be.'
    )


def test_a_measured_section_is_new_and_the_others_stay(tmp_path):
    page, work = tmp_path / "mini.md", tmp_path / "work"
    work.mkdir()
    page.write_text(
        "# The embedded world, measured\n\n## Adaptation\n\nas it was\n\n| a |\n\n"
        "## The default run\n\nas it was, too\n"
    )
    table(work, page)
    before = page.read_text()
    assert "as it was\n\n| a |\n" in before and "The prior's samples" not in before
    (work / "samples.json").write_text(json.dumps(MEASURED))
    table(work, page)
    after = page.read_text()
    assert after.index("## The prior's samples") < after.index("## Adaptation")
    assert after.endswith(before[before.index("## Adaptation") :])
    assert "at commit" in after
    table(work, page)
    assert page.read_text() == after


def test_a_prior_is_named_with_its_folder(tmp_path):
    assert _named_folder(f"older={WEIGHTS / 'prior'}") == ("older", WEIGHTS / "prior")
    for text in (str(WEIGHTS / "prior"), f"older={tmp_path}"):
        with pytest.raises(argparse.ArgumentTypeError, match="NAME=FOLDER"):
            _named_folder(text)
