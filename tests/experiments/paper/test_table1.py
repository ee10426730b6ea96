"""Table 1's arithmetic and its resumption, on fabricated run folders."""

import csv
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from fabricated_runs import finish

from experiments.paper import runs as runs_module
from experiments.paper import table1
from experiments.paper.command_line import in_one_line
from experiments.paper.runs import DONE, Run, execute, execute_all
from experiments.paper.world import METHODS, OURS, ROOT, WORLDS, derive, read_prompts

EMBEDDED = replace(WORLDS["embedded"], measure_model=None, truth=None)
PROMPTS = ["a spotted dog", "a marble vase", "a striped car", "a golden cat"]


@pytest.fixture
def runs(tmp_path):
    return table1.plan(EMBEDDED, METHODS, PROMPTS, range(2), tmp_path / "runs")


def fabricate(runs, ahead=0.1):
    """ReDream is ahead on every prompt, whose difficulties differ by much more."""
    for run in runs:
        difficulty = 0.2 * PROMPTS.index(run.prompt) + 0.01 * run.seed
        better = ahead if run.method == OURS else 0.0
        finish(
            run,
            clip_score=difficulty + better,
            r_precision=0.5,
            a_lpips_embedded=0.7 - better,
            num_fronts=1.0 if run.method == OURS else 2.0 if run.seed else 0.0,
        )


def test_the_plan_is_every_method_on_every_prompt_and_seed(runs):
    assert len({run.folder for run in runs}) == len(runs) == len(METHODS) * 4 * 2
    assert [run.method for run in runs[: len(METHODS)]] == list(METHODS)  # prompt by prompt
    assert {run.seed for run in runs[: 4 * len(METHODS)]} == {0}
    for run in runs:
        assert all(layer.is_file() for layer in run.layers)
        assert "--prompt" in run.arguments and run.prompt in run.arguments


def test_the_numbers_are_means_over_prompts_of_means_over_seeds(runs):
    fabricate(runs)
    values = table1.values_of(EMBEDDED, [run.read() for run in runs])
    table = table1.estimates(EMBEDDED, values)
    assert table["dreamfusion"]["clip_score"].mean == pytest.approx(0.305)
    assert table[OURS]["clip_score"].mean == pytest.approx(0.405)
    assert table[OURS]["clip_score"].num == 4  # prompts, not objects
    assert table[OURS]["num_fronts"].num == 3  # a vase has no front
    assert table["dreamfusion"]["janus"].mean == table["dreamfusion"]["faceless"].mean == 0.5
    assert table[OURS]["janus"].mean == table[OURS]["faceless"].mean == 0.0


def test_comparisons_are_paired_by_prompt(runs):
    fabricate(runs)
    values = table1.values_of(EMBEDDED, [run.read() for run in runs])
    found, adjusted = table1.comparisons(EMBEDDED, values)["prolificdreamer", "clip_score"]
    assert found.difference == pytest.approx(found.low) == pytest.approx(found.high)
    assert found.difference == pytest.approx(0.1) and found.num == 4
    assert found.p == pytest.approx(2 / 2**4) and adjusted >= found.p
    compared = {key for _, key in table1.comparisons(EMBEDDED, values)}
    assert compared == {"clip_score", "r_precision", "a_lpips_embedded", "janus", "faceless"}


def test_only_common_prompts_and_seeds_are_compared(runs):
    fabricate(runs)
    for run in runs:
        if run.method == "dreamfusion" and (run.prompt == PROMPTS[3] or run.seed == 1):
            (run.folder / DONE).unlink()
    objects = [run.read() for run in runs if run.done()]
    values = table1.values_of(EMBEDDED, objects)
    paired = table1.comparisons(EMBEDDED, values)
    assert paired["dreamfusion", "clip_score"][0].num == 3
    assert paired["dreamfusion", "clip_score"][0].difference == pytest.approx(0.1)
    assert paired["prolificdreamer", "clip_score"][0].num == 4


