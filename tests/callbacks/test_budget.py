"""The budget counts what the denoiser is asked, and ends a training when it is spent."""

import json
from itertools import count
from types import SimpleNamespace

import pytest
import torch

from redream.callbacks import Budget
from redream.method.guidance import SDS
from redream.priors import GaussianPrior
from redream.types import NoisyRows


@pytest.fixture
def asking(toy):
    """A module that asks its prior for 3 rows with gradients and then 2 without in a step."""

    class Asking(toy.Module):
        variational_prior = None

        def __init__(self):
            super().__init__()
            self.prior = GaussianPrior(image_size=2)

        def training_step(self, batch, batch_idx):
            for num in (3, 2):
                text = self.prior.encode_prompts([""] * num)
                latents = torch.zeros(num, 3, 2, 2, requires_grad=num == 3)
                rows = NoisyRows(latents, torch.zeros(num).long(), text, ("",) * num)
                self.prior.predict_noise(rows)
            return super().training_step(batch, batch_idx)

    return Asking


def used(tmp_path):
    return json.loads((tmp_path / "budget.json").read_text())


def test_every_pass_is_counted_and_those_with_gradients_twice(asking, train, tmp_path):
    module = asking()
    train(module, [Budget()], num_steps=4)
    found = used(tmp_path)
    assert found["passes"] == 4 * (2 * 3 + 2) and found["steps"] == 4
    assert found["unet_samples"] == 20 and found["unet_calls"] == 8
    assert found["seconds"] > 0
    assert "predict_noise" not in vars(module.prior)  # nothing of the counter stays


@pytest.mark.parametrize(("limit", "steps"), [(32, 4), (33, 5), (1, 1)])
def test_the_training_ends_after_the_step_that_spends_it(asking, train, tmp_path, limit, steps):
    train(asking(), [Budget(max_passes=limit)], num_steps=10)
    assert used(tmp_path)["steps"] == steps


@pytest.mark.parametrize("limits", [{"max_passes": 10**6}, {"max_seconds": 1e6}])
def test_all_processes_end_after_the_step_in_which_the_first_has_spent_its_own(limits):
    """The others go on counting on their own, and would wait for it for ever."""

    def told(decision, all):  # noqa: A002
        assert decision is False and all is False
        return True

    trainer = SimpleNamespace(
        global_step=1, should_stop=False, strategy=SimpleNamespace(reduce_boolean_decision=told)
    )
    Budget(**limits).on_train_batch_end(trainer, None)
    assert trainer.should_stop
    free = SimpleNamespace(global_step=1, should_stop=False)  # without a limit nobody is asked
    Budget().on_train_batch_end(free, None)
    assert not free.should_stop


def test_priors_that_are_distilled_besides_are_counted(asking, train, tmp_path):
    other = GaussianPrior(image_size=2)

    class Asked(asking):
        def __init__(self):
            super().__init__()
            self.guidance = SDS()
            self.guidance.other_priors = (other, self.prior)  # each is counted once

        def training_step(self, batch, batch_idx):
            rows = NoisyRows(
                torch.zeros(5, 3, 2, 2), torch.zeros(5).long(),
                other.encode_prompts([""] * 5), ("",) * 5,
            )  # fmt: skip
            other.predict_noise(rows)
            return super().training_step(batch, batch_idx)

    train(Asked(), [Budget()], num_steps=4)
    assert used(tmp_path)["passes"] == 4 * (2 * 3 + 2 + 5)
    assert "predict_noise" not in vars(other)


def test_what_is_used_is_known_along_the_way(asking, train, tmp_path, monkeypatch):
    clock = SimpleNamespace(monotonic=count().__next__)  # a second a look
    monkeypatch.setattr("redream.callbacks.budget.time", clock)
    train(asking(), [Budget(record_every_n_steps=2)], num_steps=5)
    curve = used(tmp_path)["curve"]
    assert [(each["steps"], each["passes"]) for each in curve] == [(2, 16), (4, 32)]
    assert [each["seconds"] for each in (*curve, used(tmp_path))] == [2, 4, 5]


def test_time_is_a_budget_too(asking, train, tmp_path):
    train(asking(), [Budget(max_seconds=1e-9)], num_steps=10)
    assert used(tmp_path)["steps"] == 1


def test_a_resumed_run_goes_on_counting():
    first = Budget()
    first.num_passes, first.num_samples, first.num_calls, first.seconds = 9, 7, 2, 1.5
    first.curve = [first._used(10)]
    second = Budget()
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    with pytest.raises(ValueError, match="positive"):
        Budget(max_passes=0)


def test_a_budget_of_before_ways_back_were_counted_is_refused_in_one_line():
    with pytest.raises(ValueError, match="counted without gradients") as error:
        Budget().load_state_dict({"num_samples": 7, "num_passes": 2, "seconds": 1.0, "curve": []})
    assert "\n" not in str(error.value)
