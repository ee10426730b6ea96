"""What the 2D prior asks of noisy latents: the gradients of Eqs. 1, 2 and 20."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.adapters import LightAdapter, VariationalAdapter
from redream.losses import sds_gradient, vsd_gradient
from redream.method.prompts import PromptTable
from redream.priors import BASE, Guided, Prior, join_rows
from redream.priors.prompting import Conditioning
from redream.schedules import Weighting, score_weight
from redream.types import Cameras, NoisyRows, Views


class Drawn(NamedTuple):
    """What one step draws for one particle: views, and the noise that they are scored with.

    Attributes:
        particle: Index of the particle.
        cameras: psi.
        views: g(theta, psi).
        background: The picture behind.
        image: The views over the background.
        latents: The image, encoded.
        timesteps: t.
        noise: eps.
        generator: The rest of the step's random numbers of this particle.
    """

    particle: int
    cameras: Cameras
    views: Views
    background: Float[Tensor, "B 3 #H #W"]
    image: Float[Tensor, "B 3 H W"]
    latents: Float[Tensor, "B C h w"]
    timesteps: Int[Tensor, " B"]
    noise: Float[Tensor, "B C h w"]
    generator: torch.Generator


class Scoring:
    """The frozen prior under the hats of omega and zeta.

    Args:
        prior: phi, with the adapters attached.
        variational_prior: The model that hosts zeta where it is not phi itself.
        adapter: omega; None scores with phi alone.
        variational: zeta; None distils by SDS.
        weighting: w(t).
        prompts: The prompt's embeddings.
        prompt: The prompt, for a ``variational_prior`` with text encoders of its own.
    """

    def __init__(
        self,
        prior: Prior,
        variational_prior: Prior | None,
        adapter: LightAdapter | None,
        variational: VariationalAdapter | None,
        weighting: Weighting,
        prompts: PromptTable,
        prompt: str,
    ) -> None:
        self.prior, self.variational_prior = prior, variational_prior
        self.variational, self.weighting, self.prompts = variational, weighting, prompts
        self.hat = BASE if adapter is None else adapter.name
        self._variational_text = prompts.plain
        if variational_prior is not None:
            with torch.no_grad():
                self._variational_text = variational_prior.encode_prompts([prompt])
            variational_prior.free_text_encoders()

    def gradient(
        self,
        latents: Float[Tensor, "B C h w"],
        noise: Float[Tensor, "B C h w"],
        timesteps: Int[Tensor, " B"],
        cameras: Cameras,
        conditioning: Conditioning,
        guidance_scale: float,
        eps_variational: Float[Tensor, "S C h w"] | None = None,
    ) -> Float[Tensor, "B C h w"]:
        """Eq. 2 with zeta, Eq. 1 without: dL/dx of each row.

        Where zeta lives on the prior's own network all rows are one forward pass; its
        unconditional half, which would cancel, is never computed.

        Args:
            latents: Of the views.
            noise: eps.
            timesteps: t.
            cameras: psi.
            conditioning: What the prior's rows are conditioned on.
            guidance_scale: Classifier-free guidance of the prior.
            eps_variational: What zeta has already said of the first S rows.

        Returns:
            The gradient with respect to the latents.
        """
        noisy = self.prior.add_noise(latents, noise, timesteps)
        rows = NoisyRows(noisy, timesteps, conditioning.text, (self.hat,) * len(noisy))
        negative = self.prompts.negative
        guided = Guided(rows, guidance_scale, negative, conditioning.repelled)
        weight = score_weight(self.weighting, *self.prior.signal_and_noise(timesteps))
        if self.variational is None:
            (eps_prior,) = self.prior.predict_guided(guided)
            return sds_gradient(eps_prior, noise, weight)
        said = noisy[:0] if eps_variational is None else eps_variational
        rest = slice(len(said), None)
        if len(said) == len(noisy):
            (eps_prior,) = self.prior.predict_guided(guided)
            return vsd_gradient(eps_prior, said, weight)
        unsaid = self.variational_rows(noisy[rest], timesteps[rest], cameras.select(rest))
        if self.variational_prior is None:
            eps_prior, eps_rest = self.prior.predict_guided(guided, Guided(unsaid))
        else:
            (eps_prior,) = self.prior.predict_guided(guided)
            eps_rest = self.variational_prior.predict_noise(unsaid)
        eps_variational = torch.cat([said, eps_rest])
        return vsd_gradient(eps_prior, eps_variational, weight)

    def variational_rows(
        self,
        noisy: Float[Tensor, "B C h w"],
        timesteps: Int[Tensor, " B"],
        cameras: Cameras,
    ) -> NoisyRows:
        """Rows of zeta, conditioned on the prompt without a view and on the camera psi."""
        assert self.variational is not None
        text = self._variational_text.expand(len(noisy), -1, -1)
        embedding = self.variational.embed_cameras(cameras)
        hats = (self.variational.name,) * len(noisy)
        return NoisyRows(noisy, timesteps, text, hats, embedding)

    def predict(self, parts: Sequence[NoisyRows]) -> list[Float[Tensor, "B C h w"]]:
        """Predicts the noise of several batches, in one forward pass for each network.

        Args:
            parts: Rows; those of zeta go to the network that hosts it.

        Returns:
            The predicted noise of each batch.
        """
        hosts = [self.host_of(rows) for rows in parts]
        answers: dict[int, Tensor] = {}
        for host in dict.fromkeys(hosts):
            mine = [index for index, each in enumerate(hosts) if each is host]
            joined = host.predict_noise(join_rows([parts[index] for index in mine]))
            split = joined.split([len(parts[index].latents) for index in mine])
            answers |= dict(zip(mine, split, strict=True))
        return [answers[index] for index in range(len(parts))]

    def host_of(self, rows: NoisyRows) -> Prior:
        """The network that scores a batch of rows."""
        is_zeta = self.variational is not None and rows.adapters[0] == self.variational.name
        return self.variational_prior if is_zeta and self.variational_prior else self.prior


def require_same_diffusion(prior: Prior, variational_prior: Prior) -> None:
    """Makes sure that two priors see the same x_t, whatever each was trained to predict.

    Raises:
        ValueError: If their latents or their noise schedules differ.
    """
    if prior.latent_shape[0] != variational_prior.latent_shape[0]:
        raise ValueError(
            f"variational_prior has {variational_prior.latent_shape[0]} latent channels and prior "
            f"{prior.latent_shape[0]}: take two models with one autoencoder"
        )
    same = prior.alphas.shape == variational_prior.alphas.shape and torch.allclose(
        prior.alphas, variational_prior.alphas, atol=1e-4
    )
    if not same:
        raise ValueError(
            f"variational_prior ({variational_prior.predicts}) and prior ({prior.predicts}) have "
            "different noise schedules: take two models of one family, or set variational_prior "
            "to null"
        )
