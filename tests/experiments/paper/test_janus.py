"""With and without evidence of poses: the plan, the verdicts and the page, on fabricated runs."""

from dataclasses import replace

import pytest
import torch
from fabricated_runs import draw, finish

from experiments.paper import janus, record
from experiments.paper.world import WORLDS

WORLD = replace(janus.world_of(WORLDS["embedded"]), measure_model=None)
PROMPTS = ["a marble vase", *(f"a {each} dog" for each in "red big old new wet shy".split())]


@pytest.fixture
def runs(tmp_path):
    """Seven prompts, two seeds: the form halves ASD's fronts, and costs it a tenth of its shape."""
    runs = janus.plan(WORLD, ["asd"], ["even"], PROMPTS, [0, 1], tmp_path / "runs")
    for run in runs[:-2]:  # the last prompt's second seed is not made
        formed = "@" in run.method
        finish(
            run, num_fronts=1 if formed else 2, clip_score=0.7,
            shape_f_score=0.4 if formed else 0.5,
        )  # fmt: skip
        draw(run, [(0.2, 0.4, 0.6)])
    return runs


def test_the_plan_pairs_each_method_with_its_forms_and_shares_table_1s(tmp_path):
    runs = janus.plan(WORLD, janus.WAYS, list(janus.FORMS), PROMPTS, [0, 1], tmp_path)
    assert len(runs) == 7 * 2 * 9 == len({run.folder for run in runs})
    assert runs[-1].prompt == "a marble vase"  # it has no front, and can wait
    plain, even, doubt = runs[:3]
    assert plain.layers == tuple(WORLDS["embedded"].layers("redream")) and plain.options == ()
    assert {*even.layers} - {*plain.layers} == {janus._OVERLAY} and even.options == ()
    assert even.layers == doubt.layers and "doubt" in doubt.options[1]
    assert even.layers[-1] == plain.layers[-1]  # what all are measured by


def test_edges_fall_with_blur():
    film = torch.rand(2, 3, 16, 16)
    assert janus.edges(torch.full((2, 3, 8, 8), 0.3)) == 0.0
    stripes = (torch.arange(16) % 2).float().expand(1, 3, 16, 16)
    assert janus.edges(stripes) == pytest.approx(0.5)  # 1 across, 0 down
    blurred = torch.nn.functional.avg_pool2d(film, 3, stride=1, padding=1)
    assert janus.edges(blurred) < 0.5 * janus.edges(film)


def test_verdicts_are_paired_by_prompt_and_adjusted(runs, tmp_path):
    objects = janus.read(WORLD, runs)
    found = janus.record(WORLD, objects, [], len(runs), quick=False)
    page = found.page()
    assert "**Unfinished: 26 of 28.**" in page
    rows = [line for line in page.splitlines() if line.startswith("| ASD | even | ")]
    (janus_row,) = [row for row in rows if "| two or more fronts" in row]
    # six prompts with a front, all alike: p = 2 / 2^6; the second smallest of five: times 4
    assert "-1.000 [-1.000, -0.081] | 0.031 | 0.125 | undecided | 6 |" in janus_row
    (shape,) = [row for row in rows if "| shape" in row]  # the vase counts here: 2 / 2^7
    assert "-0.100 [-0.469, +0.351] | 0.016 | 0.078 | undecided | 7 |" in shape
    assert "| ASD | as it is | 2.00 [2.00, 2.00] |" in page


def test_unequal_budgets_are_not_compared(runs):
    objects = janus.read(WORLD, runs)
    objects[0]["passes"] *= 9
    page = janus.record(WORLD, objects, [], len(runs), quick=False).page()
    assert "Unequal numbers of passes" in page and "p (Holm)" not in page


def test_the_page_keeps_what_is_not_measured(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "commit", lambda: "0123456789")
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "janus.md"
    page.write_text("# One face\n\nWords.\n\n## Measured\n\nNothing yet.\n")
    pictures = janus.sheets(WORLD, runs, tmp_path)
    assert len(pictures) == 8 and all("marble" not in each.file for each in pictures)
    found = replace(
        janus.record(WORLD, janus.read(WORLD, runs), pictures, len(runs), quick=False),
        commit="0123456789", command="python -m experiments.paper.janus",
    )  # fmt: skip
    record.write_record(found, tmp_path / "janus.json")
    janus.write_page(page, tmp_path / "janus.json")
    text = page.read_text()
    assert text.startswith("# One face\n\nWords.\n\n## Measured\n\nMade by `python -m exp")
    assert "Nothing yet" not in text and text.count("## ") == 1
    assert (tmp_path / "docs" / "images" / "janus" / pictures[0].file).is_file()
    janus.write_page(page, tmp_path / "janus.json")
    assert page.read_text() == text
    page.write_text("# One face\n")
    with pytest.raises(ValueError, match="has no heading '## Measured'"):
        janus.write_page(page, tmp_path / "janus.json")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--report"], "no object is finished in"),
        (["--prompts", "nowhere.txt"], "No such file or directory: 'nowhere.txt'"),
        (["--forms", "odd"], "invalid choice: 'odd'"),
    ],
)
def test_bad_arguments_are_a_line(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["janus", "--out", str(tmp_path / "new"), *arguments])
    with pytest.raises(SystemExit) as leaving:
        janus.main()
    assert leaving.value.code == 2
    assert says in capsys.readouterr().err.splitlines()[-1]
