"""The words of measures: every number of ReDream's own has a name, and none is guessed."""

import re
from pathlib import Path

import pytest

from redream.measures import TABLE, read_all, read_measure, show_number, words_of
from redream.meshes.soundness import Soundness

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"


@pytest.mark.parametrize(
    ("value", "shown"), [(3.0, "3"), (0.31249, "0.312"), (-2, "-2"), (float("nan"), "nan")]
)
def test_numbers_read_well(value, shown):
    assert show_number(value) == shown


@pytest.mark.parametrize(
    ("key", "value", "name", "shown", "better"),
    [
        ("clip_score", 0.3126, "CLIP score", "0.313", "higher is better"),
        ("vit_clip_score", 0.3126, "CLIP score (vit)", "0.313", "higher is better"),
        ("a_lpips_vgg_max", 0.5, "A-LPIPS, worst step (vgg)", "0.500", "lower is better"),
        ("a_lpips_rn_50_step_deg", 7.5, "A-LPIPS (rn 50): step", "7.5°", ""),
        ("r_precision", 0.625, "Views that name the prompt", "62 %", "higher is better"),
        ("pattern_right", 1.0, "Pattern as a whole", "yes", "yes is right"),
        ("is_watertight", False, "Watertight", "no", "yes is right"),
        ("num_faces", 24000, "Triangles", "24,000", ""),
        ("psnr_db", 28.449, "Fidelity of colours", "28.4 dB", "higher is better"),
        ("silhouette_iou", float("nan"), "Fidelity of outlines", "nan", "higher is better"),
        ("a_plugin_s_own", 2.0, "a plugin s own", "2", ""),
        ("mean_precision", 0.5, "mean precision", "0.500", ""),  # not GeometryTruth's
    ],
)
def test_a_measure_as_people_read_it(key, value, name, shown, better):
    reading = read_measure(key, value)
    assert (reading.name, reading.value, reading.words.better) == (name, shown, better)


def test_settings_stand_apart_from_results():
    found, settings = read_all({"rank": 1.0, "num_captions": 490.0, "clip_score": 0.3})
    assert [each.name for each in found] == ["Rank of the prompt", "CLIP score"]
    assert [(each.name, each.value) for each in settings] == [("Captions compared", "490")]


def test_every_word_says_something():
    assert all(words.name and words.hint.endswith(".") for words in TABLE.values())
    assert len({words.name for words in TABLE.values()}) == len(TABLE)
    assert not any(words.better and words.is_setting for words in TABLE.values())


def test_what_the_page_of_metrics_names_and_what_models_have_is_in_the_table():
    rows = [row for row in PAGE.read_text("utf-8").splitlines() if row.startswith("| `")]
    keys = [key for row in rows for key in re.findall(r"`([a-z]\w+)`", row.split("|")[2])]
    assert len(rows) >= 5 and "clip_score" in keys
    assert [key for key in keys if not words_of(key).hint] == []
    of_models = (*Soundness._fields, "psnr_db", "silhouette_iou", "texture_size", "faces")
    assert [key for key in of_models if not words_of(key).hint] == []