def test_the_tables_say_how_they_were_made(runs, tmp_path, monkeypatch):
    fabricate(runs)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "experiments/paper/table1.py"), "--quick"])
    page = table1.write_tables(EMBEDDED, runs, tmp_path, quick=True)
    assert page == (tmp_path / "table1.md").read_text()
    for words in (
        "table1 --quick` at commit ", "Indicative",
        "| ReDream | 0.405 [", "| ProlificDreamer | CLIP score ↑ | +0.100 [+0.100, +0.100] | und",
        "4 prompts, 2 seed(s)",
    ):  # fmt: skip
        assert words in page, words
    assert "Unfinished" not in page
    with (tmp_path / "objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(runs) and float(rows[0]["clip_score"]) == 0.0
    with (tmp_path / "table1.csv").open() as file:
        table = {(row["method"], row["measure"]): row for row in csv.DictReader(file)}
    assert float(table[OURS, "a_lpips_embedded"]["mean"]) == pytest.approx(0.6)


def test_a_method_whose_network_is_not_made_is_named_with_the_command(runs, tmp_path):
    made = [run for run in runs if run.method != "mvdream"]
    fabricate(made)
    world = replace(EMBEDDED, needs={"mvdream": (tmp_path / "network", "python -m makes.it")})
    assert not world.ready("mvdream") and world.ready(OURS)
    page = table1.write_tables(world, made, tmp_path, quick=False)
    row = next(line for line in page.splitlines() if line.startswith("| MVDream |"))
    assert "missing: run `python -m makes.it` first" in row and "Unfinished" not in page
    (tmp_path / "network").mkdir()
    assert world.ready("mvdream") and world.what_lacks("mvdream") == ""


def test_models_and_the_truth_are_measured_where_the_world_knows_it(runs, tmp_path):
    fabricate(runs)
    world = replace(
        EMBEDDED,
        measure_model=lambda prompt, model: {"shape_f_score": 0.25 * model.name.endswith(".glb")},
        truth=lambda prompt, seed: {"clip_score": 0.875, "num_fronts": 1.0, "shape_f_score": 1.0},
    )
    page = table1.write_tables(world, runs, tmp_path, quick=False)
    own, ours = (
        next(line for line in page.splitlines() if line.startswith(name))
        for name in ("| *the world's own objects* |", "| ReDream |")
    )
    assert "0.875 [0.875, 0.875]" in own and "1.000 [0.398, 1.000]" in own  # 4
    assert "| 0.250 [0.099, 0.702] |" in ours
    assert "The objects were made at abc." in page
    unknown = replace(world, truth=lambda prompt, seed: {})
    for without in (EMBEDDED, unknown):
        assert "own objects" not in table1.write_tables(without, runs, tmp_path, quick=False)


def test_an_unfinished_table_says_so(runs, tmp_path):
    fabricate(runs[:5])
    page = table1.write_tables(EMBEDDED, runs, tmp_path, quick=False)
    assert f"**Unfinished: 5 of {len(runs)}.**" in page and "Indicative" not in page
    with pytest.raises(ValueError, match="no object is finished"):
        table1.write_tables(EMBEDDED, runs[15:], tmp_path, quick=False)


def test_methods_of_unequal_budgets_are_not_compared(runs, tmp_path):
    fabricate(runs)
    for run in runs:
        if run.method == OURS:
            finish(run, samples=2900, clip_score=0.5)
    page = table1.write_tables(EMBEDDED, runs, tmp_path, quick=False)
    assert (
        "**Unequal numbers of passes: asd 2760, dreamfusion 2760" in page and "redream 2900" in page
    )
    assert "| against |" not in page


def test_objects_without_a_front_are_not_counted_as_faceless():
    assert derive({"num_fronts": 0.0})["faceless"] == 1.0
    assert derive({"clip_score": 0.3}) == {"clip_score": 0.3}
    assert EMBEDDED.has_front("a spotted dog") and not EMBEDDED.has_front("a spotted vase")


# Resumption. A stand-in for `python -m redream` writes what a run leaves and counts itself.
STAND_IN = """
import json, os, sys, time
words = sys.argv
folder = words[words.index("--trainer.default_root_dir") + 1]
with open(os.environ["COUNT"], "a") as file:
    file.write(words[words.index("--prompt") + 1] + "\\n")
time.sleep(float(os.environ.get("SLEEP", 0)))
if os.environ.get("FAIL") == words[words.index("--prompt") + 1]:
    sys.exit("out of luck")
for name, facts in (
    ("metrics.json", {"particles": [{"clip_score": 0.5}]}),
    ("budget.json", {"passes": 1, "unet_samples": 1, "unet_calls": 1, "steps": 1, "seconds": 1.0}),
):
    with open(os.path.join(folder, name), "w") as file:
        json.dump(facts, file)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    package = tmp_path / "stand_in" / "redream"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(STAND_IN)
    monkeypatch.setattr(runs_module, "ROOT", package.parent)  # where `-m redream` is looked up
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    return lambda: (tmp_path / "count").read_text().splitlines()


def small_plan(root, prompts=PROMPTS):
    layer = root / "layer.yaml"
    layer.write_text("model: {}\n")
    return [Run("redream", prompt, 0, (layer,), (), root / "runs") for prompt in prompts]


def test_finished_runs_are_kept_and_the_rest_is_made(tmp_path, stand_in):
    plan = small_plan(tmp_path)
    finish(plan[1], clip_score=0.9)
    (plan[2].folder / "previews").mkdir(parents=True)  # half of a run
    assert execute_all(plan) == []
    assert sorted(stand_in()) == sorted([PROMPTS[0], PROMPTS[2], PROMPTS[3]])
    assert not (plan[2].folder / "previews").exists()
    assert plan[1].read()["measures"]["clip_score"] == 0.9
    assert plan[0].read()["measures"]["clip_score"] == 0.5
    execute_all(plan)
    assert len(stand_in()) == 3


def test_any_number_of_processes_makes_each_run_once(tmp_path, stand_in, monkeypatch):
    monkeypatch.setenv("SLEEP", "0.05")
    plan = small_plan(tmp_path)
    others = [threading.Thread(target=execute_all, args=(plan, 2)) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    execute_all(plan)  # what another was still at when these looked
    assert sorted(stand_in()) == sorted(PROMPTS)


def test_a_process_that_was_killed_leaves_nothing_locked(tmp_path, stand_in, monkeypatch):
    (run,) = small_plan(tmp_path, PROMPTS[:1])
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from experiments.paper import locks\n"
        "from pathlib import Path\n"
        f"with locks.claim(Path({str(run.folder)!r})):\n"
        "    print('held', flush=True); import time; time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert execute(run) is False  # another is at it
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    time.sleep(0.01)
    assert execute(run) is True


def test_a_failure_is_told_and_tried_again(tmp_path, stand_in, monkeypatch):
    plan = small_plan(tmp_path)
    monkeypatch.setenv("FAIL", PROMPTS[2])
    (failure,) = execute_all(plan)
    assert "out of luck" in failure and plan[2].done() is None
    assert all(run.done() for run in plan if run.prompt != PROMPTS[2])
    monkeypatch.delenv("FAIL")
    assert execute_all(plan) == [] and plan[2].done()


def test_runs_of_other_settings_are_not_mistaken_for_these(tmp_path):
    (run,) = small_plan(tmp_path, PROMPTS[:1])
    finish(run, clip_score=0.5)
    run.layers[0].write_text("model: {guidance_scale: 9}\n")
    with pytest.raises(ValueError, match="made with other settings"):
        run.done()


def test_a_run_of_other_settings_stops_no_other_and_is_told_in_a_line(tmp_path, stand_in, capsys):
    plan = small_plan(tmp_path)
    finish(plan[0], clip_score=0.5)
    facts = json.loads((plan[0].folder / DONE).read_text())
    (plan[0].folder / DONE).write_text(json.dumps(facts | {"recipe": "another"}))
    (failure,) = execute_all(plan)
    assert "made with other settings" in failure
    assert sorted(stand_in()) == sorted(PROMPTS[1:])

    def main():
        table1.read_objects(EMBEDDED, plan)
        raise AssertionError

    assert in_one_line(main) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].endswith("delete it, or choose another --out")


def test_what_changes_no_setting_keeps_finished_runs(tmp_path):
    run = small_plan(tmp_path, PROMPTS[:1])[0]
    low, high = tmp_path / "low.yaml", tmp_path / "high.yaml"
    low.write_text("model: {scale: 3.0, way: {class_path: SDS, init_args: {clip: 1}}}")
    high.write_text("model: {scale: 7.5, way: {class_path: VSD}}")
    run = replace(run, layers=(low, high))
    finish(run, clip_score=0.5)
    low.write_text("# said again\nmodel: {scale: {start: 9.0, end: 3.0}, way: {class_path: SDS}}")
    assert run.done() is not None
    low.write_text("model: {scale: 3.0, other: 1, way: {class_path: SDS}}")
    with pytest.raises(ValueError, match="made with other settings"):
        run.done()


def test_the_embedded_prompts_are_24_and_12_others():
    from redream.mini.categories import CATEGORIES
    from redream.mini.prepare import pair_captions

    test, tuning = read_prompts(EMBEDDED.prompts), read_prompts(EMBEDDED.tuning)
    assert len(set(test)) == 24 and len(set(tuning)) == 12 and not set(test) & set(tuning)
    assert {*test, *tuning} <= set(pair_captions())
    assert {prompt.split()[-1] for prompt in test} == set(CATEGORIES)
    assert len(set(read_prompts(WORLDS["real"].prompts))) == 50


@pytest.mark.parametrize(("world", "method"), [("embedded", "prolificdreamer"), ("real", OURS)])
def test_the_layers_make_a_configuration(world, method, monkeypatch, capsys):
    from redream.tools import run as tool

    monkeypatch.chdir(ROOT)
    run = Run(method, "a dog", 0, tuple(WORLDS[world].layers(method)), (), ROOT / "outputs")
    with pytest.raises(SystemExit):
        tool.main("fit", [*run.arguments[1:], "--print_config"])
    printed = capsys.readouterr().out
    assert "redream.callbacks.Budget" in printed and "num_particles: 1" in printed
    assert ("max_passes: 3980" in printed) == (world == "embedded")
