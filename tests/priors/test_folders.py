"""Folders as people have them: whole, in other layouts, with something missing, of other kinds."""

import inspect
import json
import shutil

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from redream.priors import StableDiffusionPrior
from redream.priors.diffusion import DDPM, from_ddpm_scheduler
from redream.testing.priors import noisy_rows


@pytest.fixture
def copied(family_folders, tmp_path):
    """A copy of a family's folder for a test to spoil."""

    def copy(name="epsilon"):
        return shutil.copytree(family_folders[name], tmp_path / "model")

    return copy


def refused(folder, said, **options):
    with pytest.raises((ValueError, FileNotFoundError), match=said) as error:
        StableDiffusionPrior(str(folder), **options)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    return str(error.value)


def rewrite(part, change):
    (path,) = part.glob("*.safetensors")
    save_file(change(load_file(path)), path, {"format": "pt"})


def edit(path, **changes):
    """Changes fields of a config; None of ``...`` takes one out."""
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *(("epsilon", part) for part in ("text_encoder", "unet", "vae")),
        *(("xl", part) for part in ("text_encoder", "text_encoder_2", "unet", "vae")),
        *(("3", part) for part in ("text_encoder_2", "text_encoder_3", "transformer", "vae")),
    ],
)
def test_a_missing_tensor_is_named(copied, name, part):
    folder = copied(name)
    (path,) = (folder / part).glob("*.safetensors")
    lost = next(name for name in sorted(load_file(path)) if "norm" in name)
    rewrite(folder / part, lambda tensors: {k: t for k, t in tensors.items() if k != lost})
    said = refused(folder, rf"{part}/ lacks 1 of its \d+ tensors .*download the model again")
    assert lost.removeprefix("text_model.") in said


def test_two_missing_tensors_are_counted(copied):
    folder = copied()
    rewrite(folder / "unet", lambda tensors: dict(list(tensors.items())[2:]))
    refused(folder, r"lacks 2 of its \d+ tensors \(conv_in.bias and 1 more\)")


def test_a_tensor_without_a_place_is_named(copied):
    folder = copied()
    rewrite(folder / "unet", lambda tensors: {**tensors, "motion.weight": torch.zeros(2)})
    with pytest.warns(UserWarning, match="no place for motion.weight, left out"):
        StableDiffusionPrior(str(folder))


def test_loading_says_nothing_of_its_own(copied, capfd):
    folder = copied()
    positions = {"text_model.embeddings.position_ids": torch.arange(16)[None]}
    rewrite(folder / "text_encoder", lambda tensors: tensors | positions)  # as Stable Diffusion 1.5
    StableDiffusionPrior(str(folder))
    assert capfd.readouterr() == ("", "")


def renamed(tensors, *pairs):
    names = {name: name for name in tensors}
    for old, new in pairs:
        names = {name: now.replace(old, new) for name, now in names.items()}
    return {names[name]: tensor for name, tensor in tensors.items()}


def test_names_of_older_libraries_are_read(copied, family_folders):
    """transformers before 5 writes text_model before a text encoder's; diffusers before 0.18
    query, key, value and proj_attn in autoencoders, as the hub's folders of 1.5 and 2.1 have."""
    folder = copied()
    rewrite(
        folder / "text_encoder",
        lambda tensors: (
            {f"text_model.{k}": t for k, t in tensors.items()}
            if not any("text_model" in k for k in tensors)
            else tensors
        ),
    )
    old = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")]
    rewrite(folder / "vae", lambda tensors: renamed(tensors, *old))
    prior = StableDiffusionPrior(str(folder))
    plain = StableDiffusionPrior(str(family_folders["epsilon"]))
    for name, tensor in plain.state_dict().items():
        assert torch.equal(prior.state_dict()[name], tensor), name


def suffixed(folder, *parts, suffix="fp16"):
    for part in parts:
        (path,) = (folder / part).glob("*.safetensors")
        path.rename(path.with_suffix(f".{suffix}.safetensors"))


