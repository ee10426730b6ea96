"""The interface of a 2D diffusion prior, and what every prior can do with it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import Self

from redream.losses import guide, repel, rescale_guided
from redream.priors.diffusion import Diffusion
from redream.priors.learned_views import LearnedViews, Range
from redream.priors.rows import join_rows, without_image
from redream.types import ImagePrompt, NoisyRows

BASE = "__base__"


class Repelled(NamedTuple):
    """A text that rows are pushed away from, as Perp-Neg does.

    Attributes:
        text: Its embedding, one a row.
        weight: How strongly, one a row; 0 where the row has nothing to do with it.
    """

    text: Float[Tensor, "B L D"]
    weight: Float[Tensor, " B"]


class Guided(NamedTuple):
    """Rows to be scored with classifier-free guidance.

    Attributes:
        rows: The rows with their prompts.
        guidance_scale: s in eps_uncond + s (eps_cond - eps_uncond). At 1 the unconditional rows
            cancel and are never computed, unless texts repel.
        negative: Text embedding of the unconditional rows, one or one a row; needed unless they
            cancel. It says nothing of a picture.
        repelled: Texts whose part perpendicular to the prompt is subtracted (Perp-Neg).
        rescale: Share of the guided picture whose contrast is brought back to the conditional
            one's (:func:`redream.losses.rescale_guided`).
    """

    rows: NoisyRows
    guidance_scale: float = 1.0
    negative: Float[Tensor, "#B L D"] | None = None
    repelled: tuple[Repelled, ...] = ()
    rescale: float = 0.0


class Prior(nn.Module, ABC):
    """A frozen 2D diffusion prior phi over latents of pictures.

    A prior never trains and always stays in evaluation mode; gradients pass through it to its
    inputs and to the adapters attached to it. Constructor arguments are the configuration.

    Attributes:
        alphas: alpha_t of every training timestep, in x_t = alpha_t x_0 + sigma_t eps.
        sigmas: sigma_t of every training timestep.
        times: What the network is told of each timestep.
        predicts: What the network was trained to predict; :meth:`predict_noise` answers with the
            noise whatever it is.
        image_size: Side of the square pictures that are scored, in pixels.
        views_per_set: So many neighbouring rows are views of one object that the network looks at
            together, at one diffusion time and with one adapter; 1 looks at each row alone.
        needs_poses: Whether rows must say the poses that their pictures were taken with.
        learned_views: The views that the network has learned, where it was told poses.
        set_azimuths_deg: Where the views of a set stand; None: at equal steps from anywhere.
        needs_image: Whether rows must say what the object looks like,
            :meth:`encode_image_prompts`.
        reads_prompts: Whether prompts make a difference.
    """

    views_per_set: int = 1
    needs_poses: ClassVar[bool] = False
    learned_views: ClassVar[LearnedViews | None] = None
    set_azimuths_deg: ClassVar[tuple[float, ...] | None] = None
    needs_image: ClassVar[bool] = False
    reads_prompts: ClassVar[bool] = True

    alphas: Float[Tensor, " T"]
    sigmas: Float[Tensor, " T"]
    times: Float[Tensor, " T"]

    def __init__(self, diffusion: Diffusion, image_size: int) -> None:
        super().__init__()
        self.register_buffer("alphas", diffusion.alphas, persistent=False)
        self.register_buffer("sigmas", diffusion.sigmas, persistent=False)
        self.register_buffer("times", diffusion.times, persistent=False)
        self.predicts = diffusion.predicts
        self.image_size = image_size

    @property
    def num_train_timesteps(self) -> int:
        """How many timesteps the prior was trained with."""
        return self.alphas.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the prior lives."""
        return self.alphas.device

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents."""

    @abstractmethod
    def encode_images(
        self, images: Float[Tensor, "B 3 H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "B C h w"]:
        """Encodes pictures, with gradients.

        Args:
            images: Pictures in [0, 1] of any size; resized bilinearly to ``image_size``.
            generator: Samples the encoder's distribution; its mean without one.

        Returns:
            The latents, scaled as the denoiser expects them.
        """

    @abstractmethod
    def decode_latents(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Decodes latents to pictures in [0, 1]."""

    @abstractmethod
    def encode_prompts(
        self, prompts: Sequence[str], prefixes: Float[Tensor, "B P D"] | None = None
    ) -> Float[Tensor, "B L D"]:
        """Encodes prompts, optionally as cat(e_psi, c).

        Args:
            prompts: One prompt a row.
            prefixes: Token embeddings e_psi put before each prompt's tokens; their gradient
                flows through the frozen text encoder.

        Returns:
            The text embeddings, all of one length. What the rows of an embedding mean is the
            prior's own affair; embeddings may be gathered, joined and interpolated.
        """

    def encode_image_prompts(self, images: ImagePrompt) -> Float[Tensor, "B M D"]:
        """What rows say of pictures of the object; :func:`with_image` puts it behind a prompt's.

        Zeros in its place say nothing of any picture, as unconditional rows do.

        Args:
            images: The pictures, with their cameras.

        Returns:
            The embeddings, as wide as those of prompts.

        Raises:
            ValueError: If the prior reads no pictures.
        """
        raise ValueError(f"{type(self).__name__} reads no pictures, prompts alone")

    def image_tokens(self, images: ImagePrompt | None) -> Float[Tensor, "B M D"] | None:
        """:meth:`encode_image_prompts` where the prior needs a picture, without gradients.

        Raises:
            ValueError: If it needs one and there is none.
        """
        if not self.needs_image:
            return None
        if images is None:
            raise ValueError(
                f"{type(self).__name__} must be shown the object: set --data.image to a picture "
                "of it"
            )
        with torch.no_grad():
            return self.encode_image_prompts(images.to(self.device))

    @abstractmethod
    def embed_words(self, text: str) -> Float[Tensor, "P D"]:
        """The token embeddings of some words, from which a prefix e_psi may start."""

    @abstractmethod
    def predict_noise(self, rows: NoisyRows) -> Float[Tensor, "B C h w"]:
        """Predicts the noise of mixed rows in one forward pass.

        Args:
            rows: The rows, each with its own timestep, text and adapter.

        Returns:
            The predicted noise eps, whatever the prior was trained to predict.

        Raises:
            ValueError: If a row names an adapter that is not attached.
        """

    def free_text_encoders(self) -> None:  # noqa: B027  (most priors have none to free)
        """Lets the text encoders go: nobody will ask for another prompt."""

    def free_autoencoder(self) -> None:  # noqa: B027  (most priors have none to free)
        """Lets the autoencoder go: nobody will ask for pictures or their latents."""

    def require_views(
        self, num_views: int, elevation_deg: Range, fovy_deg: Range, half_height: Range
    ) -> None:
        """Finds out, before anything is made, whether a run's views can be scored.

        Args:
            num_views: Views of each particle in a step.
            elevation_deg: Range of their elevations.
            fovy_deg: Range of their vertical fields of view.
            half_height: Range of half of what they show at the origin.

        Raises:
            ValueError: If they are no whole sets, or far outside of what the network has learned.
        """
        name, num = type(self).__name__, self.views_per_set
        if num_views < 1 or num_views % num:
            raise ValueError(
                f"{name} looks at {num} views of an object together, and num_views is "
                f"{num_views}: set --model.cameras.num_views {max(1, num_views // num) * num}"
            )
        if (learned := self.learned_views) is not None:
            learned.require(name, elevation_deg, fovy_deg, half_height, "--model.cameras")

    def require_image(self, images: ImagePrompt, distance: Range, fovy_deg: Range) -> None:
        """Finds out whether a run's views can be scored beside a picture.

        Args:
            images: The picture.
            distance: Range of the views' distances.
            fovy_deg: Range of their fields of view.

        Raises:
            ValueError: If they are taken otherwise than the network can be told.
        """

    def require_sets(self, rows: NoisyRows) -> None:
        """Makes sure that rows are what the network can look at.

        Raises:
            ValueError: If they are no whole sets of one adapter each, or lack needed poses.
        """
        num, names = self.views_per_set, rows.adapters
        mixed = any(len(set(names[i : i + num])) > 1 for i in range(0, len(names), num))
        if len(rows.latents) % num or mixed:
            raise ValueError(
                f"{type(self).__name__} looks at {num} views of an object together, all with one "
                f"adapter, and got {len(rows.latents)} rows: give whole sets"
            )
        if self.needs_poses and rows.poses is None:
            raise ValueError(
                f"{type(self).__name__} must be told where each picture was taken from: give the "
                "rows' poses"
            )

    def step_bytes(self, num_views: int, learns_first: bool = False) -> int:
        """Bytes that a step's passes hold at most beside the weights; 0 where nobody counted.

        Args:
            num_views: Views that are scored and learned from at once.
            learns_first: Whether adapters learn while what the encoding remembers is still held;
                see :class:`redream.method.guidance.Guidance`.
        """
        return 0

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode: the prior is frozen, and adapters are mixed only there."""
        return super().train(False)

    def signal_and_noise(
        self, timesteps: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B 1 1 1"], Float[Tensor, "B 1 1 1"]]:
        """alpha_t and sigma_t of x_t = alpha_t x_0 + sigma_t eps."""
        shape = (-1, 1, 1, 1)
        return self.alphas[timesteps].view(shape), self.sigmas[timesteps].view(shape)

    def add_noise(
        self,
        latents: Float[Tensor, "B C h w"],
        noise: Float[Tensor, "B C h w"],
        timesteps: Int[Tensor, " B"],
    ) -> Float[Tensor, "B C h w"]:
        """Diffuses latents: x_t = alpha_t x_0 + sigma_t eps."""
        alpha, sigma = self.signal_and_noise(timesteps)
        return alpha * latents + sigma * noise

    def denoising_weight(self, timesteps: Int[Tensor, " B"]) -> Float[Tensor, "B 1 1 1"]:
        """What turns a squared error of the noise into one of what the network predicts.

        1 for epsilon, 1 / alpha_t^2 for v and flow: training on Eqs. 4 and 5 with it is training
        as the network itself was trained.
        """
        alpha, _ = self.signal_and_noise(timesteps)
        if self.predicts == "epsilon":
            return torch.ones_like(alpha)
        return alpha.clamp_min(1e-3).square().reciprocal()

    def predict_guided(self, *requests: Guided) -> tuple[Float[Tensor, "B C h w"], ...]:
        """Scores several requests, each with its own guidance, in one forward pass.

        Args:
            *requests: What to score.

        Returns:
            The guided noise of each request.

        Raises:
            ValueError: If a guidance scale other than 1 comes without a negative prompt.
        """
        parts: list[NoisyRows] = []
        for request in requests:
            parts.append(request.rows)
            texts = [repelled.text for repelled in request.repelled]
            if request.guidance_scale != 1.0 or texts:
                if request.negative is None:
                    raise ValueError(
                        f"guidance_scale {request.guidance_scale} needs a negative prompt's "
                        "embedding: pass one, or set the scale to 1"
                    )
                negative = without_image(request.negative, request.rows.text)
                texts.insert(0, negative.expand_as(request.rows.text))
            parts += [request.rows._replace(text=text) for text in texts]
        eps = self.predict_noise(join_rows(parts))
        noise = iter(torch.split(eps, [len(part.latents) for part in parts]))
        guided = []
        for request in requests:
            eps = next(noise)
            if request.guidance_scale != 1.0 or request.repelled:
                uncond = next(noise)
                repelled = [(next(noise), each.weight) for each in request.repelled]
                cond = repel(uncond, eps, repelled)
                eps = guide(uncond, cond, request.guidance_scale)
                if request.rescale != 0.0:
                    eps = self._rescaled(request, eps, cond)
            guided.append(eps)
        return tuple(guided)

    def _rescaled(
        self, request: Guided, eps: Float[Tensor, "B C h w"], cond: Float[Tensor, "B C h w"]
    ) -> Float[Tensor, "B C h w"]:
        """Guided noise whose clean pictures have some of the conditional ones' contrast."""
        noisy = request.rows.latents
        alpha, sigma = self.signal_and_noise(request.rows.timesteps)
        clean, plain = (noisy - sigma * eps) / alpha, (noisy - sigma * cond) / alpha
        clean = rescale_guided(clean, plain, request.rescale, self.views_per_set)
        return (noisy - alpha * clean) / sigma

    @torch.no_grad()
    def sample(
        self,
        text: Float[Tensor, "B L D"],
        guidance_scale: float = 7.5,
        num_steps: int = 25,
        generator: torch.Generator | None = None,
        adapter: str = BASE,
        negative: Float[Tensor, "#B L D"] | None = None,
        poses: Float[Tensor, "B 4 4"] | None = None,
    ) -> Float[Tensor, "B 3 H W"]:
        """Samples pictures with deterministic DDIM (Song et al., 2020a).

        On a rectified flow this is Euler's method.

        Args:
            text: Text embeddings, one picture each.
            guidance_scale: Classifier-free guidance.
            num_steps: Denoising steps, evenly spaced from the last timestep.
            generator: Draws the initial noise.
            adapter: The adapter that every row is scored with; the frozen prior by default.
            negative: Embedding of the unconditional rows; the empty prompt's by default.
            poses: Camera-to-world matrices of the pictures, for priors that are told them.

        Returns:
            Pictures in [0, 1].
        """
        num = text.shape[0]
        if negative is None and guidance_scale != 1.0:
            negative = self.encode_prompts([""])
        shape = (num, *self.latent_shape)
        where = self.device if generator is None else generator.device
        latents = torch.randn(shape, generator=generator, device=where, dtype=self.alphas.dtype)
        latents = latents.to(self.device)
        # Index -1, one step below timestep 0, is the clean picture.
        alphas = torch.cat([self.alphas, self.alphas.new_ones(1)])
        sigmas = torch.cat([self.sigmas, self.sigmas.new_zeros(1)])
        # Where nothing of the picture is left the noise says nothing of it: start just below.
        first = int(self.alphas.nonzero()[-1])
        times = torch.linspace(first, -1, num_steps + 1).round().long()
        for now, after in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
            timesteps = torch.full((num,), now, device=self.device)
            rows = NoisyRows(latents, timesteps, text, (adapter,) * num, poses=poses)
            (eps,) = self.predict_guided(Guided(rows, guidance_scale, negative))
            clean = (latents - sigmas[now] * eps) / alphas[now]
            latents = alphas[after] * clean + sigmas[after] * eps
        return self.decode_latents(latents)
