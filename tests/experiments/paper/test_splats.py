"""The table of NeRF against splats, from runs that are known."""

import json

import pytest

from experiments.paper import splats
from experiments.paper.runs import _ended, subprocess
from experiments.paper.world import ROOT, WORLDS

WORLD = WORLDS["embedded"]


def finish(run, cpu, model):
    """Writes what a finished run leaves."""
    run.folder.mkdir(parents=True)
    metrics = {"particles": [{"pattern_score": 0.5, "clip_score": 0.7}], "models": model}
    texts = {
        "metrics.json": metrics,
        "budget.json": {"passes": 9, "steps": 3, "seconds": 1.0},
        "done.json": {"recipe": run.recipe, "commit": "abc", "seconds": 2.0, "cpu_seconds": cpu},
    }
    for name, content in texts.items():
        (run.folder / name).write_text(json.dumps(content))


def test_each_way_lies_over_the_same_configuration_and_is_measured_last(tmp_path):
    nerf, cloud, ball = splats.plan(WORLD, list(splats.WAYS), ["a cube"], tmp_path)
    own = ROOT / "configs" / "splats.yaml"
    assert own not in nerf.layers and own in cloud.layers
    assert [each for each in cloud.layers if each != own] == list(nerf.layers)
    assert nerf.layers[-1] == cloud.layers[-1] and cloud.layers[-2] == own
    assert ball.layers == cloud.layers and ball.recipe != cloud.recipe
    with pytest.raises(ValueError, match="no way"):
        splats.plan(WORLD, ["voxels"], ["a cube"], tmp_path)


def test_the_table_is_of_prompts_that_both_ways_have_finished(tmp_path):
    runs = splats.plan(WORLD, ["NeRF", "Splats"], ["a cube", "a ball"], tmp_path)
    finish(runs[0], 100.0, [{"psnr_db": 20.0, "silhouette_iou": 0.9}])
    finish(runs[1], 50.0, [{}])  # without a surface
    finish(runs[2], 900.0, [{"psnr_db": 99.0, "silhouette_iou": 1.0}])  # alone
    found = splats.record(splats.read_objects(WORLD, runs), len(runs), False)
    text, table, *_ = found.parts
    assert "1 prompt(s) of 12" in text.text and "a cube" in text.text and "ball" not in text.text
    rows = {row[0]: dict(zip(table.head[1:], row[1:], strict=True)) for row in table.rows}
    assert rows["NeRF"]["CPU s ↓"] == "100" and rows["Splats"]["CPU s ↓"] == "50"
    assert rows["NeRF"]["PSNR of the mesh, dB ↑"] == "20"
    assert rows["Splats"]["PSNR of the mesh, dB ↑"] == "0"
    assert splats.record([], 4, False).parts[1].rows == []


def test_a_way_is_called_better_where_prompts_decide(tmp_path):
    prompts = [f"a cube {number}" for number in range(8)]
    runs = splats.plan(WORLD, ["NeRF", "Splats"], prompts, tmp_path)
    for index, run in enumerate(runs):
        nerf = run.method == "NeRF"
        psnr = (25.0 if nerf else 18.0) + 0.1 * index
        model = [{"psnr_db": psnr, "silhouette_iou": 0.9 + 0.01 * (index % 4 in (0, 3))}]
        finish(run, 100.0 + index if nerf else 50.0, model)
    *_, table = splats.record(splats.read_objects(WORLD, runs), len(runs), False).parts
    better = {row[0]: row[2] for row in table.rows}
    assert better["CPU s ↓"] == "Splats" and better["PSNR of the mesh, dB ↑"] == "NeRF"
    assert better["IoU of the mesh ↑"] == "undecided" == better["pattern score ↑"]
    assert float(table.rows[0][4]) == pytest.approx(6 * 2 / 2**8, abs=1e-3)  # Holm, six rows
    few = splats.record(splats.read_objects(WORLD, runs[:10]), 10, False).parts[-1]
    assert {row[2] for row in few.rows} == {"undecided"}


def test_cpu_seconds_are_those_of_the_process_itself():
    code = "import time, sys\nend = time.process_time() + 0.3\nwhile time.process_time() < end: 1\n"
    process = subprocess.Popen(["python3", "-c", code + "sys.exit(7)"])
    exit_code, seconds = _ended(process)
    assert exit_code == 7 and 0.3 <= seconds < 5.0
