"""Weights and inputs of Zero123's parity test, from torch alone."""

import torch
from multiview_parity import fill, random, value

__all__ = ["fill", "value"]

LAYOUT = dict(
    image_size=8,
    in_channels=8,
    out_channels=4,
    model_channels=32,
    attention_resolutions=[2, 1],
    num_res_blocks=1,
    channel_mult=[1, 2],
    num_heads=8,
    use_spatial_transformer=True,
    transformer_depth=1,
    context_dim=16,
    legacy=False,
    use_checkpoint=False,
)
"""The authors' network, as small as its group norms allow."""

EMBEDDED = 12

ANGLES = ((0.0, 5.0, 1.8), (30.0, 5.0, 1.8), (-90.0, 40.0, 2.0), (170.0, -20.0, 1.5))
"""Azimuth, elevation and distance of the picture, then of views."""


def inputs():
    """What the authors' code is given; positions are Blender's, the front at -Y and +Z up."""
    azimuth, elevation, distance = torch.tensor(ANGLES, dtype=torch.float64).T
    azimuth, elevation = azimuth.deg2rad(), elevation.deg2rad()
    x = distance * elevation.cos() * azimuth.sin()
    y = -distance * elevation.cos() * azimuth.cos()
    num = len(ANGLES)
    return {
        "x": random("x", (num, 4, 8, 8)),
        "timesteps": torch.tensor([700, 300, 20, 950]),
        "picture": random("picture", (1, EMBEDDED)),
        "latents": random("latents", (1, 4, 8, 8)),
        "positions": torch.stack([x, y, distance * elevation.sin()], dim=1),
        "pixels": random("pixels", (1, 3, 256, 256)).sigmoid(),
    }