def test_weights_under_a_suffix_are_asked_for_by_it(copied):
    folder = copied()
    suffixed(folder, "unet", "vae")
    refused(folder, "(vae|unet)/ has only fp16 weights: .*--model.prior.init_args.variant fp16")
    StableDiffusionPrior(str(folder), variant="fp16")  # and the text encoder's plain ones
    refused(folder, "has only fp16 weights", variant="bf16")
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    refused(folder, "unet/ has no weights: diffusion_pytorch_model.safetensors", variant="fp16")


def test_weights_in_shards_are_read(copied, family_folders):
    folder = copied()
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet")
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", max_shard_size="50KB", variant="fp16")
    assert len(list((folder / "unet").glob("*.safetensors"))) > 1
    prior = StableDiffusionPrior(str(folder), variant="fp16")
    for name, tensor in unet.state_dict().items():
        assert torch.equal(prior.family.denoiser.state_dict()[name], tensor)


def test_pickles_are_not_read(copied):
    folder = copied()
    for part in ("vae", "unet"):
        (path,) = (folder / part).glob("*.safetensors")
        torch.save(load_file(path), path.with_suffix(".bin"))
        path.unlink()
    refused(folder, "vae/ has no safetensors.* may run code .*save_pretrained")


@pytest.mark.parametrize(
    ("sample_size", "image_size", "side"),
    [([8, 8], None, 16), (None, 16, 16), ([8, 12], 32, 32), (None, None, 0), ([8, 12], None, 0)],
)
def test_the_size_is_the_configs_or_the_users(copied, sample_size, image_size, side):
    folder = copied()
    edit(folder / "unet" / "config.json", sample_size=sample_size)
    if side:
        prior = StableDiffusionPrior(str(folder), image_size=image_size)
        assert prior.image_size == side
        return
    refused(folder, "states no square size .*: set image_size")


