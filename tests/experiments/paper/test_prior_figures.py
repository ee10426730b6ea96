"""Figures of retrieval and of the adapted prior, on fabricated records whose truth is known."""

import fcntl
import json
import threading
from functools import reduce
from types import SimpleNamespace

import pytest
import torch
from fabricated_runs import finish

from experiments.paper import efficiency, eq21, fig04, fig05, fig14, fig15, locks, table3
from experiments.paper.adapted import (
    CONFIG,
    LAYERS,
    LETTER_ADAPTER,
    RAW,
    TABLE1,
    WHOLE,
    options_of,
)
from experiments.paper.world import METHODS, OURS, WORLDS
from redream.mini.categories import CATEGORIES
from redream.mini.prepare import pair_captions
from redream.plain_data import read_yaml
from redream.tools.layers import merged

EMBEDDED = WORLDS["embedded"]
PROMPTS = ["a chequered bus", "a golden knight"]


def test_table_3_shows_rates_and_their_interval():
    judged = {
        method: {
            "num_assets": 10, "num_successes": 8, "rate": 0.8, "low": 0.49, "high": 0.943,
            "num_sideways": 2, "num_reversed": 0,
        }
        for method in table3.METHODS
    }  # fmt: skip
    found = table3.record({"fresh": judged, "real": judged}, quick=True)
    page = found.page()
    for assets in ("10 of the embedded world's, fresh", "10 of KayKit's, of Objaverse"):
        row = f"| {assets} | all views vote (default) | 80.0% [49.0%, 94.3%] | 20.0% | 0.0% |"
        assert row in page
    assert found.finished == found.planned == 20
    assert "Indicative" in page


def test_neighbours_are_right_where_they_name_the_category():
    assert fig05.names_category("a clay bus, grey", "a chequered bus")
    assert not fig05.names_category("a clay busker", "a chequered bus")
    bus, car = "a clay bus", "a clay car"
    captions = {
        PROMPTS[0]: {"text": [car, bus], "image": [bus, bus], "two_stage": [bus, car]},
        PROMPTS[1]: {"text": [car, car], "image": ["a knight", bus], "two_stage": [car, car]},
    }
    uids = {
        PROMPTS[0]: {"text": "ab", "image": "bc", "two_stage": "ab"},
        PROMPTS[1]: {"text": "ab", "image": "cd", "two_stage": "ab"},
    }
    page = fig05.record(captions, uids, [], quick=False).page()
    assert "| captions | 0% | 25% | 100% |" in page
    assert "| pictures | 100% | 75% | 25% |" in page
    assert "| captions, then pictures | 50% | 25% | 100% |" in page


