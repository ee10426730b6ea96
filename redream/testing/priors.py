"""What every prior and every adapter must do."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from redream.adapters import Adapter, require_host
from redream.cameras import concatenate, orbit, set_steps, turntable
from redream.priors import BASE, Guided, Prior, join_rows, with_image, without_image
from redream.types import Cameras, ImagePrompt, NoisyRows


def noisy_rows(prior: Prior, adapters: Sequence[str], seed: int = 0) -> NoisyRows:
    """Rows of random latents, timesteps and a few prompts, one for each named adapter.

    For a prior that looks at sets of views, one whole set for each: views all round an object,
    with one timestep and one prompt.
    """
    generator = torch.Generator().manual_seed(seed)
    num_sets, together = len(adapters), prior.views_per_set
    prompts = [("a dog", "a striped corgi", "a view of a dog")[i % 3] for i in range(num_sets)]
    latents = torch.randn(num_sets * together, *prior.latent_shape, generator=generator)
    timesteps = torch.randint(prior.num_train_timesteps, (num_sets,), generator=generator)
    device = prior.device
    poses = concatenate([_round(prior)] * num_sets).c2w
    text = prior.encode_prompts(prompts).detach()
    if prior.needs_image:
        text = with_image(text, prior.image_tokens(disc_of(prior)))
    return NoisyRows(
        latents.to(device, prior.alphas.dtype),
        timesteps.repeat_interleave(together).to(device),
        text.repeat_interleave(together, dim=0),
        tuple(name for name in adapters for _ in range(together)),
        poses=poses.to(device, prior.alphas.dtype),
    )


def _round(prior: Prior, elevation_deg: float = 15.0) -> Cameras:
    """A set of views as the prior looks at them."""
    azimuth = set_steps(prior.views_per_set, prior.set_azimuths_deg)
    ones = torch.ones_like(azimuth)
    return orbit(azimuth, elevation_deg * ones, 3.0 * ones, 40.0 * ones)


def disc_of(prior: Prior, seed: int = 0) -> ImagePrompt:
    """A picture of a coloured disc from in front of it."""
    generator = torch.Generator().manual_seed(seed)
    across = torch.linspace(-1.0, 1.0, prior.image_size)
    disc = (across[:, None].square() + across.square() < 0.5).to(prior.alphas.dtype).cpu()
    shades = torch.rand(3, *disc.shape, generator=generator, dtype=disc.dtype)
    return ImagePrompt(torch.cat([shades * disc, disc[None]])[None], turntable(1)).to(prior.device)


def view_set(prior: Prior, rows: NoisyRows, index: int) -> NoisyRows:
    """One set of views of several; one row where the prior looks at each alone."""
    together = prior.views_per_set
    return rows.select(slice(index * together, (index + 1) * together))


class PriorContract(ABC):
    """Tests of a :class:`redream.priors.Prior`."""

    tolerance: float = 1e-4
    """How far predictions may be apart that should be equal."""

    @abstractmethod
    def make_prior(self) -> Prior:
        """A small prior of the kind under test, fresh each time."""

    def test_pictures_become_latents_of_the_declared_shape_and_come_back(self) -> None:
        """Any size goes in, gradients flow back, and what comes out is a picture."""
        prior = self.make_prior()
        images = torch.rand(2, 3, 24, 24, dtype=prior.alphas.dtype, device=prior.device)
        images.requires_grad_()
        latents = prior.encode_images(images)
        assert latents.shape == (2, *prior.latent_shape)
        (gradient,) = torch.autograd.grad(latents.square().sum(), images)
        assert gradient.abs().sum() > 0
        pictures = prior.decode_latents(latents.detach())
        assert pictures.shape == (2, 3, prior.image_size, prior.image_size)
        assert pictures.min() >= 0 and pictures.max() <= 1

    def test_prompts_become_embeddings_of_one_length(self) -> None:
        """Whatever a prompt's length, and whatever stands beside it."""
        prior = self.make_prior()
        together = prior.encode_prompts(["", "a dog", "a striped corgi"])
        alone = prior.encode_prompts(["a dog"])
        assert together.ndim == 3 and alone.shape == together[1:2].shape
        torch.testing.assert_close(together[1:2], alone, atol=self.tolerance, rtol=0)

    def test_words_can_be_put_before_a_prompt(self) -> None:
        """Prefixes are as wide as words' embeddings and keep the embedding's length."""
        prior = self.make_prior()
        words = prior.embed_words("front view")
        assert words.ndim == 2 and len(words) > 0
        prefixed = prior.encode_prompts(["a dog"], words[None])
        assert prefixed.shape == prior.encode_prompts(["a dog"]).shape

    def test_noise_grows_with_time(self) -> None:
        """alpha_t falls, sigma_t grows, and a diffused picture is their mixture."""
        prior = self.make_prior()
        timesteps = torch.arange(prior.num_train_timesteps, device=prior.device)
        alpha, sigma = prior.signal_and_noise(timesteps)
        assert (alpha.diff(dim=0) < 0).all() and (sigma.diff(dim=0) > 0).all()
        assert alpha.min() >= 0 and sigma.min() >= 0
        latents = torch.ones(len(timesteps), *prior.latent_shape, dtype=alpha.dtype).to(alpha)
        noisy = prior.add_noise(latents, -latents, timesteps)
        torch.testing.assert_close(noisy, (alpha - sigma).expand_as(noisy))

    def test_rows_do_not_see_each_other(self) -> None:
        """A mixed batch answers each row, or each set of views, as if it were alone."""
        prior = self.make_prior()
        rows = noisy_rows(prior, (BASE,) * 3)
        with torch.no_grad():
            together = prior.predict_noise(rows)
            parts = [prior.predict_noise(view_set(prior, rows, index)) for index in range(3)]
        alone = torch.cat(parts)
        assert together.shape == rows.latents.shape and together.isfinite().all()
        torch.testing.assert_close(together, alone, atol=self.tolerance, rtol=0)

    def test_views_of_a_set_see_each_other(self) -> None:
        """Each view's answer depends on all the others, where the prior looks at sets."""
        prior = self.make_prior()
        num = prior.views_per_set
        if num == 1:
            return
        rows = noisy_rows(prior, (BASE,))
        for index in range(num):
            latents = rows.latents.detach().clone().requires_grad_()
            eps = prior.predict_noise(rows._replace(latents=latents))
            (gradient,) = torch.autograd.grad(eps[index].square().sum(), latents)
            assert (gradient.abs().sum(dim=(1, 2, 3)) > 0).all()

    def test_parts_of_a_set_are_refused(self) -> None:
        """So are sets of two adapters."""
        prior = self.make_prior()
        if prior.views_per_set == 1:
            return
        rows = noisy_rows(prior, (BASE,))
        mixed = (*rows.adapters[1:], "omega")
        for wrong in (rows.select(slice(1, None)), rows._replace(adapters=mixed)):
            with pytest.raises(ValueError, match="whole sets"):
                prior.predict_noise(wrong)

    def test_poses_are_heeded_where_they_are_needed(self) -> None:
        """Other priors answer the same without."""
        prior = self.make_prior()
        rows = noisy_rows(prior, (BASE,))
        without = rows._replace(poses=None)
        with torch.no_grad():
            expected = prior.predict_noise(rows)
            if not prior.needs_poses:
                assert torch.equal(prior.predict_noise(without), expected)
                return
            assert rows.poses is not None
            above = _round(prior, elevation_deg=50.0).c2w.flip(0)
            turned = prior.predict_noise(rows._replace(poses=above.to(rows.poses)))
            assert (turned - expected).abs().max() > 10 * self.tolerance
            with pytest.raises(ValueError, match="poses"):
                prior.predict_noise(without)

    def test_pictures_are_heeded_where_they_are_needed(self) -> None:
        """Unconditional rows say nothing of them; other priors refuse them."""
        prior = self.make_prior()
        if not prior.needs_image:
            assert prior.image_tokens(disc_of(prior)) is None
            with pytest.raises(ValueError, match="reads no pictures"):
                prior.encode_image_prompts(disc_of(prior))
            return
        with pytest.raises(ValueError, match="data.image"):
            prior.image_tokens(None)
        text = prior.encode_prompts(["a dog"]).detach()
        other = with_image(text, prior.image_tokens(disc_of(prior, seed=1)))
        rows = noisy_rows(prior, (BASE,))
        without = without_image(text, rows.text)
        assert other.shape == without.shape == rows.text[:1].shape
        with torch.no_grad():
            told, told_other, untold = (
                prior.predict_noise(rows._replace(text=each.expand_as(rows.text)))
                for each in (rows.text[:1], other, without)
            )
        assert (told - told_other).abs().max() > 10 * self.tolerance
        assert (told - untold).abs().max() > 10 * self.tolerance

    def test_gradients_reach_the_noisy_latents(self) -> None:
        """The prior is frozen but not opaque."""
        prior = self.make_prior()
        rows = noisy_rows(prior, (BASE,))
        latents = rows.latents.requires_grad_()
        noise = prior.predict_noise(rows._replace(latents=latents))
        (gradient,) = torch.autograd.grad(noise.square().sum(), latents)
        assert gradient.abs().sum() > 0

    def test_the_prior_is_frozen_and_stays_in_evaluation_mode(self) -> None:
        """Nothing of it trains."""
        prior = self.make_prior().train()
        assert not any(parameter.requires_grad for parameter in prior.parameters())
        assert not any(module.training for module in prior.modules())

    def test_guidance_follows_its_formula_and_spares_what_cancels(self) -> None:
        """Scale 1 needs no unconditional rows; others are one forward pass with them."""
        prior = self.make_prior()
        rows = noisy_rows(prior, (BASE,) * 2)
        negative = prior.encode_prompts([""])
        counts: list[int] = []
        plain = prior.predict_noise

        def counting(rows: NoisyRows) -> Tensor:
            counts.append(len(rows.latents))
            return plain(rows)

        prior.predict_noise = counting  # type: ignore[method-assign]
        with torch.no_grad():
            plainly, guided = prior.predict_guided(Guided(rows), Guided(rows, 3.0, negative))
            assert counts == [3 * len(rows.latents)]
            negative = without_image(negative, rows.text)
            uncond = plain(rows._replace(text=negative.expand_as(rows.text)))
            cond = plain(rows)
        torch.testing.assert_close(plainly, cond, atol=self.tolerance, rtol=0)
        expected = uncond + 3.0 * (cond - uncond)
        torch.testing.assert_close(guided, expected, atol=10 * self.tolerance, rtol=0)

    def test_samples_are_pictures_and_repeatable(self) -> None:
        """The same noise gives the same picture."""
        prior = self.make_prior()
        rows = noisy_rows(prior, (BASE,))
        one, two = (
            prior.sample(rows.text, 2.0, 3, torch.Generator().manual_seed(0), poses=rows.poses)
            for _ in range(2)
        )
        assert one.isfinite().all() and 0 <= one.min() and one.max() <= 1
        assert torch.equal(one, two)


