"""Adapters that were made ahead are found by all that decides them, and by nothing else."""

import copy
import inspect
import os
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from two_discs import Discs

from redream.adapters import LightAdapter
from redream.method.adaptation import Adaptation, AdaptationSchedule
from redream.method.adapter_cache import AdapterCache, adapt_or_find, key_of
from redream.priors import StableDiffusionPrior


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REDREAM_CACHE", str(tmp_path))
    return AdapterCache()


def made(sd_folder, seed=0, assets=None, schedule=None, **arguments):
    """An adaptation of the discs, before its first step."""
    torch.manual_seed(0)
    prior = StableDiffusionPrior(sd_folder)
    omega = LightAdapter(**(dict(rank=2, learning_rate=1e-2, max_steps=2) | arguments))
    omega.attach(prior)
    schedule = schedule or AdaptationSchedule(batch_size=2, ahead=True)
    return Adaptation(prior, omega, assets or Discs(), schedule, seed)


def learned(adaptation):
    return {name: each.detach().clone() for name, each in adaptation.adapter.named_parameters()}


def test_what_was_made_is_found_again_bit_by_bit_and_said(sd_folder, cache, capsys, monkeypatch):
    first, second = made(sd_folder), made(sd_folder)
    start = learned(first)
    adapt_or_find(first)
    assert "before the first step" in capsys.readouterr().err
    monkeypatch.setattr(Adaptation, "batch", None)  # nothing can be learned any more
    adapt_or_find(second)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--model.adaptation.cache false" in said
    for name, value in learned(second).items():
        assert torch.equal(value, learned(first)[name])
    assert any(not torch.equal(value, start[name]) for name, value in learned(second).items())


def test_without_the_cache_nothing_is_kept_or_found(sd_folder, cache, capsys):
    for _ in range(2):
        adapt_or_find(made(sd_folder, schedule=AdaptationSchedule(2, ahead=True, cache=False)))
    assert capsys.readouterr().err.count("before the first step") == 2
    assert not cache.folder.exists()


def turned():
    discs = Discs()
    rgba = discs.references.rgba.clone()
    rgba[3, 0, 5, 5] += 1 / 255
    discs.references = discs.references._replace(rgba=rgba)
    return discs


def renamed():
    discs = Discs()
    discs.references = discs.references._replace(captions=("a cat", "a bush"))
    return discs


OTHERS = {
    "a pixel of a view": lambda: {"assets": turned()},
    "a caption": lambda: {"assets": renamed()},
    "the seed": lambda: {"seed": 1},
    "the rank": lambda: {"rank": 3},
    "a weight of the loss": lambda: {"max_emphasis": 2.0},
    "the steps": lambda: {"max_steps": 3},
    "the batch": lambda: {"schedule": AdaptationSchedule(3, ahead=True)},
}


@pytest.mark.parametrize("what", OTHERS)
def test_the_key_changes_with(sd_folder, what):
    assert key_of(made(sd_folder, **OTHERS[what]())) != key_of(made(sd_folder))


def test_the_key_changes_with_prompt_steps_and_decay_and_not_with_whether_it_is_kept(sd_folder):
    plain = key_of(made(sd_folder))
    assert plain == key_of(made(sd_folder))
    assert plain == key_of(made(sd_folder, schedule=AdaptationSchedule(2, ahead=True, cache=False)))
    asked = Discs()
    asked.prompt = "a frog"
    others = [
        key_of(made(sd_folder, assets=asked)),
        key_of(made(sd_folder), num_steps=1),
        key_of(made(sd_folder), weight_decay=0.1),
    ]
    assert len({plain, *others}) == 4


def test_the_key_changes_with_one_weight_of_the_prior_or_of_the_start(sd_folder):
    keys = {key_of(made(sd_folder))}
    for module in ("denoiser", "encoders", "start"):
        other = made(sd_folder)
        family = other.prior.family
        places = {"denoiser": family.denoiser, "encoders": family.encoders, "start": other.adapter}
        with torch.no_grad():
            next(iter(places[module].parameters())).view(-1)[0] += 1e-3
        keys.add(key_of(other))
    assert len(keys) == 4


def test_what_does_not_say_its_settings_is_never_taken_for_another(sd_folder, cache):
    class Mine(LightAdapter):
        """Has an option that its base class does not know."""

    adaptation = made(sd_folder)
    adaptation.adapter.__class__ = Mine
    assert key_of(adaptation) is None
    adapt_or_find(adaptation)
    assert not cache.folder.exists()


def spoil(path, how):
    if how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "a flipped bit":
        raw = bytearray(path.read_bytes())
        raw[-3] ^= 1
        path.write_bytes(raw)
    elif how == "another shape":
        save_file(
            {name: each[..., :1].contiguous() for name, each in load_file(path).items()}, path
        )


@pytest.mark.parametrize("how", ["truncated", "empty", "a flipped bit", "another shape"])
def test_what_is_damaged_is_made_again(sd_folder, cache, how):
    first, second = made(sd_folder), made(sd_folder)
    key, start = key_of(first), learned(second)
    adapt_or_find(first)
    spoil(cache.path(key), how)
    assert not cache.load(key, second.adapter)
    assert all(torch.equal(value, start[name]) for name, value in learned(second).items())
    adapt_or_find(second)
    assert cache.load(key, copy.deepcopy(first.adapter))
    for name, value in learned(second).items():
        assert torch.equal(value, learned(first)[name])


def test_a_cache_that_cannot_be_written_is_warned_of(sd_folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no sd_folder")
    monkeypatch.setenv("REDREAM_CACHE", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="the next run adapts the prior again"):
        adapt_or_find(made(sd_folder))


def test_those_asked_for_longest_ago_go_first(sd_folder, cache, monkeypatch):
    monkeypatch.setattr("redream.method.adapter_cache._NUM_KEPT", 2)
    adapter = made(sd_folder).adapter
    for age, key in enumerate("abc"):
        cache.keep(key, adapter)
        os.utime(cache.path(key), (age, age)) if cache.path(key).exists() else None
        if key == "b":
            assert cache.load("a", adapter)  # asked for now
    assert {path.stem for path in cache.folder.iterdir()} == {"a", "c"}


def test_an_earlier_checkpoint_has_an_adapter_that_is_not_finished():
    adapter = LightAdapter(patience=2)
    adapter.early_stopping.set_extra_state({"best": 1.0, "num_without_improvement": 1})
    assert not adapter.stopped(0) and adapter.early_stopping.num_without_improvement == 1


def test_steps_that_are_not_finite_are_skipped_ahead_too(sd_folder, cache, monkeypatch):
    adaptation = made(sd_folder, learning_rate=1e-3, max_steps=2)
    loss, calls = adaptation.loss, iter([float("nan"), 1.0])
    monkeypatch.setattr(adaptation, "loss", lambda *given: loss(*given) * next(calls))
    with pytest.warns(RuntimeWarning, match="step 0 is skipped"):
        adapt_or_find(adaptation)
    assert all(each.isfinite().all() for each in learned(adaptation).values())


def test_settings_name_every_argument_of_a_light_adapter():
    arguments = set(inspect.signature(LightAdapter.__init__).parameters) - {"self"}
    assert arguments <= LightAdapter().settings().keys()
    assert SimpleNamespace(**LightAdapter(rank=7).settings()).rank == 7
