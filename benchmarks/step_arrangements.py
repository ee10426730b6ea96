"""One step of variational score distillation from given latents, as three codes arrange it.

The peers' are written after their sources, as plainly as those describe them; all start from the
same latents and end with the gradients of latents and LoRA. Facts of the sources:

* threestudio, ``stable_diffusion_vsd_guidance.py``: ``compute_grad_vsd`` scores prompt and negative
  prompt with the prior, then camera and blank camera with zeta (whose guidance is 1, so that the
  second half cancels); ``train_lora`` is one more pass, at a time and noise of its own.
* ProlificDreamer, ``nerf/sd.py`` and ``nerf/utils.py``: the prior likewise, zeta with the camera
  alone, then a training pass like threestudio's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from step_models import plain_unet, unet_with_lora
from torch import Tensor
from torch.nn.functional import mse_loss

from redream.cameras import turntable
from redream.losses import guidance_loss
from redream.method.correction import Correction
from redream.method.guidance import VSD
from redream.method.module import ReDream
from redream.method.terms import Drawn
from redream.priors import StableDiffusionPrior
from redream.priors.prompting import Conditioning
from redream.representations import NeRF
from redream.types import key_generator

Part = Callable[[str], object]
"""``with part("prior"): ...`` notes how long a part takes."""


class Inputs(NamedTuple):
    """What a step starts from: one view, and texts as (prompt, negative)."""

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    text: Tensor
    c2w: Tensor


def inputs_for(prior: StableDiffusionPrior) -> Inputs:
    """Random latents and noise, a time in the middle, two texts and one camera."""
    generator = key_generator("benchmark", 0)
    latents, noise = torch.randn(2, 1, *prior.latent_shape, generator=generator)
    text = prior.encode_prompts(["a striped corgi", ""]).detach().float()
    given = (latents, noise, torch.tensor([500]), text, turntable(1).c2w)
    inputs = Inputs(*(tensor.to(prior.device) for tensor in given))
    inputs.latents.requires_grad_()
    return inputs


class Peers:
    """threestudio and ProlificDreamer: a network for the prior, and one for zeta.

    Args:
        prior: Lends its frozen UNet, before any adapter is attached, and its noise schedule.
        compiled: Whether both networks are compiled.
    """

    def __init__(self, prior: StableDiffusionPrior, compiled: bool) -> None:
        self.unet, self.zeta = plain_unet(prior), unet_with_lora(prior)
        self.add_noise, self.signal_and_noise = prior.add_noise, prior.signal_and_noise
        if compiled:
            self.unet.compile()
            self.zeta.compile()

    def parameters(self) -> Iterator[Tensor]:
        """What trains."""
        return (p for p in self.zeta.parameters() if p.requires_grad)

    def threestudio(self, inputs: Inputs, part: Part) -> None:
        """Prior on two rows, zeta on two rows, zeta's training on one; one backward pass."""
        latents, noise, timesteps, text, c2w = inputs
        with torch.no_grad():
            noisy, eps_prior = self._prior(inputs, part)
            with part("score zeta"):
                camera = torch.cat([c2w.flatten(1), torch.zeros_like(c2w.flatten(1))])
                eps = self._ask(self.zeta, noisy, timesteps, text[:1], camera)
                eps_camera, eps_blank = eps.chunk(2)
                eps_zeta = eps_blank + 1.0 * (eps_camera - eps_blank)
        guidance = self._guidance(latents, timesteps, eps_prior, eps_zeta)
        training = self._training(inputs, part)
        with part("backward"):
            (guidance + training).backward()

    def prolificdreamer(self, inputs: Inputs, part: Part) -> None:
        """Prior on two rows, zeta on one, its training on one; a backward pass for each."""
        latents, noise, timesteps, text, c2w = inputs
        with torch.no_grad():
            noisy, eps_prior = self._prior(inputs, part)
            with part("score zeta"):
                eps_zeta = self._ask(self.zeta, noisy[:1], timesteps, text[:1], c2w.flatten(1))
        with part("backward"):
            self._guidance(latents, timesteps, eps_prior, eps_zeta).backward()
        training = self._training(inputs, part)
        with part("backward"):
            training.backward()

    def _prior(self, inputs: Inputs, part: Part) -> tuple[Tensor, Tensor]:
        """The twice repeated x_t, and the guided noise."""
        with part("score prior"):
            noisy = self.add_noise(inputs.latents, inputs.noise, inputs.timesteps)
            noisy = torch.cat([noisy] * 2)
            eps_text, eps_negative = self._ask(
                self.unet, noisy, inputs.timesteps, inputs.text
            ).chunk(2)
            return noisy, eps_negative + 7.5 * (eps_text - eps_negative)

    def _guidance(self, latents: Tensor, timesteps: Tensor, prior: Tensor, zeta: Tensor) -> Tensor:
        weight = self.signal_and_noise(timesteps)[1] ** 2
        gradient = torch.nan_to_num(weight * (prior - zeta))
        target = (latents - gradient).detach()
        return 0.5 * mse_loss(latents, target, reduction="sum") / len(latents)

    def _training(self, inputs: Inputs, part: Part) -> Tensor:
        with part("train zeta"):
            clean, noise = inputs.latents.detach(), torch.randn_like(inputs.noise)
            timesteps = torch.randint(1000, (1,), device=clean.device)
            noisy = self.add_noise(clean, noise, timesteps)
            eps = self._ask(self.zeta, noisy, timesteps, inputs.text[:1], inputs.c2w.flatten(1))
            return mse_loss(eps, noise)

    @staticmethod
    def _ask(
        unet: Callable[..., tuple[Tensor]],
        noisy: Tensor,
        timesteps: Tensor,
        text: Tensor,
        camera: Tensor | None = None,
    ) -> Tensor:
        dtype, num = unet.dtype, len(noisy)  # type: ignore[attr-defined]
        timesteps, text = timesteps.expand(num), text.to(dtype).expand(num, -1, -1)
        options = {} if camera is None else {"class_labels": camera.to(dtype)}
        return unet(noisy.to(dtype), timesteps, text, **options, return_dict=False)[0].float()


