"""Splats as the report's page draws them: 32 bytes each, ready for a texture."""

import numpy as np
import torch

from redream.kernels.splats_projection import Gaussians
from redream.representations.splat_parameters import HARMONIC_0


def page_bytes(splats: Gaussians) -> bytes:
    """Packs splats for ``page/splats.js``.

    Args:
        splats: The splats.

    Returns:
        Of each its centre and scales as floats, its mean colour and opacity as bytes of 255ths,
        and its unit quaternion ``w x y z`` as bytes of 127ths about 128; little-endian.
    """
    splats = Gaussians(*(part.detach().float().cpu() for part in splats))
    color = HARMONIC_0 * splats.harmonics[:, 0] + 0.5
    shown = torch.cat([color, splats.opacities[:, None]], 1).clamp(0.0, 1.0)
    turn = torch.nn.functional.normalize(splats.rotations, dim=1)
    lengths = torch.cat([splats.means, splats.scales], 1).numpy().astype("<f4")
    levels = torch.cat([255.0 * shown, 127.0 * turn + 128.0], 1).round().byte().numpy()
    row = [("lengths", "<f4", 6), ("levels", "u1", 8)]
    table = np.empty(len(lengths), dtype=row)
    table["lengths"], table["levels"] = lengths, levels
    return table.tobytes()
