"""Objects whose folders are gone: their record keeps their numbers, and nothing is made twice."""

import json
import shutil
from argparse import ArgumentTypeError
from dataclasses import replace

import pytest
from fabricated_runs import finish

from experiments.paper import fig10_16, table1
from experiments.paper.kept import kept_objects
from experiments.paper.record import Record, write_record
from experiments.paper.runs import execute_all
from experiments.paper.world import OURS, WORLDS

EMBEDDED = replace(WORLDS["embedded"], measure_model=None, truth=None)
PROMPTS = ["a spotted dog", "a marble vase", "a striped car"]


@pytest.fixture
def runs(tmp_path):
    return table1.plan(EMBEDDED, ["prolificdreamer", OURS], PROMPTS, [0], tmp_path / "runs")


def test_a_table_of_kept_objects_is_the_table_of_the_runs(runs, tmp_path):
    for place, run in enumerate(runs):
        finish(run, clip_score=0.1 * place, num_fronts=1.0)
    first = table1.write_tables(EMBEDDED, runs, tmp_path, quick=False)
    shutil.rmtree(tmp_path / "runs")
    kept = kept_objects(tmp_path)
    assert len(kept) == len(runs)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert table1.write_tables(EMBEDDED, runs, elsewhere, quick=False, kept=kept) == first


def test_a_run_that_is_here_counts_more_than_a_kept_one(runs, tmp_path):
    finish(runs[0], clip_score=0.25)
    finish(runs[1], clip_score=0.5)
    table1.write_tables(EMBEDDED, runs, tmp_path, quick=False)
    finish(runs[0], clip_score=0.75)
    objects = table1.read_objects(EMBEDDED, runs, kept_objects(tmp_path))
    assert [each["measures"]["clip_score"] for each in objects] == [0.75, 0.5]


def test_numbers_of_other_settings_are_not_taken(runs, tmp_path):
    for run in runs:
        finish(run, clip_score=0.5)
    table1.write_tables(EMBEDDED, runs, tmp_path, quick=False)
    others = [replace(run, options=("--model.guidance.init_args.scale=9",)) for run in runs]
    shutil.rmtree(tmp_path / "runs")
    assert table1.read_objects(EMBEDDED, others, kept_objects(tmp_path)) == []


def test_kept_objects_are_not_made_again(runs, tmp_path, monkeypatch):
    from experiments.paper import runs as module

    made = []
    monkeypatch.setattr(module, "execute", lambda run, threads: made.append(run))
    finish(runs[0], clip_score=0.5)
    table1.write_tables(EMBEDDED, runs, tmp_path, quick=False)
    assert execute_all(runs, kept=kept_objects(tmp_path)) == []
    assert made == runs[1:]


def test_curves_of_an_earlier_record_are_taken_where_the_recipe_is_the_same(runs, tmp_path):
    points = [{"steps": 30, "passes": 240, "seconds": 3.0, "score": 0.5}]
    curves = {OURS: {PROMPTS[0]: points, PROMPTS[1]: points}}
    mine = {run.prompt: run for run in runs if run.method == OURS}
    recipes = {OURS: {PROMPTS[0]: mine[PROMPTS[0]].recipe, PROMPTS[1]: "another"}}
    path = tmp_path / "fig10_16.json"
    write_record(fig10_16.record(curves, recipes, [], 6, quick=False), path)
    assert fig10_16.kept_curves(path, runs) == {OURS: {PROMPTS[0]: points}}


@pytest.mark.parametrize("text", ["", "[]", '{"numbers": 1}'])
def test_what_is_no_record_is_named(text, tmp_path):
    with pytest.raises(ArgumentTypeError, match="there is no record in"):
        kept_objects(tmp_path)
    (tmp_path / "table1.json").write_text(text)
    with pytest.raises(ArgumentTypeError, match=r"table1\.json is no record"):
        kept_objects(tmp_path)


def test_a_record_of_something_else_has_no_objects_and_no_curves(runs, tmp_path):
    path = tmp_path / "fig04.json"
    write_record(Record("Fig. 4", [], {"a spotted dog": 1}, False, 1, 1), path)
    assert kept_objects(tmp_path) == {}
    with pytest.raises(ValueError, match="no record of curves"):
        fig10_16.kept_curves(path, runs)
    assert json.loads(path.read_text())["title"] == "Fig. 4"