class AdapterContract(ABC):
    """Tests of a :class:`redream.adapters.Adapter`."""

    @abstractmethod
    def make_prior(self) -> Prior:
        """A small prior that hosts the adapter, fresh each time, always with equal weights."""

    @abstractmethod
    def make_adapter(self) -> Adapter:
        """The adapter under test, not attached yet."""

    def _attached(self) -> tuple[Prior, Adapter]:
        prior, adapter = self.make_prior(), self.make_adapter()
        adapter.attach(require_host(prior))
        return prior, adapter

    def test_a_fresh_adapter_changes_nothing(self) -> None:
        """It starts as the prior."""
        prior, adapter = self._attached()
        rows = noisy_rows(prior, (BASE,) * 2)
        worn = rows._replace(adapters=(adapter.name,) * len(rows.adapters))
        assert torch.equal(prior.predict_noise(rows), prior.predict_noise(worn))

    def test_parameter_groups_are_named_and_hold_all_that_trains_once(self) -> None:
        """What an optimiser gets is what learns."""
        _, adapter = self._attached()
        groups = adapter.parameter_groups()
        assert all(isinstance(group["name"], str) and "lr" in group for group in groups)
        listed = [id(p) for group in groups for p in group["params"]]  # type: ignore[attr-defined]
        assert len(listed) == len(set(listed))
        assert set(listed) == {id(p) for p in adapter.parameters() if p.requires_grad}

    def test_training_moves_its_own_rows_and_nothing_of_the_prior(self) -> None:
        """The frozen prior's rows, and its weights, stay as they were."""
        prior, adapter = self._attached()
        own = {id(p) for p in adapter.parameters()}
        frozen = {n: p.clone() for n, p in prior.named_parameters() if id(p) not in own}
        rows = join_rows([noisy_rows(prior, (BASE,)), noisy_rows(prior, (adapter.name,))])
        before = prior.predict_noise(rows).detach()
        self._train(prior, adapter)
        after = prior.predict_noise(rows).detach()
        num = prior.views_per_set
        assert torch.equal(before[:num], after[:num])
        assert not torch.equal(before[num:], after[num:])
        now = dict(prior.named_parameters())
        assert all(torch.equal(value, now[name]) for name, value in frozen.items())
        assert not any(now[name].requires_grad for name in frozen)

    def test_its_state_is_all_that_it_has_learned(self) -> None:
        """A fresh adapter with the state of a trained one predicts the same."""
        prior, adapter = self._attached()
        self._train(prior, adapter)
        other_prior, other = self._attached()
        other.load_state_dict(adapter.state_dict())
        rows = noisy_rows(prior, (adapter.name,) * 2)
        expected = prior.predict_noise(rows)
        torch.testing.assert_close(other_prior.predict_noise(rows), expected)

    def _train(self, prior: Prior, adapter: Adapter) -> None:
        optimizer = torch.optim.AdamW(adapter.parameter_groups(), lr=1e-2)
        rows = noisy_rows(prior, (adapter.name,) * 2, seed=1)
        for _ in range(3):
            optimizer.zero_grad()
            prior.predict_noise(rows).square().mean().backward()
            optimizer.step()
