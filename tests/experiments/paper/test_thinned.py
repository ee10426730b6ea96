"""The study of thinned libraries, on fabricated runs whose gains are known."""

from dataclasses import replace

import numpy as np
import pytest
from fabricated_runs import finish

from experiments.paper import thinned
from experiments.paper.thinned import LIBRARIES, SHARES, WITHOUT, WRONG, Point
from experiments.paper.world import WORLDS

EMBEDDED = replace(WORLDS["embedded"], measure_model=None, truth=None)
PROMPTS = [f"a {m} {c}" for m in ("spotted", "golden") for c in ("dog", "cat", "car", "house")]
CAPTIONS = [f"a clay {category}" for category in ("dog", "cat", "car", "house") for _ in range(16)]
LIKENESS = dict(zip(LIBRARIES, (0.9, 0.8, 0.5, 0.3, 0.1), strict=True))


def test_a_thinner_library_is_a_part_of_the_one_before():
    rows = {name: set(thinned.rows_of(name, CAPTIONS, "a spotted dog").tolist()) for name in SHARES}
    assert [len(rows[name]) for name in SHARES] == [64, 32, 8, 2]
    assert rows["32nd"] < rows["eighth"] < rows["half"] < rows["whole"]
    assert len(thinned.rows_of("32nd", CAPTIONS[:3], "a spotted dog")) == 1  # never empty


def test_a_wrong_library_has_all_but_the_prompts_category():
    rows = thinned.rows_of(WRONG, CAPTIONS, "a spotted dog")
    assert len(rows) == 48 and {CAPTIONS[row].split()[-1] for row in rows} == {
        "cat",
        "car",
        "house",
    }


def test_the_plan_shares_table_1s_objects_and_names_an_index_for_the_others(tmp_path):
    runs = thinned.plan(EMBEDDED, PROMPTS, tmp_path)
    assert len(runs) == len(PROMPTS) * (len(LIBRARIES) + 1)
    assert len({run.folder for run in runs.values()}) == len(runs)
    whole = runs["whole", PROMPTS[0]]
    assert whole.method == "redream" and whole.options == ()
    wrong = [runs[WRONG, prompt].options[0] for prompt in PROMPTS]
    assert wrong[0] == wrong[4] != wrong[1]  # one for a category
    assert wrong[0].endswith("indices/wrong_dog")


def test_an_index_of_a_library_is_retrieved_from(tmp_path):
    prompt = "a spotted dog"
    nearest = {}
    for library in ("whole", WRONG):
        index = thinned.write_library_index(library, prompt, tmp_path)
        assert thinned.write_library_index(library, prompt, tmp_path) == index  # kept
        nearest[library] = thinned.similarity(index, prompt)
    assert nearest["whole"] > nearest[WRONG] + 0.1


@pytest.fixture
def objects(tmp_path):
    """Retrieval gains half of what the nearest asset is alike beyond 0.4, and harms below."""
    runs = thinned.plan(EMBEDDED, PROMPTS, tmp_path)
    for (library, prompt), run in runs.items():
        base = 0.3 + 0.01 * PROMPTS.index(prompt)
        gain = 0.0 if library == WITHOUT else 0.5 * (LIKENESS[library] - 0.4)
        finish(run, clip_score=base + gain, num_fronts=1.0, shape_f_score=base + gain)
    return [run.read() for run in runs.values()]


def test_gains_are_over_the_same_prompt_without_retrieval(objects):
    points = thinned.points_of(EMBEDDED, objects, "shape_f_score", lambda lib, _: LIKENESS[lib])
    assert len(points) == len(PROMPTS) * len(LIBRARIES)
    for point in points:
        assert point.gain == pytest.approx(0.5 * (point.similarity - 0.4))
    line = thinned.curve(points, num_bins=5)
    assert [at for at, _ in line] == pytest.approx(sorted(LIKENESS.values()))
    assert [each.mean for _, each in line] == pytest.approx([-0.15, -0.05, 0.05, 0.2, 0.25])
    assert {each.num for _, each in line} == {len(PROMPTS)}  # prompts, not objects


def test_without_what_it_is_compared_with_there_is_no_gain(objects):
    rest = [each for each in objects if each["method"] != WITHOUT]
    assert thinned.points_of(EMBEDDED, rest, "shape_f_score", lambda *_: 0.5) == []


def test_the_page_says_which_libraries_help_and_which_harm(objects):
    rng = np.random.default_rng(0)
    points = {
        "shape_f_score": [
            Point(prompt, library, LIKENESS[library], gain + 0.01 * rng.normal())
            for prompt in [
                *PROMPTS,
                "a marble dog",
                "a marble cat",
                "a marble car",
                "a marble house",
            ]
            for library, gain in zip(LIBRARIES, (0.3, 0.2, 0.0, -0.1, -0.3), strict=True)
        ]
    }
    page = thinned.record(EMBEDDED, objects, points, 48, quick=False).page()
    table = {line.split(" | ")[1]: line for line in page.splitlines() if "| shape F" in line}
    assert "| helps |" in table["the whole library"] and "| helps |" in table["a half"]
    assert "| harms |" in table["all but the prompt's category"]
    assert "| undecided |" in table["an eighth"]
    _, _, paired = page.partition("against all of it but the prompt's category")
    row = next(line for line in paired.splitlines() if "| shape F-score ↑ | +" in line)
    assert 0.58 < float(row.split()[5]) < 0.62
    assert row.endswith("| the whole library | 12 |")
    few = {"shape_f_score": [p for p in points["shape_f_score"] if p.prompt in PROMPTS[:5]]}
    page = thinned.record(EMBEDDED, objects, few, 48, quick=True).page()
    assert "helps" not in page and "harms" not in page  # five prompts decide nothing


def test_the_curve_is_drawn(objects, tmp_path):
    points = thinned.points_of(EMBEDDED, objects, "clip_score", lambda lib, _: LIKENESS[lib])
    drawn = thinned.draw(points, thinned.curve(points), "CLIP score")
    assert min(drawn.size) > 300 and len(set(drawn.resize((64, 32)).get_flattened_data())) > 3
