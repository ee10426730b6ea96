"""LoRAs of the user's own, written by diffusers and PEFT themselves."""

import pytest
import torch

from redream.adapters import LightAdapter, VariationalAdapter
from redream.priors import BASE, StableDiffusionPrior
from redream.testing.priors import noisy_rows


def write_lora(folder, path, kind="StableDiffusionPipeline", component="unet", seed=0):
    """Saves a random LoRA with diffusers' own writer; returns what it predicts with it."""
    import diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(seed)
    pipeline = getattr(diffusers, kind).from_pretrained(folder)
    denoiser = getattr(pipeline, component)
    config = LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    denoiser.add_adapter(config)
    layers = get_peft_model_state_dict(denoiser)
    getattr(diffusers, kind).save_lora_weights(path, **{f"{component}_lora_layers": layers})
    return denoiser


@pytest.mark.parametrize(
    ("name", "kind", "component"),
    [
        ("epsilon", "StableDiffusionPipeline", "unet"),
        ("xl", "StableDiffusionXLPipeline", "unet"),
        ("3", "StableDiffusion3Pipeline", "transformer"),
    ],
)
def test_a_lora_is_merged_as_diffusers_applies_it(family_folders, tmp_path, name, kind, component):
    folder = str(family_folders[name])
    denoiser = write_lora(folder, tmp_path, kind, component)
    prior = StableDiffusionPrior(folder, loras=[str(tmp_path)])
    assert not any("lora" in name for name, _ in prior.named_parameters())
    plain = StableDiffusionPrior(folder)
    rows = noisy_rows(plain, (BASE,) * 2)
    without = plain.predict_noise(rows)
    plain.family.denoiser = denoiser
    with torch.no_grad():
        expected = plain.predict_noise(rows)
    torch.testing.assert_close(prior.predict_noise(rows), expected, atol=1e-5, rtol=0)
    assert (expected - without).abs().max() > 1e-4


def test_every_hat_wears_the_users_lora(sd_folders, tmp_path):
    folder = str(sd_folders["epsilon"])
    write_lora(folder, tmp_path)
    prior = StableDiffusionPrior(folder, loras=[str(tmp_path)])
    rows = noisy_rows(prior, (BASE,) * 3)
    expected = prior.predict_noise(rows)
    for adapter in (LightAdapter(), VariationalAdapter()):
        adapter.attach(prior)
    worn = prior.predict_noise(rows._replace(adapters=(BASE, "omega", "zeta")))
    assert torch.equal(worn, expected)


def test_loras_stack_with_their_scales(sd_folders, tmp_path):
    folder = str(sd_folders["epsilon"])
    paths = [str(tmp_path / name) for name in ("one", "two")]
    for seed, path in enumerate(paths):
        write_lora(folder, path, seed=seed)
    plain = StableDiffusionPrior(folder)
    ones = [StableDiffusionPrior(folder, loras=[path]) for path in paths]
    both = StableDiffusionPrior(folder, loras=paths, lora_scales=[0.5, 2.0])
    layer = "family.denoiser.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    base, one, two, all_ = (p.get_parameter(layer) for p in (plain, *ones, both))
    torch.testing.assert_close(all_ - base, 0.5 * (one - base) + 2.0 * (two - base))


def test_what_cannot_be_merged_is_one_line(sd_folders, family_folders, tmp_path):
    folder = str(sd_folders["epsilon"])

    def refused(error, said, *loras, **options):
        with pytest.raises(error, match=said) as raised:
            StableDiffusionPrior(folder, loras=[str(lora) for lora in loras], **options)
        assert "\n" not in str(raised.value)

    write_lora(family_folders["xl"], tmp_path / "xl", "StableDiffusionXLPipeline")
    refused(ValueError, "for another architecture: it adapts .* of width 40", tmp_path / "xl")
    write_lora(family_folders["3"], tmp_path / "3", "StableDiffusion3Pipeline", "transformer")
    refused(ValueError, "for another architecture: it adapts no unet", tmp_path / "3")
    refused(FileNotFoundError, "no LoRA at", tmp_path / "nothing")
    refused(ValueError, "1 loras but 2 lora_scales", tmp_path / "xl", lora_scales=[1.0, 1.0])
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a safetensors file")
    refused(ValueError, "is no safetensors file, or a damaged one", broken)
