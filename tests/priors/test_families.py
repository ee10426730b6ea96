"""Every family of models against diffusers' own pipeline and scheduler of that family."""

import pytest
import torch

from redream.adapters import LightAdapter
from redream.priors import StableDiffusionPrior
from redream.testing.priors import noisy_rows


@pytest.fixture(scope="module")
def loaded(family_folders):
    return {name: StableDiffusionPrior(str(path)) for name, path in family_folders.items()}


def pipeline_of(folder, name):
    import diffusers

    kind = "StableDiffusionXLPipeline" if name == "xl" else "StableDiffusion3Pipeline"
    without = {"text_encoder_3": None, "tokenizer_3": None} if name == "3 without T5" else {}
    pipeline = getattr(diffusers, kind).from_pretrained(folder, **without)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_xl_embeds_prompts_as_its_pipeline_does(loaded, family_folders):
    from redream.priors.families.base import split_pooled

    pipeline = pipeline_of(family_folders["xl"], "xl")
    tokens, zeros, pooled, zero = pipeline.encode_prompt("a striped dog")
    ours, our_pooled = split_pooled(loaded["xl"].encode_prompts(["a striped dog", ""]), 20)
    torch.testing.assert_close(ours[:1], tokens)
    torch.testing.assert_close(our_pooled[:1], pooled)
    assert torch.equal(ours[1:], zeros) and torch.equal(our_pooled[1:], zero)


@pytest.mark.parametrize("name", ["3", "3 without T5"])
def test_3_embeds_prompts_as_its_pipeline_does(loaded, family_folders, name):
    from redream.priors.families.base import split_pooled

    pipeline = pipeline_of(family_folders[name], name)
    tokens, negative, pooled, negative_pooled = pipeline.encode_prompt(
        "a striped dog", None, None, negative_prompt=""
    )
    ours, our_pooled = split_pooled(loaded[name].encode_prompts(["a striped dog", ""]), 36)
    torch.testing.assert_close(ours, torch.cat([tokens, negative]))
    torch.testing.assert_close(our_pooled, torch.cat([pooled, negative_pooled]))


@pytest.mark.parametrize("name", ["epsilon", "xl", "3", "3 without T5"])
def test_a_prefix_of_words_equals_the_words(loaded, name):
    prior = loaded[name]
    prefix = torch.stack([prior.embed_words("front view"), prior.embed_words("side view")])
    prefix.requires_grad_()
    joined = prior.encode_prompts(["a dog", "corgi"], prefix)
    spoken = prior.encode_prompts(["front view a dog", "side view corgi"])
    torch.testing.assert_close(joined, spoken, atol=1e-5, rtol=0)
    (gradient,) = torch.autograd.grad(joined[0].square().sum(), prefix)
    widths = [encoder.width for encoder in prior.family.encoders]
    assert all(part.abs().sum() > 0 for part in gradient[0].split(widths, dim=-1))
    assert gradient[1].abs().sum() == 0  # the other row's


def test_the_flow_agrees_with_its_schedulers_step(loaded, family_folders):
    from diffusers import FlowMatchEulerDiscreteScheduler

    prior = loaded["3"]
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(
        family_folders["3"], subfolder="scheduler"
    )
    rows = noisy_rows(prior, ("__base__",) * 4)
    with torch.no_grad():
        noise = prior.predict_noise(rows)
        raw = prior.family.denoise(
            rows.latents, prior.times[rows.timesteps], rows.text, prior.image_size
        )
    alpha, sigma = prior.signal_and_noise(rows.timesteps)
    torch.testing.assert_close(alpha + sigma, torch.ones_like(alpha))
    clean = (rows.latents - sigma * noise) / alpha
    assert len(scheduler.sigmas) == prior.num_train_timesteps  # before set_timesteps
    torch.testing.assert_close(scheduler.sigmas.flip(0), prior.sigmas)
    noisy = scheduler.scale_noise(clean, prior.times[rows.timesteps], noise)
    torch.testing.assert_close(
        prior.add_noise(clean, noise, rows.timesteps), noisy, atol=1e-5, rtol=0
    )
    for index, timestep in enumerate(rows.timesteps.tolist()):
        unshifted = [(timestep + 1) / 1000, timestep / 1000]
        scheduler.set_timesteps(sigmas=unshifted)
        stepped = scheduler.step(raw[index], scheduler.timesteps[0], rows.latents[index])
        after = scheduler.sigmas[1]
        ours = (1 - after) * clean[index] + after * noise[index]
        torch.testing.assert_close(ours, stepped.prev_sample, atol=1e-5, rtol=0)