def test_the_way_from_back_to_front_passes_the_side():
    views = torch.tensor([[[0.0]], [[1.0]], [[5.0]]])
    found = [float(fig04.between(views, alpha)) for alpha in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert found == [0.0, 0.5, 1.0, 3.0, 5.0]


def test_a_prior_that_turns_has_a_turn_of_one():
    steps = len(fig04.ALPHAS)
    turning = [[i / (steps - 1), 0.0, 1.0 - i / (steps - 1)] for i in range(steps)]
    stuck = [[1.0, 0.0, 0.0]] * steps
    kept = {p: {"seen": {RAW: stuck, WHOLE: turning}, "judge": 0.9} for p in PROMPTS}
    record = fig04.record(kept, [*PROMPTS, "a spotted dog"], quick=False)
    page = record.page()
    assert "| adapted, P(front) | 0.00 |" in page and "| 1.00 | 1.00 [-0.68, 1.00] |" in page
    assert "| adapted, P(back) | 1.00 |" in page and "| -1.00 [-1.00, 0.68] |" in page
    assert page.count("0.00 [-0.84, 0.84]") == 2  # both of the raw prior
    assert "90% of the assets' own renders" in page and "**Unfinished: 2 of 3.**" in page
    assert len(record.pictures) == 2


def test_priors_are_compared_view_by_view():
    def balance(front, back, confused):
        return {
            "accuracy": {"front": front, "side": 0.5, "back": back},
            "front_given_back": confused, "entropy": 0.75, "imbalance": 0.25,
        }  # fmt: skip

    kept = {
        prompt: {
            RAW: balance(1.0, 0.0, 1.0),
            LAYERS: balance(1.0, 0.5, 0.5),
            WHOLE: balance(1.0, 1.0, 0.0),
            LETTER_ADAPTER: balance(1.0, 0.5, 0.5),
        }
        for prompt in PROMPTS
    }
    page = fig14.record(kept, PROMPTS, quick=True).page()
    for name, back, confused in (
        ("raw", "0.00 [0.00, 0.84]", "1.00 [0.16, 1.00]"),
        ("layers only (a)", "0.50 [0.08, 0.92]", "0.50 [0.08, 0.92]"),
        ("layers and tokens (b)", "1.00 [0.16, 1.00]", "0.00 [0.00, 0.84]"),
    ):
        assert f"| {name} | 1.00 [0.16, 1.00] | 0.50 [0.08, 0.92] | {back} | {confused} |" in page


def test_prompts_drift_one_thing_at_a_time():
    fronted = [p for p in pair_captions() if CATEGORIES[p.split()[-1]].has_front]
    for prompt in [p for p in fronted if "plain" not in p][::7]:
        same, material, category, both = fig15.drift(prompt, fronted)
        assert same == prompt and {material, category, both} <= set(pair_captions())
        assert material.split()[2] == prompt.split()[2] and material != prompt
        assert both.split()[1] == material.split()[1]


def test_what_an_adapter_spoils_is_shown_beside_the_raw_prior():
    rung = {
        "prompt": "a golden knight",
        RAW: {"views": 0.25, "category": 1.0, "material": 0.75, "nearness": 0.5},
        WHOLE: {"views": 0.75, "category": 0.5, "material": 0.25, "nearness": 0.625},
    }
    kept = {PROMPTS[1]: {"rungs": [rung] * len(fig15.RUNGS)}}
    page = fig15.record(kept, PROMPTS, quick=True).page()
    cells = "| 0.25 / 0.75 | 1.00 / 0.50 | 0.75 / 0.25 | 0.50 / 0.62 |"
    assert all(f"| {name} {cells}" in page for name in fig15.RUNGS)


def test_the_velocity_is_a_share_of_the_priors():
    def facts(cosine):
        one = {"assets": [1.0, 1.0, 2.0, 1.0], "prior": [2.0, 2.0, 2.0, 2.0]}
        return {"one face": one, "two faces": one, "cosine": cosine}

    kept = {PROMPTS[0]: facts(0.5), PROMPTS[1]: facts(-0.25)}
    page = eq21.record(kept, PROMPTS, quick=True).page()
    assert "| one face | 0.50 [0.50, 0.50] | 0.50 [0.50, 0.50] | 1.00 [1.00, 1.00] |" in page
    assert "0.12 in the mean, and positive for 1 of 2 prompt(s)" in page


def test_time_is_of_runs_and_of_their_own_adaptation_alone(tmp_path, monkeypatch):
    from experiments.paper.table1 import plan

    with pytest.raises(ValueError, match="no prompt has a run"):
        efficiency.record(efficiency.read(PROMPTS, tmp_path), 2, quick=False)
    for run in plan(EMBEDDED, METHODS, PROMPTS[1:2], [0], tmp_path / "runs"):
        if run.method == OURS:
            finish(run, num_fronts=1.0)
    facts = {"steps": 300, "adaptation": 40.0, "retrieval": 5.0, "rendering": 20.0}
    trained = {}
    monkeypatch.setattr(
        efficiency,
        "adapted",
        lambda *named: trained.setdefault(named, SimpleNamespace(facts=facts)),
    )
    found = efficiency.read(PROMPTS, tmp_path)
    assert list(trained) == [(PROMPTS[1], tmp_path / "adapters", TABLE1)]
    assert found == {
        PROMPTS[1]: {"retrieval": 5.0, "rendering": 20.0, "adaptation": 40.0, "training": 100.0}
    }
    page = efficiency.record(found, 2, quick=False).page()
    assert "| adaptation, measured alone | 40.0 | 32% |" in page
    assert "| distillation, adaptation beside it | 100.0 | 80% |" in page
    assert "**Unfinished: 1 of 2.**" in page


def layered(paths):
    """The method's part of configurations, each laid over the one before."""
    return reduce(merged, map(read_yaml, paths))["model"]


def test_the_adaptation_that_is_timed_is_table1s():
    """The options say all that the table's configuration changes of adapter and adaptation."""
    options = dict(each.removeprefix("--").split("=") for each in options_of(TABLE1))
    wanted, default = layered(EMBEDDED.layers(OURS)), layered([CONFIG])
    default["adaptation"]["batch_size"] = int(options.pop("model.adaptation.batch_size"))
    steps = options.pop("model.adapter.init_args.max_steps")
    default["adapter"]["init_args"]["max_steps"] = int(steps)
    assert options == {}
    for part in ("adapter", "adaptation", "prior"):
        assert wanted[part] == default[part]
    assert options_of(WHOLE) == ()


def test_pieces_are_made_once_and_kept(tmp_path):
    made = []

    def make(prompt):
        made.append(prompt)
        return {"length": len(prompt)}

    recipe = locks.digest(b"config", 3)
    for _ in range(2):
        kept = locks.keep_each(tmp_path, PROMPTS, recipe, make)
        assert kept == {prompt: {"length": len(prompt)} for prompt in PROMPTS}
    assert made == PROMPTS
    with pytest.raises(ValueError, match="other settings"):
        locks.keep_each(tmp_path, PROMPTS, locks.digest(b"config", 4), make)
    with pytest.raises(ZeroDivisionError):
        locks.keep(tmp_path / "fails.json", recipe, lambda: {"a": 1 / 0})
    assert not (tmp_path / "fails.json").exists()


def test_what_another_is_at_is_left_to_it_or_waited_for(tmp_path):
    path, found = tmp_path / "piece.json", []
    with locks.claim(path) as lock:
        assert lock is not None
        assert locks.keep(path, "r", lambda: {"a": 1}) is None
        waiting = threading.Thread(
            target=lambda: found.append(locks.keep(path, "r", lambda: {"a": 2}, wait=True))
        )
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive() and not path.exists()
    waiting.join()
    assert found == [{"a": 2}] and json.loads(path.read_text())["recipe"] == "r"


def test_what_another_process_makes_meanwhile_is_found_in_the_end(tmp_path):
    recipe = locks.digest(b"config")
    first = tmp_path / f"{locks.slug(PROMPTS[0])}.json"
    with locks.claim(first) as lock:
        assert lock is not None  # another process is at the first prompt

        def make(prompt):
            fcntl.flock(lock, fcntl.LOCK_UN)  # and ends while we are at the second
            return {"prompt": prompt}

        kept = locks.keep_each(tmp_path, PROMPTS, recipe, make)
    assert list(kept) == PROMPTS
    assert kept[PROMPTS[0]] == {"prompt": PROMPTS[0]}
