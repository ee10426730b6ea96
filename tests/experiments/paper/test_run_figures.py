"""Figures that are read from runs, on fabricated ones whose truth is known."""

import shutil

import pytest
import torch
from fabricated_runs import draw, finish, grow

from experiments.paper import fig07_08, fig10_16, fig18, galleries, table1
from experiments.paper.record import write_record
from experiments.paper.world import METHODS, OURS, WORLDS

EMBEDDED = WORLDS["embedded"]
PROMPTS = ["a chequered bus", "a golden knight", "a marble vase"]
BASELINE = galleries.BASELINE


class BrightnessClip:
    """Sees nothing but brightness: the cosine with any text is the picture's shade."""

    def encode_texts(self, texts):
        return torch.tensor([[1.0, 0.0]]).expand(len(texts), 2)

    def encode_images(self, pictures):
        shade = pictures.mean((1, 2, 3))
        return torch.stack([shade, (1.0 - shade.square()).clamp_min(0.0).sqrt()], 1)


@pytest.fixture
def runs(tmp_path):
    """Table 1's runs: ours is finished for all prompts, the baseline's for all but the last."""
    plan = table1.plan(EMBEDDED, METHODS, PROMPTS, [0], tmp_path / "runs")
    runs = {(run.method, run.prompt): run for run in plan}
    for (method, prompt), run in runs.items():
        if method == OURS or (method == BASELINE and prompt != PROMPTS[2]):
            finish(run, num_fronts=1.0 if method == OURS else 2.0, clip_score=0.5)
            draw(run, [(0.1, 0.8, 0.1)])
    return runs


def test_galleries_show_what_is_finished(runs, tmp_path):
    record = galleries.record(EMBEDDED, PROMPTS, tmp_path, quick=True)
    assert (record.finished, record.planned) == (5, 6)
    assert [picture.file for picture in record.pictures] == ["fig03.png", "fig06.png", "fig13.png"]
    assert all((tmp_path / picture.file).is_file() for picture in record.pictures)
    fronted = [(runs[BASELINE, p], runs[OURS, p]) for p in PROMPTS[:2]]
    rows = galleries.against_baseline(fronted)
    assert [text.partition(": ")[2][0] for text, _ in rows] == ["2", "1", "2", "1"]
    assert all(pictures.shape == (4, 3, 96, 96) for _, pictures in rows)
    ((_, first), *_) = galleries.beside_asset([runs[OURS, PROMPTS[0]]])
    assert first[0].std() < 0.01 and first[1, 1].mean() > 2 * first[1, 0].mean()  # grey, green
    with pytest.raises(ValueError, match=r"run table1\.py there"):
        galleries.record(EMBEDDED, PROMPTS, tmp_path / "elsewhere", quick=True)


def test_galleries_of_runs_that_are_gone_are_kept_and_others_added(runs, tmp_path):
    first = tmp_path / "first"
    write_record(galleries.record(EMBEDDED, PROMPTS, tmp_path, quick=False), tmp_path / "a.json")
    first.mkdir()
    for file in ("a.json", "fig03.png", "fig06.png", "fig13.png"):
        (tmp_path / file).rename(first / file)
    with pytest.raises(ValueError, match="no object is finished"):
        galleries.extended(first / "a.json", EMBEDDED, PROMPTS, tmp_path)
    shutil.rmtree(tmp_path / "runs")
    prompts = [*PROMPTS, "a wooden tree", "a wooden cake"]
    for run in table1.plan(EMBEDDED, [OURS], prompts[3:], [0], tmp_path / "runs"):
        finish(run, num_fronts=0.0, clip_score=0.5)
        draw(run, [(0.1, 0.8, 0.1)])
    record = galleries.extended(first / "a.json", EMBEDDED, prompts, tmp_path)
    assert [each.file for each in record.pictures][-2:] == ["fig13.png", "fig13_after_3.png"]
    assert all((tmp_path / each.file).is_file() for each in record.pictures)
    assert (record.finished, record.planned) == (7, 10)
    assert list(record.numbers[OURS]) == [*prompts[3:], *PROMPTS]
    write_record(record, tmp_path / "a.json")
    for run in table1.plan(EMBEDDED, [OURS], ["a marble barrel"], [0], tmp_path / "runs"):
        finish(run, num_fronts=0.0, clip_score=0.5)
        draw(run, [(0.1, 0.8, 0.1)])
    prompts.append("a marble barrel")  # a third time, from and to the same folder
    again = galleries.extended(tmp_path / "a.json", EMBEDDED, prompts, tmp_path, quick=True)
    assert [each.file for each in again.pictures][-2:] == ["fig13_after_3.png", "fig13_after_5.png"]
    assert again.quick and f"drawn at {record.commit}" in again.page()


def test_the_score_follows_the_previews(runs):
    run = runs[OURS, PROMPTS[0]]
    grow(run, [0.2, 0.4, 0.6])
    points = fig10_16.curve(run, BrightnessClip())
    assert [point["steps"] for point in points] == [30, 60, 67]
    assert [point["passes"] for point in points] == [240, 480, 536]
    assert [point["score"] for point in points] == pytest.approx([0.2, 0.4, 0.6], abs=0.01)


def line(scores, samples_per_step):
    return [
        {
            "steps": 30 * (i + 1),
            "passes": 30 * (i + 1) * samples_per_step,
            "seconds": 3.0 * (i + 1),
            "score": score,
        }
        for i, score in enumerate(scores)
    ]


