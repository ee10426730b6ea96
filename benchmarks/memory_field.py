"""What a NeRF of configs/paper.yaml holds: bytes a sample, measured, and samples, counted."""

from typing import Any

import torch
from memory_counting import counted

from redream.cameras import rays, sample_cameras
from redream.kernels.march import march
from redream.representations import NeRF
from redream.types import Cameras

_SIDE = 24  # pixels of the pictures whose samples are counted; 512 have (512 / 24)^2 times as many

FIELDS = {"fog": {}, "opaque": {"blob_scale": 1000.0}}
"""The field as a run begins, a ball of fog that fills half of the scene's volume; and a solid."""


def cameras(num: int, arguments: dict[str, Any]) -> Cameras:
    """Cameras of configs/paper.yaml.

    Args:
        num: How many.
        arguments: The cameras' ranges.
    """
    generator = torch.Generator().manual_seed(0)
    return sample_cameras(num, generator, **arguments)


def field(arguments: dict[str, Any], kind: str) -> NeRF:
    """A field with a pruned grid.

    Args:
        arguments: Of the NeRF.
        kind: Of ``FIELDS``.
    """
    nerf = NeRF(**(arguments | FIELDS[kind])).train()
    nerf.occupancy.refresh(nerf.density)
    return nerf


@torch.no_grad()
def count(nerf: NeRF, seen_from: Cameras) -> dict[str, float]:
    """Samples of a picture of one pixel of each camera, looked at and kept.

    Args:
        nerf: The field.
        seen_from: The cameras.

    Returns:
        ``looked`` and ``kept``, means over pixels.
    """
    origins, directions = (part.reshape(-1, 3) for part in rays(seen_from, _SIDE, _SIDE))
    jitter = torch.rand(len(origins), generator=torch.Generator().manual_seed(0))
    looked = march(
        origins, directions, nerf.occupancy.occupied, nerf.step_length, jitter, nerf.radius
    )
    kept = nerf._visible(origins, directions, torch.Generator().manual_seed(0)).samples
    pixels = len(origins)
    return {"looked": len(looked.positions) / pixels, "kept": len(kept.positions) / pixels}


def bytes_a_sample(nerf: NeRF, seen_from: Cameras) -> dict[str, float]:
    """Bytes that a sample holds, at most at once: looked at, kept, and kept in parts.

    Args:
        nerf: A foggy field, so that samples are many.
        seen_from: One camera.

    Returns:
        ``looked`` in the pass without gradients, ``kept`` from the render to the end of the
        backward pass, and ``waiting`` until the backward pass where samples go in parts.
    """
    origins, directions = (part.reshape(-1, 3) for part in rays(seen_from, 2 * _SIDE, 2 * _SIDE))
    with torch.no_grad():
        looked = march(
            origins, directions, nerf.occupancy.occupied, nerf.step_length,
            torch.zeros(len(origins)), nerf.radius,
        )  # fmt: skip
    kept = len(nerf._visible(origins, directions, torch.Generator()).samples.positions)
    found: dict[str, float] = {}

    def render(backward: bool) -> None:
        views = nerf.render(seen_from, 2 * _SIDE, 2 * _SIDE)
        loss = views.rgb.sum() + views.penalty("sparsity") + views.penalty("opacity")
        if backward:
            loss.backward()

    with counted(fake=False) as counter:
        found["looked"] = counter.extra(
            lambda: nerf._visible(origins, directions, None).samples
        ) / len(looked.positions)
        table = 4 * sum(parameter.numel() for parameter in nerf.parameters())  # of gradients
        found["kept"] = (counter.extra(lambda: render(True)) - table) / kept
        nerf.zero_grad(set_to_none=True)
        nerf.samples_at_once = kept // 16
        found["waiting"] = _held(counter, lambda: render(False), nerf, seen_from) / kept
        nerf.samples_at_once = 2**20
    return found


def _held(counter: Any, render: Any, nerf: NeRF, seen_from: Cameras) -> int:  # noqa: ANN401
    """Bytes that a finished render still holds."""
    counter.extra(lambda: None)
    before = counter.held
    views = nerf.render(seen_from, 2 * _SIDE, 2 * _SIDE)
    held: int = counter.held - before
    assert views.rgb.requires_grad
    return held
