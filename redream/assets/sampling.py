"""Looks textures up as glTF's samplers say (glTF 2.0, section 3.8.4)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.types import Sampler, Wrap


def look_up(
    texture: Float[Tensor, "H W C"], uvs: Float[Tensor, "N 2"], sampler: Sampler
) -> Float[Tensor, "N C"]:
    """The colours of a texture at coordinates; v points down, as in glTF.

    Args:
        texture: The texture.
        uvs: The coordinates; [0, 1] is the texture, beyond it the sampler counts.
        sampler: What is beyond, and whether four texels are blended.

    Returns:
        The colours.
    """
    height, width = texture.shape[:2]
    u, v = _near(uvs[:, 0], sampler.wrap_u), _near(uvs[:, 1], sampler.wrap_v)
    if sampler.nearest:
        x = _wrapped((u * width).floor().long(), width, sampler.wrap_u)
        y = _wrapped((v * height).floor().long(), height, sampler.wrap_v)
        return texture[y, x]
    x, y = u * width - 0.5, v * height - 0.5
    left, above = x.floor(), y.floor()
    across, down = (x - left)[:, None], (y - above)[:, None]
    x0 = _wrapped(left.long(), width, sampler.wrap_u)
    x1 = _wrapped(left.long() + 1, width, sampler.wrap_u)
    y0 = _wrapped(above.long(), height, sampler.wrap_v)
    y1 = _wrapped(above.long() + 1, height, sampler.wrap_v)
    top = torch.lerp(texture[y0, x0], texture[y0, x1], across)
    bottom = torch.lerp(texture[y1, x0], texture[y1, x1], across)
    return torch.lerp(top, bottom, down)


def _near(coordinate: Float[Tensor, " N"], wrap: Wrap) -> Float[Tensor, " N"]:
    """The same place nearer to 0, where a float has more digits."""
    if wrap == "clamp":
        return coordinate.clamp(0.0, 1.0)
    period = 1.0 if wrap == "repeat" else 2.0
    return coordinate - (coordinate / period).floor() * period


def _wrapped(texel: Int[Tensor, " N"], size: int, wrap: Wrap) -> Int[Tensor, " N"]:
    if wrap == "clamp":
        return texel.clamp(0, size - 1)
    if wrap == "repeat":
        return texel.remainder(size)
    folded = texel.remainder(2 * size)
    return torch.minimum(folded, 2 * size - 1 - folded)
