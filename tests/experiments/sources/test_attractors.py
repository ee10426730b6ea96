"""The study of sources: its table from known numbers, sources as it says, objects that are made."""

import json

import numpy as np
import pytest

from experiments.paper.shape import points_of_scene, shape_f_score
from experiments.sources import attractors
from experiments.sources.attractors import Bench, Case, cases, data_of, table
from experiments.sources.turned import best_turn, shape_f_score_of_any_turn, turned
from redream.mini.scene import make_scene

WRONG = Case("mixed", "wrong", 0.04)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("attractors"))


def test_the_table_tells_means_differences_and_what_is_decided():
    rng = np.random.default_rng(0)
    values = {}
    for number in range(12):
        noise = rng.normal(scale=0.01)
        values[f"a red dog {number}"] = {
            case.title: {
                "f_score": 0.5 + noise + (0.2 if case == WRONG else 0.0),
                "num_generated": 3.0 if case.source == "generated" else 0.0,
            }
            for case in cases()
        }
    lines = table(values, 24, 0.25, cases()).splitlines()
    assert "12 of 24 test prompts" in lines[0] and "floor of the mixtures is 0.250" in lines[0]
    rows = {line.split(" | ")[0].strip("| "): line for line in lines[4:]}
    assert len(rows) == len(cases()) == 11
    assert "+0.200 [+0.200, +0.200]" in rows[WRONG.title]
    assert "undecided" not in rows[WRONG.title]
    assert (
        "+0.000" in rows["generator of noise 0.04"]
        and "undecided" in rows["generator of noise 0.04"]
    )
    assert rows["retrieved from the whole library"].endswith("| 0.0 |  |  |")


def test_the_table_of_few_prompts_has_no_interval_that_is_none():
    values = {"a red dog": {c.title: {"f_score": 0.5, "num_generated": 0.0} for c in cases()}}
    of_one = table(values, 24, 0.25, cases(), of_objects=True)
    assert "nan" not in of_one and "| 0.500 | 0.0 | +0.000 | 1.000 undecided |" in of_one
    assert "fewer than 6 prompts decide nothing" in of_one
    values |= {f"a red dog {i}": values["a red dog"] for i in range(2)}
    assert "| 0.500 [0.146, 0.854] |" in table(values, 24, 0.25, cases())


@pytest.mark.parametrize(("text", "said"), [(None, "No such file"), ("x", "write <!-- objects")])
def test_a_page_without_a_place_is_said_before_anything_is_made(text, said, tmp_path, capsys):
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text)
    words = ["--objects", "--out", str(tmp_path / "out"), "--page", str(page)]
    with pytest.raises(SystemExit, match="2"):
        attractors.main(words)
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_shape_is_like_itself_whichever_way_it_faces():
    scenes = [("bus", 0), ("bus", 1), ("car", 0)]
    *truths, car = (
        points_of_scene(make_scene(category, "golden", "red", np.random.default_rng(seed)))
        for category, seed in scenes
    )
    seen = turned(truths[1], 33.0)
    assert abs(best_turn(seen, truths) - 327.0) <= 5.0
    assert shape_f_score_of_any_turn(seen, truths) > 0.95 > 0.7 > shape_f_score(seen, truths)
    assert shape_f_score_of_any_turn(truths[0], truths) == pytest.approx(1.0)
    assert shape_f_score_of_any_turn(car, truths) < 0.7
    assert shape_f_score_of_any_turn(seen[:0], truths) == 0.0


def test_where_nothing_is_alike_what_is_mixed_is_generated(bench):
    prompt = "a golden elephant"
    retrieved = bench.retriever(Case("retrieved", "wrong", 0.0), prompt).retrieve(prompt, 3)
    assert all("elephant" not in asset.caption for asset in retrieved)
    scores = [asset.scores["image"] for asset in retrieved]
    mixed = bench.retriever(WRONG, prompt).retrieve(prompt, 3)
    reach = sum(score >= bench.floor for score in scores)
    if reach < 3:
        assert any(asset.origin == "generated" for asset in mixed)
    assert all(score >= bench.floor or asset.origin == "generated"
               for asset in mixed for score in [asset.scores["image"]])  # fmt: skip


def test_a_shape_is_measured_once(bench, monkeypatch):
    asked = []
    monkeypatch.setattr(attractors, "individuals", lambda category: [category])
    monkeypatch.setattr(attractors, "visible_points", lambda vertices, faces: vertices)
    monkeypatch.setattr(
        attractors, "shape_f_score_of_any_turn", lambda points, truths: asked.append(truths) or 0.25
    )
    case = Case("generated", "none", 0.04)
    assert bench.measure(case, "a golden dog") == {"f_score": 0.25, "num_generated": 3.0}
    assert len(asked) == 3
    bench.measure(case, "a golden dog")
    assert len(asked) == 3


def test_the_config_of_a_case_names_its_sources(bench):
    data = data_of(WRONG, "a golden elephant", bench)
    arguments = data["retriever"]["init_args"]
    assert list(arguments["sources"]) == ["library", "generated"]
    assert arguments["floor"] == bench.floor and data["store"] is None
    retrieved = data_of(Case("retrieved", "whole", 0.0), "a golden elephant", bench)
    assert "floor" not in retrieved["retriever"]["init_args"]


def test_what_is_compared_may_be_a_part():
    assert [case.title for case in cases(["wrong"], [0.04])] == [
        "retrieved from all but the prompt's category", WRONG.title,
    ]  # fmt: skip
    assert all(case.library != "none" for case in cases(["32nd", "wrong"]))
    assert Case("generated", "none", 0.04) in cases(["whole"], [0.04])


def test_objects_are_of_prompts_that_have_all_of_them(bench, monkeypatch):
    made, compared = [], cases(["wrong"], [0.04])

    def make(runs, num_processes):
        made.extend(runs)
        for run in runs if len(made) == len(compared) else runs[:1]:
            run.folder.mkdir(parents=True)
            (run.folder / "done.json").write_text(json.dumps({"recipe": run.recipe}))
        return []

    monkeypatch.setattr(attractors, "execute_all", make)
    prompts = ["a golden elephant", "a striped dog"]
    assert attractors.objects(bench, prompts, compared, minutes=0.0) == ({}, []) and not made
    values, failures = attractors.objects(bench, prompts, compared)
    assert list(values) == prompts[:1] and not failures and len(made) == 4
    assert [each["f_score"] for each in values[prompts[0]].values()] == [0.0, 0.0]  # no surface
    assert values[prompts[0]][compared[0].title]["num_generated"] == 0.0
    assert "1 of 24 test prompts" in table(values, 24, bench.floor, compared, of_objects=True)
    assert made[0].layers[-1].name == "retrieved-wrong-0-a-golden-elephant.yaml"
