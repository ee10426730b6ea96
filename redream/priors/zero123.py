"""Zero123 and Stable Zero123 as the prior: what a picture's object looks like from elsewhere."""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate, pad

from redream.priors.families import SEEN_FAMILIES
from redream.priors.families.base import Family, dtype_of
from redream.priors.families.zero123 import POSE_FIELD, Zero123
from redream.priors.poses import spherical, zero123_pose
from redream.priors.stable_diffusion import StableDiffusionPrior
from redream.types import ImagePrompt, NoisyRows

_STABLE_MODELS = ("kxic/stable-zero123", "stabilityai/stable-zero123")
_MODELS = (
    "cvlab/zero123-weights",
    "kxic/zero123-105000",
    "kxic/zero123-165000",
    "kxic/zero123-xl",
    "bennyguo/zero123-diffusers",
    "bennyguo/zero123-xl-diffusers",
)
"""Public conversions, which do not say themselves what their pose's fourth number is."""

_NAMES = {"distance": "Zero123Prior", "elevation": "StableZero123Prior"}
_TURNED = 0.7  # differences of distance that training had


class Zero123Prior(StableDiffusionPrior):
    """Zero123 (Liu et al., 2023): 105000, 165000 and XL, frozen; views of the object in a picture.

    It reads no prompt. The picture is ``--data.image``, and ``--data.image_camera`` says where it
    was taken from; views must have its field of view, which the network is not told.

    Args:
        model: A folder that ``redream convert`` wrote, or a hub id of a diffusers conversion.
        **common: As of :class:`StableDiffusionPrior`; ``loras`` must stay empty.
    """

    families: ClassVar[Mapping[str, str]] = SEEN_FAMILIES
    needs_poses = True
    needs_image = True
    reads_prompts = False
    fourth: ClassVar[str] = "distance"

    def __init__(self, model: str = "kxic/zero123-xl", **common: Any) -> None:  # noqa: ANN401
        super().__init__(model, **common)
        stated = _network(self.family).stated
        if model in _MODELS:
            stated = "distance"
        elif model in _STABLE_MODELS:
            stated = "elevation"
        if stated not in _NAMES:
            raise ValueError(
                f"{model} does not say whether it is Zero123 or Stable Zero123, whose tensors are "
                f'alike: write "{POSE_FIELD}": "distance" or "elevation" (Stable Zero123) into its '
                "model_index.json"
            )
        if stated != self.fourth:
            raise ValueError(
                f"{model} is a network of {_NAMES[stated]}, told another pose than that of "
                f"{type(self).__name__}: set --model.prior.class_path {_NAMES[stated]}"
            )

    def encode_image_prompts(self, images: ImagePrompt) -> Float[Tensor, "B M D"]:
        """What the network sees of a picture, and where that was taken from.

        One row of numbers, cut into pieces of a condition's width: 1, the camera, CLIP's embedding
        and the latents.
        """
        network, side = _network(self.family), (self.image_size, self.image_size)
        white = images.rgba.new_ones(1, 3, 1, 1)
        picture = interpolate(
            images.over(white), side, mode="bilinear", antialias=True, align_corners=False
        )
        embedded = network.encode_picture(picture)
        vae = self._vae
        latents = vae.encode((picture * 2.0 - 1.0).to(dtype_of(vae))).latent_dist.mode()
        where = spherical(images.cameras.c2w.to(picture))
        parts = (torch.ones_like(where[:, :1]), where, embedded, latents.flatten(1))
        row = torch.cat([part.to(picture.dtype) for part in parts], dim=1)
        told: Tensor = pad(row, (0, -row.shape[1] % network.width))
        return told.view(len(told), -1, network.width)

    def require_image(
        self,
        images: ImagePrompt,
        distance: tuple[float, float],
        fovy_deg: tuple[float, float],
    ) -> None:
        """Makes sure that views are taken as the picture was; see :meth:`Prior.require_image`."""
        own, fovy = float(images.cameras.distance[0]), float(images.cameras.fovy_deg[0])
        if max(abs(each - fovy) for each in fovy_deg) > 1.0:
            raise ValueError(
                f"{type(self).__name__} is told no field of view, and the picture's is {fovy:g} "
                f"degrees: set --model.cameras.fovy_deg [{fovy:g},{fovy:g}], or "
                "--data.image_camera.fovy_deg"
            )
        most = _TURNED if self.fourth == "distance" else 0.05 * own
        if max(abs(each - own) for each in distance) > most:
            raise ValueError(
                f"{type(self).__name__} has learned distances within {most:g} of the picture's, "
                f"{own:g}: set --model.cameras.distance [{own:g},{own:g}], or "
                "--data.image_camera.distance"
            )

    def _denoise(self, rows: NoisyRows) -> Float[Tensor, "B C h w"]:
        """The denoiser's raw answer, told the picture and how each view lies to it."""
        assert rows.poses is not None  # require_sets has looked
        network, shape = _network(self.family), self.latent_shape
        width = network.projection.in_features - 4
        sizes = [1, 3, width, shape[0] * shape[1] * shape[2]]
        told = rows.text[:, 1:].flatten(1)
        if told.shape[1] < sum(sizes):  # unconditional, and nobody has said of which picture
            told = pad(told, (0, sum(sizes) - told.shape[1]))
        is_seen, where, picture, latents = told[:, : sum(sizes)].split(sizes, dim=1)
        pose = zero123_pose(spherical(rows.poses.to(where)), where, self.fourth == "elevation")
        return network.denoise_seen(
            rows.latents.to(dtype_of(self.family.denoiser)),
            self.times[rows.timesteps],
            picture,
            pose,
            latents.unflatten(1, shape),
            is_seen[:, 0],
        )


class StableZero123Prior(Zero123Prior):
    """Stable Zero123 (Stability AI, 2023), whose pose has the picture's elevation in it.

    Its tensors are shaped as Zero123's, and either network answers to the other's poses with
    pictures that are slightly wrong. The weights are for non-commercial use.

    Args:
        model: A folder that ``redream convert`` wrote, or a hub id of a diffusers conversion.
        **common: As of :class:`Zero123Prior`.
    """

    fourth: ClassVar[str] = "elevation"

    def __init__(self, model: str = "kxic/stable-zero123", **common: Any) -> None:  # noqa: ANN401
        super().__init__(model, **common)
        warnings.warn(
            "Stable Zero123's weights are licensed for non-commercial use: see "
            "huggingface.co/stabilityai/stable-zero123, or take Zero123Prior",
            stacklevel=2,
        )


def _network(family: Family) -> Zero123:
    assert isinstance(family, Zero123)
    return family
