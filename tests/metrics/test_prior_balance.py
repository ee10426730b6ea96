"""The view balance of priors whose bias is known."""

import json
import math

import lightning as L
import pytest
import torch

from redream.callbacks import MeasurePrior
from redream.method.guidance import SDS
from redream.metrics import ViewJudge, measure_prior
from redream.metrics.prior_balance import balance_of
from redream.priors import GaussianPrior

FRONT, SIDE, BACK = 0, 1, 2
BRIGHTNESS = torch.tensor([0.2, 0.5, 0.8])  # of a picture that shows a front, a side, a back


def test_a_perfect_prior_shows_what_it_is_asked_for():
    views = torch.tensor([FRONT, SIDE, BACK] * 4)
    balance = balance_of(views, views)
    assert balance.confusion == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert balance.accuracy == {"front": 1.0, "side": 1.0, "back": 1.0}
    assert balance.front_given_back == 0.0
    assert balance.entropy == pytest.approx(1.0) and balance.imbalance == pytest.approx(0.0)


def test_a_prior_of_fronts_alone():
    balance = balance_of(torch.tensor([FRONT, SIDE, BACK]), torch.tensor([FRONT] * 3))
    assert balance.confusion == [[1, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert balance.front_given_back == 1.0 and balance.entropy == 0.0
    assert balance.imbalance == pytest.approx(2 / 3)


def test_entropy_and_imbalance_in_closed_form():
    asked = torch.tensor([FRONT, FRONT, SIDE, SIDE, BACK, BACK])
    balance = balance_of(asked, torch.tensor([FRONT, FRONT, FRONT, SIDE, BACK, SIDE]))
    p = [3 / 6, 2 / 6, 1 / 6]
    assert balance.entropy == pytest.approx(-sum(x * math.log(x) for x in p) / math.log(3))
    assert balance.imbalance == pytest.approx(1 / 6)
    assert balance.accuracy == {"front": 1.0, "side": 0.5, "back": 0.5}


def test_views_must_be_asked_for_equally():
    with pytest.raises(ValueError, match="equally often"):
        balance_of(torch.tensor([FRONT, FRONT, SIDE, BACK]), torch.zeros(4).long())
    with pytest.raises(ValueError, match="equally often"):
        balance_of(torch.tensor([FRONT, SIDE]), torch.zeros(2).long())


class Biased(GaussianPrior):
    """Shows the view that it is asked for; with a bias, the first rows of each batch a front."""

    def __init__(self, num_fronts):
        super().__init__(image_size=4, std=0.01)
        self.num_fronts = num_fronts

    def encode_prompts(self, prompts, prefixes=None):
        if prefixes is not None:  # omega's: the view itself, never a bias
            return prefixes[:, :1, :1]
        asked = [next((i for i, v in enumerate("fsb") if f", {v}" in p), 0) for p in prompts]
        shown = [FRONT if i < self.num_fronts else view for i, view in enumerate(asked)]
        return BRIGHTNESS[shown].view(-1, 1, 1)

    def predict_noise(self, rows):
        alpha, sigma = self.signal_and_noise(rows.timesteps)
        variance = alpha.square() * self.std**2 + sigma.square()
        return sigma * (rows.latents - alpha * rows.text[..., None]) / variance


class Omega(torch.nn.Module):
    name = "omega"

    def prefixes(self, view_names):
        return BRIGHTNESS[["front side back".split().index(v) for v in view_names]].view(-1, 1, 1)


class ByBrightness(ViewJudge):
    def probabilities(self, prompt, pictures):
        off = (pictures.mean(dim=(1, 2, 3))[:, None] - BRIGHTNESS).abs()
        return (-50.0 * off).softmax(dim=1)


@pytest.mark.parametrize("num_fronts", [0, 3, 8])
def test_the_bias_of_a_prior_is_measured_through_sampling(num_fronts):
    balance = measure_prior(
        Biased(num_fronts), "a dog", ByBrightness(), num_samples=8, guidance_scale=1.0
    )
    assert balance.front_given_back == num_fronts / 8
    assert balance.accuracy == {
        "front": 1.0,
        "side": 1 - num_fronts / 8,
        "back": 1 - num_fronts / 8,
    }


def test_the_adapted_prior_is_asked_by_its_prefixes():
    balance = measure_prior(
        Biased(8), "a dog", ByBrightness(), Omega(), num_samples=2, guidance_scale=1.0
    )
    assert balance.accuracy == {"front": 1.0, "side": 1.0, "back": 1.0}


def test_redream_test_writes_both_priors(tmp_path):
    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.prior, self.adapter = Biased(1), Omega()
            self.guidance = SDS(scale=1.0)

        def test_step(self, batch, batch_idx):
            pass

    class Data(L.LightningDataModule):
        prompt = "a dog"

        def test_dataloader(self):
            return torch.utils.data.DataLoader(range(1))

    trainer = L.Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        callbacks=[MeasurePrior(ByBrightness(), num_samples=2)],
    )
    trainer.test(Module(), datamodule=Data(), verbose=False)
    written = json.loads((tmp_path / "view_balance.json").read_text())
    assert written["prompt"] == "a dog" and written["guidance_scale"] == 1.0
    assert written["raw"]["front_given_back"] == 0.5
    assert written["adapted"]["front_given_back"] == 0.0
    with pytest.raises(ValueError, match="num_samples"):
        MeasurePrior(ByBrightness(), 0)
