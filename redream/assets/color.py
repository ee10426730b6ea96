"""The sRGB transfer curve: glTF's factors and vertex colours are linear, pictures are not."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Encodes linear light in [0, 1] as sRGB (IEC 61966-2-1)."""
    linear = np.clip(linear, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """Decodes sRGB in [0, 1] to linear light, the inverse of :func:`linear_to_srgb`."""
    srgb = np.clip(srgb, 0.0, 1.0)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encode_srgb(linear: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """:func:`linear_to_srgb` of a tensor."""
    linear = linear.clamp(0.0, 1.0)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def decode_srgb(srgb: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """:func:`srgb_to_linear` of a tensor."""
    srgb = srgb.clamp(0.0, 1.0)
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