UNETS = {
    "class labels": ("epsilon", {"num_class_embeds": 3}, "wants to be told class labels"),
    "upscaler": ("epsilon", {"class_embed_type": "timestep"}, "class_embed_type is 'timestep'"),
    "LCM": ("epsilon", {"time_cond_proj_dim": 8}, "guidance it was distilled with"),
    "IP-Adapter": (
        "epsilon", {"encoder_hid_dim": 16, "encoder_hid_dim_type": "image_proj"}, "of pictures",
    ),
    "XL's UNet": (
        "epsilon",
        {"addition_embed_type": "text_time", "addition_time_embed_dim": 8,
         "projection_class_embeddings_input_dim": 68},
        "addition_embed_type is 'text_time'",
    ),
    "learned variance": ("epsilon", {"out_channels": 8}, "answers with 8 channels"),
    "depth": ("epsilon", {"in_channels": 5}, "takes 5 channels"),
    "wider texts": ("epsilon", {"cross_attention_dim": 24}, "reads texts of width 24, .* write 16"),
    "plain UNet in XL": ("xl", {"addition_embed_type": None}, "addition_embed_type is None"),
    "refiner": ("xl", {"projection_class_embeddings_input_dim": 60}, "is a refiner's"),
    "wider pooled texts": (
        "xl", {"projection_class_embeddings_input_dim": 80}, "pooled texts of width 32",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNETS)
def test_a_unet_that_wants_more_is_refused(copied, kind):
    name, changes, said = UNETS[kind]
    folder = copied(name)
    config = json.loads((folder / "unet" / "config.json").read_text())
    shutil.rmtree(folder / "unet")
    diffusers.UNet2DConditionModel.from_config(config | changes).save_pretrained(folder / "unet")
    refused(folder, said)


FIELDS = {
    "EDM": ("epsilon", "scheduler", {"_class_name": "EDMEulerScheduler"}, "is of EDMEulerSch"),
    "flow": ("epsilon", "scheduler", {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "is of"),
    "flow by a field": ("epsilon", "scheduler", {"use_flow_sigmas": True}, "use_flow_sigmas"),
    "no betas": ("epsilon", "scheduler", {"beta_start": ...}, "does not state beta_start"),
    "predicts x0": ("epsilon", "scheduler", {"prediction_type": "sample"}, "predicts 'sample'"),
    "betas in 3": ("3", "scheduler", {"_class_name": "DDIMScheduler"}, "is of DDIMScheduler"),
    "inverted": ("3", "scheduler", {"invert_sigmas": True}, "sets invert_sigmas to True"),
    "no shift": ("3", "scheduler", {"shift": ...}, "does not state shift"),
    "no scale": ("epsilon", "vae", {"scaling_factor": None}, "states no scaling_factor"),
    "2.1's scale in XL": ("xl", "vae", {"scaling_factor": ...}, "states no scaling_factor"),
}


@pytest.mark.parametrize("kind", FIELDS)
def test_a_field_that_changes_the_scores_is_refused(copied, kind):
    name, part, changes, said = FIELDS[kind]
    folder = copied(name)
    edit(next((folder / part).glob("*config.json")), **changes)
    refused(folder, said)


@pytest.mark.parametrize(
    ("part", "named"), [("vae", "AutoencoderTiny"), ("text_encoder", "XLMRobertaModel")]
)
def test_a_part_of_another_class_is_refused(copied, part, named):
    folder = copied()
    edit(folder / "model_index.json", **{part: ["library", named]})
    refused(folder, f"its {part} is a {named}, and of a StableDiffusionPipeline")


BETAS = {
    "linear": {"beta_schedule": "linear"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "trained": {"trained_betas": torch.linspace(1e-4, 0.03, 1000).tolist()},
    "fewer steps": {"num_train_timesteps": 600},
    "zero terminal SNR": {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers' schedulers and NumPy 2
@pytest.mark.parametrize("kind", BETAS)
def test_noise_is_what_the_folders_own_scheduler_says(kind, tmp_path):
    stated = {"beta_start": 0.001, "beta_end": 0.01, "beta_schedule": "scaled_linear"}
    stated |= BETAS[kind]
    num = 0
    for name in DDPM.schedulers:
        own = getattr(diffusers, name)
        known = inspect.signature(own).parameters
        if getattr(own, "_backends", None) or not stated.keys() <= known.keys():
            continue  # a library of its own is missing, or it knows no such noise
        scheduler = own(**stated)
        scheduler.save_pretrained(tmp_path)
        DDPM.check(json.loads((tmp_path / "scheduler_config.json").read_text()))
        read = from_ddpm_scheduler(diffusers.DDPMScheduler.from_pretrained(tmp_path))
        # some keep a grain of the picture at the end, so as not to divide by zero
        torch.testing.assert_close(read.alphas**2, scheduler.alphas_cumprod, atol=1e-6, rtol=1e-5)
        num += 1
    assert num > 7


def test_zero_terminal_snr_is_scored(copied):
    folder = copied("v_prediction")
    edit(folder / "scheduler" / "scheduler_config.json", rescale_betas_zero_snr=True)
    prior = StableDiffusionPrior(str(folder))
    assert prior.alphas[-1] == 0 and prior.sigmas[-1] == 1
    rows = noisy_rows(prior, ("__base__",) * 2)
    rows = rows._replace(timesteps=torch.tensor([999, 10]))
    assert prior.predict_noise(rows).isfinite().all()


def test_latents_are_normalised_as_the_autoencoder_says(copied):
    """As StableDiffusionXLPipeline decodes Playground 2.5's: z / f * std + mean."""
    folder = copied("xl")
    mean, std = [1.0, -2.0, 0.5, 0.0], [2.0, 4.0, 0.5, 1.0]
    edit(folder / "vae" / "config.json", latents_mean=mean, latents_std=std, scaling_factor=0.5)
    prior = StableDiffusionPrior(str(folder))
    grey = torch.full((1, 3, 16, 16), 0.5)
    raw = prior.family.vae.encode(grey * 0.0).latent_dist.mean
    latents = prior.encode_images(grey)
    axis = (1, 4, 1, 1)
    back = latents / 0.5 * torch.tensor(std).view(axis) + torch.tensor(mean).view(axis)
    torch.testing.assert_close(back, raw)
    decoded = prior.family.vae.decode(raw).sample * 0.5 + 0.5
    torch.testing.assert_close(prior.decode_latents(latents), decoded.clamp(0, 1))