def test_convergence_is_when_the_baselines_last_score_is_reached():
    rising = [0.1 * i for i in range(1, 11)]  # 0.95 at the end, smoothed
    curves = {
        BASELINE: {"a": line(rising, 4), "b": line(rising, 4), "c": line(rising, 4)},
        OURS: {"a": line([1.0] * 5, 8), "b": line([0.0] * 5, 8)},  # at once, and never
    }
    found = fig10_16.convergence(curves)
    last, first = curves[BASELINE]["a"][-1], curves[OURS]["a"][0]
    assert found[BASELINE] == {
        "num": 2, "reached": 2, "prompts": [last, last], "ends": [last, last], "steps": 300,
        "passes": 1200, "seconds": 30.0,
    }  # fmt: skip
    assert found[OURS] == {
        "num": 2, "reached": 1, "prompts": [first, None], "steps": 30, "passes": 240,
        "seconds": 3.0, "ends": [curves[OURS][name][-1] for name in "ab"],
    }  # fmt: skip
    page = fig10_16.record(curves, {}, [], 6, quick=False).page()
    assert "| ReDream | 1 of 2 | 30 | 240 | 3 |" in page
    assert "| ProlificDreamer | 2 of 2 | 300 | 1200 | 30 |" in page
    assert "**Unfinished: 5 of 6.**" in page


def test_shares_of_a_run_are_shares_of_its_samples():
    points = line([0.0] * 10, 4)
    assert fig10_16.at_share(points, 0.4)["steps"] == 120
    assert fig10_16.at_share(points, 1.0)["steps"] == 300
    assert fig10_16.at_share(points, 0.01)["steps"] == 30


def test_outlines_overlap_as_their_areas_do():
    left = torch.zeros(2, 8, 8)
    left[:, :, :4] = 1.0
    half = left.clone()
    half[:, :4] = 0.0
    assert fig07_08.overlap(left, left) == 1.0
    assert fig07_08.overlap(left, 1.0 - left) == 0.0
    assert fig07_08.overlap(left, half) == pytest.approx(0.5)


def test_an_asset_alone_is_what_a_run_retrieves(tmp_path):
    from redream.mini.prepare import embedded_world
    from redream.retrieval import Encoder, ExactRetriever

    asked = fig07_08.Asked("a golden cat", "a clay dog")
    index = fig07_08.index_of(asked, tmp_path)
    alone = fig07_08.one_asset_index(asked, index)
    encoder = Encoder(str(embedded_world().retrieval_clip))
    (asset,) = ExactRetriever(index, encoder).retrieve(asked.prompt, 1)
    assert asset.uid == alone.uid and "dog" in asset.caption
    run = fig07_08.run_of(asked, tmp_path)
    assert f"--data.retriever.init_args.index={index}" in run.arguments


def test_the_members_of_both_figures_differ_in_one_thing():
    dogs = [asked for asked in fig07_08.FIG07 if asked.asset == "a clay dog"]
    assert len({asked.prompt for asked in dogs}) == len(dogs) > 2
    assert len({asked.prompt for asked in fig07_08.FIG08}) == 1
    assert set(fig07_08.QUICK) <= {*fig07_08.FIG07, *fig07_08.FIG08}
    measured = {
        asked: {"shape": None if asked == fig07_08.FIG08[2] else 0.5, "clip_score": 0.25}
        for asked in fig07_08.QUICK
    }
    page = fig07_08.record(measured, [], 6, quick=True).page()
    assert "| 7 | a clay dog | a golden cat | 0.50 | 0.250 |" in page
    assert "| 8 | a clay dog | a golden cat | 0.50 | 0.250 |" in page  # one run, in both figures
    assert "| 8 | a clay elephant | a golden cat | no surface | 0.250 |" in page


def test_diversity_is_how_far_particles_are_apart():
    clip = BrightnessClip()
    dark, bright = torch.zeros(8, 3, 4, 4), torch.ones(8, 3, 4, 4)
    assert fig18.diversity([dark], clip) is None
    assert fig18.diversity([dark, dark], clip) == pytest.approx(0.0)
    assert fig18.diversity([dark, bright], clip) == pytest.approx(1.0)
    assert fig18.diversity([dark, dark, bright, bright], clip) == pytest.approx(4 / 6)


def test_particles_are_compared_by_their_number(tmp_path):
    runs = fig18.plan(EMBEDDED, PROMPTS[:2], tmp_path)
    assert len(runs) == 6 and len({run.folder for run in runs.values()}) == 6
    measured = {}
    for (prompt, count), run in runs.items():
        finish(run, particles=[{"clip_score": 0.1 * count, "num_fronts": 2.0}] * count)
        draw(run, [(i / 4, i / 4, i / 4) for i in range(1, count + 1)])
        measured[prompt, count] = fig18.measure(run, count, BrightnessClip())
    assert measured[PROMPTS[0], 4]["diversity"] > measured[PROMPTS[0], 2]["diversity"] > 0.01
    page = fig18.record(measured, [], 6, quick=False).page()
    assert "| 1 | - | 0.100 [0.100, 0.100] | 1.00 [0.16, 1.00] | 2.0 | 2 |" in page
    assert "| 4 | 0." in page
    rows = fig18.rows_of(measured)
    assert [len(pictures) for _, pictures in rows] == [2, 4, 8, 2, 4, 8]


def test_the_budget_of_several_particles_is_not_that_of_one(tmp_path, monkeypatch, capsys):
    from experiments.paper.world import ROOT
    from redream.tools import run as tool

    monkeypatch.chdir(ROOT)
    run = fig18.plan(EMBEDDED, PROMPTS[:1], tmp_path)[PROMPTS[0], 4]
    with pytest.raises(SystemExit):
        tool.main("fit", [*run.arguments[1:], "--print_config"])
    printed = capsys.readouterr().out
    assert "max_passes: null" in printed and "num_particles: 4" in printed
    assert "num_frames: 120" in printed
