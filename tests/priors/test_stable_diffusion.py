import shutil

import pytest
import torch

from redream.adapters import LightAdapter, VariationalAdapter
from redream.cameras import turntable
from redream.priors import Guided, StableDiffusionPrior, join_rows
from redream.types import NoisyRows


@pytest.fixture
def adapted(prior):
    """A prior with both adapters, moved away from their zero start."""
    torch.manual_seed(1)
    omega, zeta = LightAdapter(rank=2, lora_alpha=6.0), VariationalAdapter(rank=3)
    for adapter in (omega, zeta):
        adapter.attach(prior)
    stir(omega, zeta)
    return prior, omega, zeta


def stir(*adapters):
    for adapter in adapters:
        for parameter in adapter.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)


def rows_of(prior, adapters, cameras=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    num = len(adapters)
    prompts = ["a dog", "striped corgi", "a view", "corgi", "dog dog"][:num]
    return NoisyRows(
        torch.randn(num, *prior.latent_shape, generator=generator),
        torch.randint(0, prior.num_train_timesteps, (num,), generator=generator),
        prior.encode_prompts(prompts),
        tuple(adapters),
        cameras,
    )


def one(rows, index):
    cameras = None if rows.cameras is None else rows.cameras[index : index + 1]
    window = slice(index, index + 1)
    return NoisyRows(
        rows.latents[window], rows.timesteps[window], rows.text[window],
        rows.adapters[window], cameras,
    )  # fmt: skip


def test_shapes_follow_the_folder(prior):
    assert (prior.image_size, prior.latent_shape) == (16, (4, 8, 8))
    assert prior.num_train_timesteps == 1000
    assert prior.time_embedding_dim == 32


def test_mixed_rows_equal_separate_calls(adapted):
    prior, _, zeta = adapted
    names = ("__base__", "omega", "zeta", "omega", "zeta")
    cameras = torch.zeros(5, prior.time_embedding_dim)
    cameras[[2, 4]] = zeta.embed_cameras(turntable(2)).detach()
    rows = rows_of(prior, names, cameras)
    mixed = prior.predict_noise(rows)
    for index in range(5):
        alone = prior.predict_noise(one(rows, index))
        assert torch.allclose(mixed[index : index + 1], alone, atol=1e-5)
    assert not torch.allclose(mixed, prior.predict_noise(rows._replace(adapters=("zeta",) * 5)))


def test_each_hat_equals_peft_with_that_adapter_alone(adapted):
    """The routed layers against PEFT's own forward with one active adapter."""
    prior, _, _ = adapted
    rows = rows_of(prior, ("omega", "zeta", "__base__"))
    mixed = prior.predict_noise(rows)
    for index, name in enumerate(("omega", "zeta")):
        prior.family.denoiser.set_adapter(name)
        alone = prior.family.denoiser(rows.latents, rows.timesteps, rows.text).sample[index]
        assert torch.allclose(mixed[index], alone, atol=1e-5)
    prior.family.denoiser.disable_adapters()
    alone = prior.family.denoiser(rows.latents, rows.timesteps, rows.text).sample[2]
    assert torch.allclose(mixed[2], alone, atol=1e-5)


def test_fresh_adapters_change_nothing(prior):
    rows = rows_of(prior, ("__base__",) * 2)
    before = prior.predict_noise(rows)
    zeta = VariationalAdapter()
    LightAdapter().attach(prior)
    zeta.attach(prior)
    assert torch.equal(before, prior.predict_noise(rows))
    cameras = zeta.embed_cameras(turntable(2))
    after = prior.predict_noise(rows._replace(adapters=("omega", "zeta"), cameras=cameras))
    assert torch.equal(before, after)


def test_cameras_influence_only_their_rows(adapted):
    prior, _, zeta = adapted
    plain = rows_of(prior, ("__base__", "omega"))
    seen = rows_of(prior, ("zeta", "zeta"), zeta.embed_cameras(turntable(2)), seed=1)
    joined = join_rows([plain, seen])
    assert torch.equal(joined.cameras[:2], torch.zeros(2, prior.time_embedding_dim))
    here = prior.predict_noise(joined)
    turned = zeta.embed_cameras(turntable(2, elevation_deg=40.0))
    there = prior.predict_noise(join_rows([plain, seen._replace(cameras=turned)]))
    assert torch.equal(here[:2], there[:2])
    assert not torch.allclose(here[2:], there[2:])


def test_unknown_adapter_is_refused(prior):
    with pytest.raises(ValueError, match="no adapter omega is attached"):
        prior.predict_noise(rows_of(prior, ("omega",)))


def test_prior_stays_in_evaluation_mode(adapted):
    prior, omega, zeta = adapted
    torch.nn.ModuleList([prior, omega, zeta]).train()
    trained = {*omega.modules(), *zeta.modules()}
    assert not any(module.training for module in prior.modules() if module not in trained)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_noise_agrees_with_the_schedulers_conversion(sd_folders, prediction_type):
    from diffusers import DDIMScheduler

    folder = sd_folders[prediction_type]
    prior = StableDiffusionPrior(str(folder))
    scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler", clip_sample=False)
    scheduler.set_timesteps(1000)
    rows = rows_of(prior, ("__base__",) * 3)
    noise = prior.predict_noise(rows)
    alpha, sigma = prior.signal_and_noise(rows.timesteps)
    clean = (rows.latents - sigma * noise) / alpha
    raw = prior.family.denoiser(rows.latents, rows.timesteps, rows.text).sample
    for index, timestep in enumerate(rows.timesteps):
        step = scheduler.step(raw[index], timestep, rows.latents[index])
        assert torch.allclose(clean[index], step.pred_original_sample, atol=2e-4, rtol=1e-4)
    noisy = prior.add_noise(clean, noise, rows.timesteps)
    assert torch.allclose(noisy, scheduler.add_noise(clean, noise, rows.timesteps), atol=1e-5)


def test_sampling_agrees_with_the_pipeline(sd_folders):
    """Deterministic DDIM with guidance, against diffusers' own pipeline."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    folder = sd_folders["epsilon"]
    prior = StableDiffusionPrior(str(folder))
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config,
        clip_sample=False,
        timestep_spacing="trailing",
        set_alpha_to_one=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(1, *prior.latent_shape, generator=torch.Generator().manual_seed(3))
    expected = pipeline(
        "a striped dog", latents=noise, guidance_scale=3.0, num_inference_steps=4,
        height=16, width=16, output_type="pt",
    ).images  # fmt: skip
    text = prior.encode_prompts(["a striped dog"])
    ours = prior.sample(text, 3.0, 4, torch.Generator().manual_seed(3))
    assert torch.allclose(ours, expected, atol=1e-4)


def test_guidance_and_the_rows_it_spares(prior, monkeypatch):
    rows = rows_of(prior, ("__base__",) * 2)
    negative = prior.encode_prompts([""])
    uncond = prior.predict_noise(rows._replace(text=negative.expand(2, -1, -1)))
    cond = prior.predict_noise(rows)
    counts = []
    plain = prior.family.denoiser.forward
    monkeypatch.setattr(
        prior.family.denoiser,
        "forward",
        lambda x, *a, **k: (counts.append(len(x)), plain(x, *a, **k))[1],
    )
    guided, unguided = prior.predict_guided(Guided(rows, 4.0, negative), Guided(rows, 1.0))
    assert counts == [6]
    assert torch.allclose(guided, uncond + 4.0 * (cond - uncond), atol=1e-5)
    assert torch.allclose(unguided, cond, atol=1e-6)
    with pytest.raises(ValueError, match="negative"):
        prior.predict_guided(Guided(rows, 4.0))


def test_images_and_latents(prior):
    images = torch.rand(2, 3, 24, 24, requires_grad=True)
    latents = prior.encode_images(images)
    assert latents.shape == (2, *prior.latent_shape)
    latents.square().sum().backward()
    assert images.grad.abs().sum() > 0
    posterior = prior.family.vae.encode(torch.zeros(1, 3, 16, 16)).latent_dist
    grey = torch.full((1, 3, 16, 16), 0.5)
    scale = prior.family.vae.config.scaling_factor
    assert torch.allclose(prior.encode_images(grey), posterior.mean * scale)
    noisy = prior.encode_images(grey, torch.Generator().manual_seed(0))
    expected = posterior.sample(torch.Generator().manual_seed(0)) * scale
    assert torch.allclose(noisy, expected)
    pictures = prior.decode_latents(latents.detach())
    assert pictures.shape == (2, 3, 16, 16) and 0 <= pictures.min() and pictures.max() <= 1


def test_prompts_agree_with_the_text_encoder(prior):
    encoder = prior.family.encoders[0]
    prompts = ["a striped dog", "corgi"]
    ids = encoder.tokenizer(
        prompts, padding="max_length", max_length=16, truncation=True, return_tensors="pt"
    ).input_ids
    expected = encoder.text_encoder(ids)[0]
    assert torch.allclose(prior.encode_prompts(prompts), expected, atol=1e-6)


def test_a_prefix_of_words_equals_the_words(prior):
    prefix = torch.stack([prior.embed_words("front view"), prior.embed_words("side view")])
    prefix.requires_grad_()
    joined = prior.encode_prompts(["a dog", "corgi"], prefix)
    spoken = prior.encode_prompts(["front view a dog", "side view corgi"])
    assert torch.allclose(joined, spoken, atol=1e-6)
    joined[0].square().sum().backward()
    assert prefix.grad[0].abs().sum() > 0
    assert prefix.grad[1].abs().sum() == 0  # the other row's


def test_long_prompts_are_cut_with_a_warning(loaded_prior):
    prior = loaded_prior
    with pytest.warns(UserWarning, match="too long.*before 'corgi'"):
        cut = prior.encode_prompts(["dog " * 14 + "corgi"])
    assert torch.equal(cut, prior.encode_prompts(["dog " * 14]))
    with pytest.raises(ValueError, match="no room"):
        prior.encode_prompts(["dog"], torch.zeros(1, 14, 16))


def test_half_precision_weights_keep_the_callers_dtype(sd_folders, prior):
    half = StableDiffusionPrior(str(sd_folders["epsilon"]), dtype="bfloat16")
    omega = LightAdapter()
    omega.attach(half)
    assert {p.dtype for p in omega.parameters()} == {torch.float32}
    rows = rows_of(half, ("__base__", "omega"))
    noise = half.predict_noise(rows)
    assert noise.dtype == torch.float32
    full = prior.predict_noise(rows_of(prior, ("__base__",) * 2))
    assert torch.allclose(noise, full, atol=0.1)


@pytest.mark.parametrize("part", ["vae", "tokenizer"])
def test_a_missing_part_is_named(sd_folders, tmp_path, part):
    shutil.copytree(sd_folders["epsilon"], tmp_path / "sd")
    shutil.rmtree(tmp_path / "sd" / part)
    with pytest.raises(FileNotFoundError, match=f"no {part}/"):
        StableDiffusionPrior(str(tmp_path / "sd"))


def test_truncated_weights_are_one_line(sd_folders, tmp_path):
    shutil.copytree(sd_folders["epsilon"], tmp_path / "sd")
    weights = tmp_path / "sd" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="could not load the prior in the folder") as error:
        StableDiffusionPrior(str(tmp_path / "sd"))
    assert "\n" not in str(error.value)


def test_no_such_folder():
    with pytest.raises(FileNotFoundError, match="no folder"):
        StableDiffusionPrior("/nowhere/at/all")


def test_hub_id_out_of_reach_is_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="no folder nobody/nothing, and the hub") as error:
        StableDiffusionPrior("nobody/nothing")
    assert "\n" not in str(error.value)


def test_other_kinds_of_model_are_refused(sd_folders, tmp_path):
    shutil.copytree(sd_folders["epsilon"], tmp_path / "sd")
    config = tmp_path / "sd" / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace('"epsilon"', '"sample"'))
    with pytest.raises(ValueError, match="predicts 'sample'"):
        StableDiffusionPrior(str(tmp_path / "sd"))


@pytest.mark.gpu
def test_mixed_rows_on_a_gpu_equal_those_on_the_cpu(adapted):
    prior, omega, zeta = adapted
    rows = rows_of(prior, ("omega", "zeta"), zeta.embed_cameras(turntable(2)).detach())
    expected = prior.predict_noise(rows)
    torch.nn.ModuleList([prior, omega, zeta]).cuda()
    on_gpu = NoisyRows(*(v.cuda() if isinstance(v, torch.Tensor) else v for v in rows))
    assert torch.allclose(prior.predict_noise(on_gpu).cpu(), expected, atol=1e-3)


def test_only_an_autoencoder_that_overflows_is_widened(family_folders):
    """diffusers says of every autoencoder that does not deny it that it overflows."""
    dtypes = {}
    for name in ("epsilon", "xl"):
        prior = StableDiffusionPrior(str(family_folders[name]), dtype="float16")
        dtypes[name] = prior.family.vae.dtype, prior.family.denoiser.dtype
    assert dtypes["epsilon"] == (torch.float16, torch.float16)
    assert dtypes["xl"] == (torch.float32, torch.float16)


def test_an_autoencoder_that_is_freed_is_gone_and_says_so(prior):
    shape, before = prior.latent_shape, sum(p.numel() for p in prior.parameters())
    prior.free_autoencoder()
    assert prior.latent_shape == shape
    assert sum(p.numel() for p in prior.parameters()) < before
    with pytest.raises(RuntimeError, match="autoencoder was freed"):
        prior.encode_images(torch.rand(1, 3, 16, 16))
