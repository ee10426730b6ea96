"""The comparison of ways to distil, on fabricated runs."""

import pytest
from fabricated_runs import draw, finish

from experiments.paper import compare
from experiments.paper.table1 import read_objects
from experiments.paper.world import OURS, WORLDS

EMBEDDED = WORLDS["embedded"]
PROMPTS = ["a spotted dog", "a marble vase"]


def test_all_methods_have_one_budget_and_differ_in_one_overlay(tmp_path):
    runs = compare.plan(EMBEDDED, compare.WAYS, PROMPTS, [0], 500, tmp_path)
    assert len({run.folder for run in runs}) == 14 == len({run.recipe for run in runs})
    assert len({run.options for run in runs}) == 1 and "max_passes=500" in runs[0].options[0]
    ours, asd = runs[:2]
    assert {*asd.layers} - {*ours.layers} == {compare.ROOT / "configs" / "methods" / "asd.yaml"}
    assert asd.layers[-1] == ours.layers[-1]  # what all are measured by


def test_a_run_has_the_passes_of_table_1_for_which_its_ramps_are_made():
    measured = EMBEDDED.layers(OURS)[-1].read_text("utf-8")
    assert f"{{max_passes: {compare.PASSES}}}" in measured


def test_a_method_that_there_is_not_is_named_with_those_that_there_are(tmp_path):
    with pytest.raises(ValueError, match="no method 'adsd'; choose from asd, csd"):
        compare.plan(EMBEDDED, ["adsd"], PROMPTS, [0], 500, tmp_path)


def test_the_table_says_what_each_took(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.paper.compare.read_objects", read_objects)
    world = EMBEDDED.__class__(**{**vars(EMBEDDED), "measure_model": None})
    runs = compare.plan(world, [OURS, "asd", "csd"], PROMPTS, [0], 500, tmp_path / "runs")
    for index, run in enumerate(runs[:-1]):  # the last is not finished
        finish(run, samples=690 * (index % 3 + 1), clip_score=0.3 + 0.1 * (index % 3))
        draw(run, [(0.2, 0.4, 0.6)])
    pictures = compare.sheets(runs, tmp_path)
    found = compare.record(world, read_objects(world, runs), pictures, len(runs), quick=False)
    page = found.page()
    assert "| asd | 0.400 [0.400, 0.400] | - | - | - | 1380 | 2.0 | 690 | 100 | 2 |" in page
    assert "| csd | 0.500 | - | - | - | 2070 | 3.0 | 690 | 100 | 1 |" in page
    assert "**Unfinished: 5 of 6.**" in page
    assert [each.file for each in pictures] == [
        f"compare_{run.folder.name}.png" for run in runs[::3]
    ] and all((tmp_path / each.file).is_file() for each in pictures)
