"""Tuning is equal for all methods, and results without an origin are refused."""

import pytest
from fabricated_runs import finish
from PIL import Image

from experiments.paper import fig17, results, table1, tune, verdicts
from experiments.paper.pictures import write_small_png
from experiments.paper.record import Picture, Record, Table, Text, read_record, write_record
from experiments.paper.world import HERE, METHODS, OURS, WORLDS

EMBEDDED = WORLDS["embedded"]


def test_every_method_is_tuned_over_as_many_variants(tmp_path):
    variants = tune.read_variants(HERE / "embedded" / "tuning.yaml")
    assert set(variants) == set(METHODS)
    (tmp_path / "t.yaml").write_text("a: {x: {}, y: {}}\nb: {x: {}}\n")
    with pytest.raises(ValueError, match="as many variants"):
        tune.read_variants(tmp_path / "t.yaml")


def test_the_best_variant_of_each_method_is_marked(tmp_path):
    variants = {m: {"weak": {"model.guidance.init_args.scale": 3}, "strong": {}} for m in METHODS}
    plan = tune.plan(EMBEDDED, variants, ["a spotted dog", "a marble vase"], tmp_path)
    num = 2 * 2 * len(METHODS)
    assert len({run.folder for run in plan}) == num == len({run.recipe for run in plan})
    best = {f"{m}@{'weak' if m == 'dreamfusion' else 'strong'}" for m in METHODS}
    assert "--model.guidance.init_args.scale=3" in plan[0].arguments
    for run in plan:
        finish(run, clip_score=0.5 if run.method in best else 0.4, num_fronts=1.0)
    page = tune.record(EMBEDDED, [run.read() for run in plan], num, quick=True).page()
    marked = {line.split("**")[1] for line in page.splitlines() if line.startswith("| **")}
    assert marked == best


def record_at(commit, quick=False, parts=(), finished=2):
    return Record("Fig. 0", list(parts), {"a": 1}, quick, finished, 2, "python x.py", commit)


def test_only_what_a_command_and_a_commit_made_becomes_results(tmp_path):
    good, bare, dirty = (tmp_path / name for name in ("good.md", "bare.md", "dirty.json"))
    good.write_text("## Table\n\nMade by `python x.py` at commit 12ab.\n\n| 1 |\n")
    bare.write_text("## Table\n\n| 1 |\n")
    write_record(record_at("12ab+"), dirty)
    assert results.section(good, tmp_path).endswith("| 1 |\n")
    with pytest.raises(ValueError, match=r"bare\.md does not say"):
        results.section(bare, tmp_path)
    with pytest.raises(ValueError, match="no commit holds"):
        results.section(dirty, tmp_path)


def test_records_become_results_with_their_pictures(tmp_path, monkeypatch):
    kept, docs = tmp_path / "kept", tmp_path / "docs"
    write_small_png(Image.new("RGB", (8, 8), "red"), kept / "fig05.png")
    shown = [Text("Said."), Table(["a", "b"], [["1", "2"]]), Picture("fig05.png", "red")]
    write_record(record_at("12ab", quick=True, parts=shown, finished=1), kept / "fig05.json")
    write_record(record_at("34cd"), kept / "table2.json")
    monkeypatch.setattr("sys.argv", ["results.py", str(kept), "--out", str(docs / "results.md")])
    results.main()
    text = (docs / "results.md").read_text()
    assert text.index("34cd") < text.index("12ab")  # tables first
    assert text.count("Indicative") == 2 and "**Unfinished: 1 of 2.**" in text
    assert text.count("| not measured |") == len(verdicts.CLAIMS)
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in text
    assert "![red](images/results/fig05.png)" in text
    assert (docs / "images/results/fig05.png").read_bytes() == (kept / "fig05.png").read_bytes()
    again = tmp_path / "again.md"  # from what is beside the page alone
    folder = str(docs / "images/results")
    monkeypatch.setattr("sys.argv", ["results.py", folder, "--out", str(again)])
    results.main()
    assert again.read_text().split("## ")[2:] == text.split("## ")[2:]


def test_of_two_records_of_one_name_the_first_counts_and_pages_come_last(tmp_path):
    for folder, name in (("new", "fig05"), ("kept", "fig05"), ("kept", "table1"), ("kept", "eq21")):
        write_record(record_at("12ab"), tmp_path / folder / f"{name}.json")
    page = tmp_path / "earlier.md"
    page.write_text("## Earlier\n")
    found = results.sources([page, tmp_path / "new", tmp_path / "kept"])
    names = ["kept/table1.json", "new/fig05.json", "kept/eq21.json", "earlier.md"]
    assert found == [tmp_path / name for name in names]


def test_a_record_is_read_back_as_it_was_written(tmp_path):
    record = record_at("12ab", parts=[Text("Said."), Table(["a"], [["1"]])])
    page = write_record(record, tmp_path / "fig00.json")
    assert read_record(tmp_path / "fig00.json") == record
    assert (tmp_path / "fig00.md").read_text() == page == record.page()
    with pytest.raises(FileNotFoundError, match=r"gone\.png, which is missing"):
        write_record(record_at("12ab", parts=[Picture("gone.png", "")]), tmp_path / "fig00.json")
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ValueError, match="is no record"):
        read_record(tmp_path / "other.json")
    with pytest.raises(FileNotFoundError, match="no record at"):
        results.sources([tmp_path / "nothing"])


def test_pictures_get_as_many_colours_as_there_is_room_for(tmp_path):
    noise = Image.effect_noise((256, 256), 80).convert("RGB")
    write_small_png(noise, tmp_path / "large.png")
    most = (tmp_path / "large.png").stat().st_size - 1
    write_small_png(noise, tmp_path / "small.png", most)
    assert (tmp_path / "small.png").stat().st_size <= most
    with pytest.raises(ValueError, match="show fewer pictures"):
        write_small_png(noise, tmp_path / "none.png", 1000)
    assert not (tmp_path / "none.png").exists()


def test_the_whole_method_is_compared_with_its_parts(tmp_path):
    prompts = ["a spotted dog", "a marble vase", "a striped car"]
    plan = fig17.plan(EMBEDDED, prompts, tmp_path)
    assert "adapter: null" in plan[2].layers[-1].read_text()
    for run in plan:
        finish(run, clip_score=0.5 if run.method == OURS else 0.3, num_fronts=1.0)
    text = fig17.record(EMBEDDED, [run.read() for run in plan], len(plan), quick=False).page()
    assert plan[0] == table1.plan(EMBEDDED, METHODS, prompts, [0], tmp_path)[2]  # made once
    assert "| no adaptation | CLIP score ↑ | +0.200 [+0.200, +0.200] | 0.250 |" in text
    assert "| whole | 0.500 [0.500, 0.500] |" in text and "Unfinished" not in text
