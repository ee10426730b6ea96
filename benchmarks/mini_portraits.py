"""The picture of the README: what the 2D prior paints, and the model made with it, side by side."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from redream.assets import AssetRenderer, load_mesh
from redream.cameras import orbit
from redream.export.turntable import contact_sheet, over_white, write_png

_SIZE = 192  # pixels of each picture
_LENGTH = 1.7  # of a model's longest side, where cameras see 2.2
_AZIMUTHS_DEG = (30.0, 210.0)  # of a front and of a back
_ABREAST = 2  # objects in a row
_BETWEEN = 24  # pixels between two objects of a row


def write_portraits(samples: Float[Tensor, "N 3 h w"], models: Sequence[Path], path: Path) -> None:
    """Writes a PNG with three pictures of each object: painted, from the front, from behind.

    Args:
        samples: What the prior paints for each object's prompt, in [0, 1].
        models: The objects' GLBs.
        path: The PNG.
    """
    painted = torch.nn.functional.interpolate(
        samples, (_SIZE, _SIZE), mode="bicubic", antialias=True, align_corners=False
    ).clamp(0.0, 1.0)
    strips = [
        contact_sheet([torch.cat([flat[None], portrait(model)])])
        for flat, model in zip(painted, models, strict=True)
    ]
    strips += [torch.ones_like(strips[0])] * (-len(strips) % _ABREAST)
    rows = [torch.stack(strips[i : i + _ABREAST]) for i in range(0, len(strips), _ABREAST)]
    wide = [torch.nn.functional.pad(row, (0, _BETWEEN), value=1.0) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(contact_sheet(wide)[:, :, :-_BETWEEN], path)


def portrait(model: Path) -> Float[Tensor, "2 3 {_SIZE} {_SIZE}"]:
    """A GLB from the front and from behind, over white, as large as it fits."""
    mesh = load_mesh(model)
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    vertices = (mesh.vertices - (low + high) / 2.0) * (_LENGTH / (high - low).max())
    ones = torch.ones(len(_AZIMUTHS_DEG))
    cameras = orbit(torch.tensor(_AZIMUTHS_DEG), 15.0 * ones, 3.0 * ones, 40.0 * ones)
    renderer = AssetRenderer(mesh._replace(vertices=vertices))
    return over_white(renderer.render(cameras, _SIZE, _SIZE))
