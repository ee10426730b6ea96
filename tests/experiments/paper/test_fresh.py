"""Claims asked again on fresh prompts: declared ones alone, and not before all is there."""

from dataclasses import replace

import pytest
from fabricated_runs import draw, finish

from experiments.paper import fresh
from experiments.paper.world import METHODS, OURS, WORLDS, read_prompts

EMBEDDED = replace(WORLDS["embedded"], measure_model=None, truth=None)


def fabricate(runs, ours_two_faced=0.0, theirs_two_faced=1.0):
    """Finishes runs; shares of the prompts show two fronts, spread evenly."""
    prompts = list(dict.fromkeys(run.prompt for run in runs))
    for run in runs:
        share = ours_two_faced if run.method == OURS else theirs_two_faced
        two = prompts.index(run.prompt) < round(share * len(prompts))
        finish(run, num_fronts=2.0 if two else 1.0, clip_score=0.5)


def page_of(runs, planned=None):
    objects = [run.read() for run in runs if run.done() is not None]
    return fresh.record(EMBEDDED, objects, [], planned or len(runs), quick=False).page()


def test_prompts_are_twenty_fronted_ones_of_no_other_file():
    from redream.mini.prepare import pair_captions
    from redream.mini.world import HELD_OUT

    prompts = read_prompts(fresh.PROMPTS)
    others = {*read_prompts(EMBEDDED.prompts), *read_prompts(EMBEDDED.tuning)}
    assert len(set(prompts)) == 20 and not others & set(prompts)
    assert set(prompts) <= set(pair_captions())
    assert all(EMBEDDED.has_front(prompt) for prompt in prompts)
    fronted = [prompt for prompt in read_prompts(EMBEDDED.prompts) if EMBEDDED.has_front(prompt)]
    seen = [
        [tuple(each.split()[1:]) not in HELD_OUT for each in part] for part in (prompts, fronted)
    ]
    assert [sum(each) for each in seen] == [20, 9]  # as the page says
    first = [prompt.split()[-1] for prompt in prompts[:14]]
    assert len(set(first)) == 14  # each category once before one comes twice


def test_a_difference_on_every_prompt_decides_both_claims(tmp_path):
    runs = fresh.planned(EMBEDDED, tmp_path)
    fabricate(runs)
    rows = [row for row in page_of(runs).splitlines() if row.startswith("| ReDream has fewer")]
    assert [row.split("|")[1].split()[-1] for row in rows] == [
        METHODS[method] for method in fresh.AGAINST
    ]
    assert all("| -1.000 [" in row and row.endswith("| 20 | **holds** |") for row in rows)


def test_the_other_way_round_both_do_not_hold(tmp_path):
    runs = fresh.planned(EMBEDDED, tmp_path)
    fabricate(runs, ours_two_faced=1.0, theirs_two_faced=0.0)
    assert page_of(runs).count("| 20 | **does not hold** |") == 2


def test_no_difference_decides_nothing(tmp_path):
    runs = fresh.planned(EMBEDDED, tmp_path)
    fabricate(runs, ours_two_faced=0.5, theirs_two_faced=0.5)
    page = page_of(runs)
    assert page.count("| 20 | undecided |") == 2 and "holds**" not in page


def test_nothing_is_decided_before_all_objects_are_made(tmp_path):
    runs = fresh.planned(EMBEDDED, tmp_path)
    fabricate(runs[:-1])
    page = page_of(runs[:-1], len(runs))
    assert "**Unfinished: 59 of 60.**" in page
    assert page.count("| unfinished |") == 2 and "holds**" not in page


def test_p_is_adjusted_for_these_claims_alone(tmp_path):
    runs = fresh.planned(EMBEDDED, tmp_path)
    fabricate(runs, theirs_two_faced=0.3)  # six of twenty, all one way: p = 2 / 2**6
    found = fresh.compared(EMBEDDED, [run.read() for run in runs])
    (first, second) = fresh.verdict_rows(found, finished=True)
    assert float(first[2]) == pytest.approx(2 / 2**6, abs=0.005)
    assert float(first[3]) == pytest.approx(2 * float(first[2]), abs=1e-4)
    assert first[-1] == second[-1] == "undecided"


def test_the_sheet_shows_prompts_that_every_method_has_made(tmp_path):
    runs = fresh.planned(EMBEDDED, tmp_path)
    assert fresh.sheet(runs, tmp_path) == []
    fabricate(runs[:5])
    for run in runs[:5]:  # the first prompt's three, and two of the second's
        draw(run, [(0.5, 0.5, 0.5)])
    (picture,) = fresh.sheet(runs, tmp_path)
    assert "DreamFusion, ProlificDreamer, ReDream" in picture.shows
    assert (tmp_path / picture.file).is_file()
