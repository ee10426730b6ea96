"""Tuning is equal for all methods, and results without an origin are refused."""

import fig17
import pytest
import results
import tune
from fabricated_runs import finish
from world import HERE, METHODS, WORLDS

EMBEDDED = WORLDS["embedded"]


def test_every_method_is_tuned_over_as_many_variants(tmp_path):
    variants = tune.read_variants(HERE / "embedded" / "tuning.yaml")
    assert set(variants) == set(METHODS)
    (tmp_path / "t.yaml").write_text("a: {x: {}, y: {}}\nb: {x: {}}\n")
    with pytest.raises(ValueError, match="as many variants"):
        tune.read_variants(tmp_path / "t.yaml")


def test_the_best_variant_of_each_method_is_marked(tmp_path):
    variants = {m: {"weak": {"model.guidance_scale": 3}, "strong": {}} for m in METHODS}
    plan = tune.plan(EMBEDDED, variants, ["a spotted dog", "a marble vase"], tmp_path)
    assert len({run.folder for run in plan}) == 12 and len({run.recipe for run in plan}) == 12
    assert "--model.guidance_scale=3" in plan[0].arguments
    for run in plan:
        best = run.method in ("dreamfusion@weak", "redream@strong", "prolificdreamer@strong")
        finish(run, clip_score=0.5 if best else 0.4, num_fronts=1.0)
    page = tune.page(EMBEDDED, [run.read() for run in plan], 12, ("c", "d"))
    marked = {line.split("**")[1] for line in page.splitlines() if line.startswith("| **")}
    assert marked == {"dreamfusion@weak", "redream@strong", "prolificdreamer@strong"}


def test_only_pages_of_a_command_and_a_commit_become_results(tmp_path):
    good, bare, dirty = (tmp_path / name for name in ("good.md", "bare.md", "dirty.md"))
    good.write_text("## Table\n\nMade by `python x.py` at commit 12ab.\n\n| 1 |\n")
    bare.write_text("## Table\n\n| 1 |\n")
    dirty.write_text("## Table\n\nMade by `python x.py` at commit 12ab+.\n\n| 1 |\n")
    text = results.join([good, good])
    assert text.startswith("# Results") and text.count("| 1 |") == 2
    with pytest.raises(ValueError, match="bare.md does not say"):
        results.join([good, bare])
    with pytest.raises(ValueError, match="no commit holds"):
        results.join([dirty])


def test_the_whole_method_is_compared_with_its_parts(tmp_path):
    prompts = ["a spotted dog", "a marble vase", "a striped car"]
    plan = fig17.plan(EMBEDDED, prompts, tmp_path)
    assert "--model.adapter=null" in plan[2].arguments
    for run in plan:
        finish(run, clip_score=0.5 if run.method == fig17.FULL else 0.3, num_fronts=1.0)
    text = fig17.page(EMBEDDED, [run.read() for run in plan], len(plan), ("c", "d"))
    assert "| no adaptation | CLIP score ↑ | +0.200 [+0.200, +0.200] | 0.250 |" in text
    assert "| whole | 0.500 [0.500, 0.500] |" in text and "Unfinished" not in text
