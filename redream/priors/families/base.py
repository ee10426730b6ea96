"""What differs between the families of latent diffusion models."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Self

from redream.priors.diffusion import Diffusion, Process

Loader = Callable[..., Any]
"""``load(Class, "subfolder")`` reads a part of a model with its own library."""


PLAIN = "give a plain text-to-image model"


def dtype_of(part: nn.Module) -> torch.dtype:
    """The dtype of a part's first weight.

    diffusers' own ``dtype`` walks all modules each time that it is read (0.42: 4.7 ms of a small
    UNet with adapters, which is scored in 14), as one of them might cast its weights layer by
    layer, which nothing does here.
    """
    return next(each.dtype for each in part.parameters() if each.is_floating_point())


class Family(nn.Module, ABC):
    """The parts of a model, and how its denoiser is asked.

    Attributes:
        component: The denoiser's name in a pipeline and in LoRA files.
        vae_overflows: Whether the family's autoencoder overflows in float16, where its
            configuration does not say otherwise.
        step_bytes: Bytes that a step holds beside the weights, at most at once, of each pixel of a
            scored picture in half precision; and with gradient checkpointing. Counted by
            ``benchmarks/memory.py``; 0 where nobody did.
        autoencoder_bytes: Of these, what the autoencoder remembers of a picture for its backward
            pass. It is gone before the networks train, but where these train first.
        parts: The folders that a model of this family must have.
        optional_parts: Those that it may have.
        other_classes: Classes of others' own that an index may name in the place of diffusers'.
        process: How noise grows in the family, and the schedulers that say it.
        vae: The autoencoder of pictures.
        denoiser: The network that all adapters share.
        diffusion: Its forward process and what it predicts.
    """

    component: ClassVar[str]
    vae_overflows: ClassVar[bool] = False
    step_bytes: ClassVar[tuple[int, int]] = (0, 0)
    autoencoder_bytes: ClassVar[int] = 6_100
    parts: ClassVar[tuple[str, ...]]
    optional_parts: ClassVar[tuple[str, ...]] = ()
    other_classes: ClassVar[tuple[str, ...]] = ()
    process: ClassVar[Process]

    def __init__(self, vae: nn.Module, denoiser: nn.Module, diffusion: Diffusion) -> None:
        super().__init__()
        self.vae: Any = vae
        self.denoiser: Any = denoiser
        self.diffusion = diffusion
        self.encoders = nn.ModuleList()

    @classmethod
    @abstractmethod
    def load(cls, load: Loader, index: dict[str, Any]) -> Self:
        """Reads the parts.

        Args:
            load: Reads one part.
            index: The model's ``model_index.json``.
        """

    def require_plain(self) -> None:
        """Looks at every field of the configs on which the mathematics of the scores hangs.

        Raises:
            ValueError: If the denoiser wants more than noise, time and text, answers with more
                than noise, or the parts do not belong together.
        """
        config, latents = self.denoiser.config, self.vae.config.latent_channels
        if config.in_channels != latents:
            raise ValueError(
                f"its denoiser takes {config.in_channels} channels but pictures have {latents} "
                f"latent ones: {PLAIN}, not one for inpainting or depth"
            )
        if (config.out_channels or latents) != latents:
            raise ValueError(
                f"its denoiser answers with {config.out_channels} channels for {latents} latent "
                f"ones, the noise's variance too: {PLAIN}"
            )
        if not self.vae.config.scaling_factor:
            raise ValueError("vae/config.json states no scaling_factor: write the model's into it")

    @abstractmethod
    def pipeline(self) -> Any:  # noqa: ANN401  (diffusers')
        """The parts in diffusers' own pipeline, which reads its users' LoRAs."""

    @property
    def lora_options(self) -> dict[str, Any]:
        """What the pipeline's ``load_lora_weights`` must be told of the model."""
        return {}

    @property
    @abstractmethod
    def time_embedding(self) -> nn.Module:
        """The layer whose output conditions the denoiser on time, one vector a row."""

    @property
    @abstractmethod
    def time_embedding_dim(self) -> int:
        """Width of that vector."""

    @abstractmethod
    def encode_prompts(
        self, prompts: Sequence[str], prefixes: Float[Tensor, "B P D"] | None
    ) -> Float[Tensor, "B L D"]:
        """Encodes prompts, each text encoder with its own part of the prefixes."""

    @abstractmethod
    def denoise(
        self,
        noisy: Float[Tensor, "B C h w"],
        times: Float[Tensor, " B"],
        text: Float[Tensor, "B L D"],
        image_size: int,
    ) -> Float[Tensor, "B C h w"]:
        """The denoiser's raw answer, one row each."""

    def embed_words(self, text: str) -> Float[Tensor, "P D"]:
        """The token embeddings of some words, those of all text encoders side by side.

        Where the encoders cut the words into tokens of different number, the shorter lists
        repeat their last one.
        """
        words = [encoder.embed_words(text).float() for encoder in self.encoders]  # type: ignore[operator]
        longest = max(len(tokens) for tokens in words)
        padded = [torch.cat([w, w[-1:].expand(longest - len(w), -1)]) for w in words]
        return torch.cat(padded, dim=-1)

    def prefixes_of_encoders(
        self, prefixes: Float[Tensor, "B P D"] | None
    ) -> list[Float[Tensor, "B P D"] | None]:
        """Each text encoder's own part of the prefixes."""
        if prefixes is None:
            return [None] * len(self.encoders)
        return list(prefixes.split([int(e.width) for e in self.encoders], dim=-1))  # type: ignore[arg-type]


def require_width(reads: int, writes: int, what: str) -> None:
    """Makes sure that a denoiser reads what the text encoders write.

    Raises:
        ValueError: If the widths differ.
    """
    if reads != writes:
        raise ValueError(
            f"its denoiser reads {what} of width {reads}, but its text encoders write {writes}: "
            "its parts belong to different models, give those of one"
        )


def require_stated_scale(vae: Any) -> None:  # noqa: ANN401  (diffusers')
    """Refuses the default scale of latents, which is that of Stable Diffusion 1 and 2.

    Raises:
        ValueError: If the autoencoder's config does not state its own.
    """
    if "scaling_factor" in vae.config.get("_use_default_values", ()):
        raise ValueError("vae/config.json states no scaling_factor: write the model's into it")


def append_pooled(
    tokens: Float[Tensor, "B L D"], pooled: Float[Tensor, "B P"]
) -> Float[Tensor, "B M D"]:
    """Puts a pooled embedding behind the tokens, in as many rows of their width as it needs."""
    num = -(-pooled.shape[1] // tokens.shape[2])
    rows = nn.functional.pad(pooled, (0, num * tokens.shape[2] - pooled.shape[1]))
    return torch.cat([tokens, rows.view(len(rows), num, -1).to(tokens)], dim=1)


def split_pooled(
    text: Float[Tensor, "B M D"], pooled_dim: int
) -> tuple[Float[Tensor, "B L D"], Float[Tensor, "B P"]]:
    """Takes apart what :func:`append_pooled` joined."""
    num = -(-pooled_dim // text.shape[2])
    return text[:, :-num], text[:, -num:].flatten(1)[:, :pooled_dim]