def test_sampling_xl_agrees_with_its_pipeline(loaded, family_folders):
    from diffusers import DDIMScheduler

    pipeline, prior = pipeline_of(family_folders["xl"], "xl"), loaded["xl"]
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="trailing", set_alpha_to_one=True
    )
    noise = torch.randn(1, *prior.latent_shape, generator=torch.Generator().manual_seed(3))
    expected = pipeline(
        "a striped dog", latents=noise, guidance_scale=3.0, num_inference_steps=4,
        height=16, width=16, output_type="pt",
    ).images  # fmt: skip
    text = prior.encode_prompts(["a striped dog"])
    ours = prior.sample(text, 3.0, 4, torch.Generator().manual_seed(3))
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["3", "3 without T5"])
def test_sampling_3_agrees_with_its_pipeline(loaded, family_folders, name):
    pipeline, prior = pipeline_of(family_folders[name], name), loaded[name]
    noise = torch.randn(1, *prior.latent_shape, generator=torch.Generator().manual_seed(3))
    times = torch.linspace(998, -1, 5).round()[:-1]  # at the last step nothing is left to see
    expected = pipeline(
        "a striped dog", latents=noise, guidance_scale=3.0, height=16, width=16,
        sigmas=((times + 1) / 1000).tolist(), output_type="pt",
    ).images  # fmt: skip
    text = prior.encode_prompts(["a striped dog"])
    ours = prior.sample(text, 3.0, 4, torch.Generator().manual_seed(3))
    torch.testing.assert_close(ours, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["xl", "3"])
def test_saved_lora_loads_into_the_familys_pipeline(family_folders, name, tmp_path):
    prior = StableDiffusionPrior(str(family_folders[name]))
    omega = LightAdapter(rank=2, lora_alpha=6.0)
    omega.attach(prior)
    with torch.no_grad():
        for parameter in omega.lora.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    omega.save(tmp_path)
    pipeline = pipeline_of(family_folders[name], name)
    pipeline.load_lora_weights(tmp_path)
    rows = noisy_rows(prior, ("omega",) * 2)
    theirs = StableDiffusionPrior(str(family_folders[name]))
    theirs.family.denoiser = getattr(pipeline, prior.component)
    with torch.no_grad():
        loaded = theirs.family.denoise(
            rows.latents, prior.times[rows.timesteps], rows.text, prior.image_size
        )
        ours = prior.family
        from redream.priors._routing import Rows

        with prior._routing.route(Rows(rows.adapters)):
            expected = ours.denoise(
                rows.latents, prior.times[rows.timesteps], rows.text, prior.image_size
            )
    torch.testing.assert_close(loaded, expected, atol=1e-5, rtol=0)


def test_pictures_can_be_scored_at_another_size(family_folders):
    prior = StableDiffusionPrior(str(family_folders["xl"]), image_size=32)
    assert prior.latent_shape == (4, 16, 16)
    assert prior.encode_images(torch.rand(1, 3, 20, 20)).shape == (1, 4, 16, 16)
    assert prior.predict_noise(noisy_rows(prior, ("__base__",))).isfinite().all()
    with pytest.raises(ValueError, match="multiple of 2"):
        StableDiffusionPrior(str(family_folders["xl"]), image_size=33)


def test_text_encoders_leave_when_asked(family_folders):
    prior = StableDiffusionPrior(str(family_folders["3"]))
    rows = noisy_rows(prior, ("__base__",))
    size = sum(p.numel() for p in prior.parameters())
    prior.free_text_encoders()
    assert sum(p.numel() for p in prior.parameters()) < size
    assert not any("encoders" in name for name, _ in prior.named_parameters())
    assert prior.predict_noise(rows).isfinite().all()
    with pytest.raises(RuntimeError, match="were freed"):
        prior.encode_prompts(["a dog"])