class Ours:
    """ReDream's own module, without assets: what it does between latents and gradients.

    Args:
        prior: Hosts zeta.
        text: The prompt's and the negative prompt's embeddings.
    """

    def __init__(self, prior: StableDiffusionPrior, text: Tensor) -> None:
        self.guidance = VSD()
        self.module = ReDream(
            prior, _no_particle, self.guidance, num_particles=1, correction=Correction(period=0)
        ).to(prior.device)
        prompts: Any = SimpleNamespace(
            plain=text[:1],
            negative=text[1:],
            condition=lambda cameras, step: [Conditioning(text[:1])],
        )
        self.guidance.begin(prior, None, prompts)
        self.module._terms = [self.guidance]

    def parameters(self) -> Iterator[Tensor]:
        """What trains."""
        assert self.module.variational is not None
        return self.module.variational.parameters()

    def step(self, inputs: Inputs, part: Part, share_noise: bool = False) -> None:
        """``ReDream.training_step`` from the latents on."""
        module, self.guidance.share_noise = self.module, share_noise
        cameras = turntable(1).to(inputs.latents.device)
        latents, noise, timesteps = inputs[:3]
        # Views, background and picture are what the latents were made from: nothing asks for them.
        drawn = Drawn(
            0, cameras, *[None] * 3, latents, timesteps, noise, key_generator("benchmark", 0)
        )
        with part("train zeta"):
            losses = module._denoising_losses([drawn], 1)
        with part("score prior" if share_noise else "score prior and zeta"):
            (gradient,) = module._gradients([drawn], 1)
        with part("backward"):
            (guidance_loss(drawn.latents, gradient) + losses["variational"]).backward()

    def sharing(self, inputs: Inputs, part: Part) -> None:
        """The same with ``share_noise``."""
        self.step(inputs, part, share_noise=True)


def _no_particle(seed: int) -> NeRF:
    return NeRF(seed, num_levels=1, log2_table_size=4, max_resolution=16)


@contextmanager
def unnoted(name: str) -> Iterator[None]:
    """A part that nobody times."""
    yield
