from types import SimpleNamespace

import pytest
import torch

from redream.adapters import LightAdapter
from redream.cameras import VIEW_NAMES, turntable
from redream.losses import view_contrast_loss
from redream.method.adaptation import Adaptation, AdaptationSchedule, adapt
from redream.method.noise import draw_noise, random_backgrounds
from redream.priors import GaussianPrior
from redream.types import References


def test_random_backgrounds_are_keyed_by_the_generator():
    a, b, c = (random_backgrounds(3, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert a.shape == (3, 3, 1, 1)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_an_adapter_that_would_never_stop_is_refused():
    endless = SimpleNamespace(adapter=LightAdapter(max_steps=None, patience=None))
    with pytest.raises(ValueError, match="would never stop"):
        adapt(endless)


def assets_of(references):
    return SimpleNamespace(prompt="a corgi", references=references)


def adaptation(**arguments):
    views = turntable(12)
    references = References(
        torch.rand(12, 4, 8, 8), views, ("a box",), torch.zeros(12, dtype=torch.long)
    )
    return Adaptation(GaussianPrior(), LightAdapter(**arguments), assets_of(references))


def test_the_weight_is_one_for_a_prior_that_predicts_the_noise():
    timesteps = torch.tensor([0, 500, 999])
    assert torch.equal(adaptation().weight(timesteps), torch.ones(3, 1, 1, 1))


def test_the_emphasis_makes_the_error_of_the_noise_one_of_the_clean_picture():
    made = adaptation(lowest_time=0.4, max_emphasis=30.0)
    times = torch.arange(400, 1000)
    weight = made.weight(times).flatten()
    assert weight.mean().item() == pytest.approx(1.0, abs=1e-5)
    alpha, sigma = (each.flatten() for each in made.prior.signal_and_noise(times))
    ratio = (sigma / alpha).square()
    below = ratio < 30.0
    scale = weight[below] / ratio[below]
    assert below.sum() > 300 and torch.allclose(scale, scale[:1].expand_as(scale), rtol=1e-4)
    assert torch.unique(weight[~below]).numel() == 1


def test_an_emphasis_that_is_none_is_warned_of():
    with pytest.warns(UserWarning, match="max_emphasis 3 weighs all times alike"):
        made = adaptation(lowest_time=0.9, max_emphasis=3.0)
    assert torch.unique(made.weight(torch.arange(900, 1000))).numel() == 1


def test_times_below_the_lowest_are_left_out():
    clean, generator = torch.zeros(4000, 1, 1, 1), torch.Generator().manual_seed(0)
    times, _ = draw_noise(clean, 1000, generator, first=400)
    assert times.min() >= 400 and times.max() > 980


@pytest.mark.parametrize("arguments", [{"lowest_time": 1.0}, {"max_emphasis": -1.0}])
def test_what_no_adapter_can_do_is_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        LightAdapter(**arguments)


@pytest.fixture
def contrasting(prior):
    """An adaptation on a real UNet whose views are contrasted and anchored."""
    omega = LightAdapter(rank=2, view_contrast=10.0, anchor=0.5, max_steps=5)
    omega.attach(prior)
    for pair in omega.lora.values():
        torch.nn.init.normal_(pair["lora_B"].weight, std=0.1)
    side = prior.image_size
    references = References(
        torch.rand(24, 4, side, side), turntable(24), ("a dog",), torch.zeros(24, dtype=torch.long)
    )
    return Adaptation(prior, omega, assets_of(references), AdaptationSchedule(6))


def test_views_are_drawn_of_each_prefix_in_turn():
    made = adaptation()
    picks = made._pick(torch.Generator().manual_seed(0))
    seen = [VIEW_NAMES[view] for view in made.views[picks].tolist()]
    assert set(seen) == {"front", "side", "back"} and not set(picks.tolist()) & {9}


def test_views_can_be_drawn_of_all_cameras_alike_as_eq_5_has_them():
    """Of twelve views all round, 11 of which are trained on, fronts are as many as there are."""
    views = turntable(12)
    references = References(torch.rand(12, 4, 8, 8), views, ("a box",), torch.zeros(12).long())
    seen = {}
    for balanced in (True, False):
        schedule = AdaptationSchedule(5, balanced_views=balanced)
        made = Adaptation(GaussianPrior(), LightAdapter(), assets_of(references), schedule)
        generator = torch.Generator().manual_seed(0)
        picks = torch.cat([made._pick(generator) for _ in range(600)])
        assert picks.unique().numel() == len(references.rgba) - len(made._held_out)
        counts = torch.bincount(made.views[picks], minlength=3) / len(picks)
        seen[balanced] = dict(zip(VIEW_NAMES, counts.tolist(), strict=True))
        trained = made.views[adapted_on(made)]
    shares = torch.bincount(trained, minlength=3) / len(trained)
    for name, share in zip(VIEW_NAMES, shares.tolist(), strict=True):
        assert seen[True][name] == pytest.approx(1 / 3, abs=0.02)
        assert seen[False][name] == pytest.approx(share, abs=0.03)
    assert shares[VIEW_NAMES.index("side")] > 0.4


def adapted_on(made):
    return torch.tensor([i for i in range(len(made.views)) if i not in made._held_out.tolist()])


def test_contrasted_rows_differ_in_their_words_alone(contrasting):
    batch = contrasting.batch(3)
    latents = batch.rows.latents.unflatten(0, (3, 6))
    times = batch.rows.timesteps.unflatten(0, (3, 6))
    texts = batch.rows.text.unflatten(0, (3, 6))
    assert torch.equal(latents[0], latents[1]) and torch.equal(latents[0], latents[2])
    assert torch.equal(times[0], times[2])
    expected = contrasting.prior.encode_prompts(["a corgi"] * 3, contrasting.adapter.view_prefixes)
    own = [int((expected - text).abs().sum((1, 2)).argmin()) for text in texts[1]]
    other = [int((expected - text).abs().sum((1, 2)).argmin()) for text in texts[2]]
    assert sorted(own) == [0, 0, 1, 1, 2, 2]
    assert all(one != two for one, two in zip(own, other, strict=True))


def test_the_loss_is_eq_5_plus_contrast_plus_anchor(contrasting):
    batch = contrasting.batch(3)
    eps = contrasting.prior.predict_noise(batch.rows)
    true, own, other = (eps.unflatten(0, (3, 6)) - batch.noise).square().mean(dim=(2, 3, 4))
    frozen = contrasting.prior.predict_noise(
        batch.rows._replace(
            text=contrasting.prior.encode_prompts(["a corgi"]).expand(18, -1, -1),
            adapters=("__base__",) * 18,
        )
    )[:6]
    drift = ((eps[6:12] + eps[12:]) / 2 - frozen).square().mean()
    expected = true.mean() + 10.0 * view_contrast_loss(own, other) + 0.5 * drift
    assert contrasting.loss(eps, batch).item() == pytest.approx(expected.item(), rel=1e-4)


def test_shares_of_a_contrasted_batch_average_to_the_whole(contrasting):
    losses = []
    for share in (slice(None), slice(0, 3), slice(3, 6)):
        batch = contrasting.batch(3, share)
        losses.append(contrasting.loss(contrasting.prior.predict_noise(batch.rows), batch).item())
    assert losses[0] == pytest.approx((losses[1] + losses[2]) / 2.0, rel=1e-4)


def test_contrast_teaches_views_and_gives_gradients_to_both_groups(contrasting):
    batch = contrasting.batch(0)
    loss = contrasting.loss(contrasting.prior.predict_noise(batch.rows), batch)
    for group in contrasting.adapter.parameter_groups():
        grads = torch.autograd.grad(loss, group["params"], retain_graph=True)
        assert all(grad.abs().sum() > 0.0 for grad in grads)
    assert adapt(contrasting) == 5


class Memory(GaussianPrior):
    """A prior of large pictures that writes down how much it is asked at once."""

    def __init__(self, image_size):
        super().__init__(image_size=16)
        self.image_size, self.encoded, self.scored = image_size, [], []

    @property
    def latent_shape(self):
        return 3, 16, 16

    def encode_images(self, images, generator=None):
        self.encoded.append(len(images))
        return super().encode_images(images)

    def predict_noise(self, rows):
        self.scored.append(len(rows.latents))
        return super().predict_noise(rows)


@pytest.mark.parametrize(("image_size", "most"), [(512, 2), (1024, 1), (64, 128)])
def test_views_are_encoded_and_held_out_ones_scored_in_small_parts(image_size, most, monkeypatch):
    """A card of 24 GB has no room for the autoencoder's activations of fifty large pictures."""
    references = References(
        torch.rand(60, 4, 8, 8), turntable(60), ("a box",), torch.zeros(60, dtype=torch.long)
    )
    prior = Memory(image_size)
    monkeypatch.setattr("redream.method.adaptation._LATENTS_AT_ONCE", 5 * 16 * 16)
    adapter = LightAdapter()
    adapter.view_prefixes = torch.zeros(3, 1, 1)
    made = Adaptation(prior, adapter, assets_of(references))
    assert len(made.latents) == 60 and max(prior.encoded) == min(most, 60)
    assert sum(prior.encoded) == 60
    loss = made.held_out_loss()
    assert prior.scored == [5, 1]
    monkeypatch.setattr("redream.method.adaptation._LATENTS_AT_ONCE", 1 << 15)
    assert made.held_out_loss() == pytest.approx(loss, rel=1e-6)
    assert prior.scored[2:] == [6]


@pytest.mark.parametrize("name", ["batch_size", "held_out_period"])
def test_a_schedule_of_nothing_is_refused(name):
    with pytest.raises(ValueError, match=f"adaptation: {name} must be at least 1, got 0"):
        AdaptationSchedule(**{name: 0})
