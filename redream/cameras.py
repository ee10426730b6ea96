"""Cameras that look at the origin: placing, sampling, rays, and the names of views.

Azimuth 0 looks at the front (+Z) and grows toward +X; elevation grows upward. Cameras are OpenGL
(x right, y up, looking along -z).
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.precision import full_precision
from redream.types import Cameras

VIEW_NAMES = ("front", "side", "back")
DISTANCE = (2.8, 3.2)
"""Of cameras where nothing else is said, in world units."""


def orbit(
    azimuth_deg: Float[Tensor, " B"],
    elevation_deg: Float[Tensor, " B"],
    distance: Float[Tensor, " B"],
    fovy_deg: Float[Tensor, " B"],
) -> Cameras:
    """Places cameras on spheres around the origin, looking at it with +Y up.

    Args:
        azimuth_deg: Azimuths in degrees.
        elevation_deg: Elevations in degrees, strictly between -90 and 90.
        distance: Distances in world units.
        fovy_deg: Vertical fields of view in degrees.

    Returns:
        The cameras, azimuths wrapped to [-180, 180).
    """
    azimuth, elevation = torch.deg2rad(azimuth_deg), torch.deg2rad(elevation_deg)
    position = distance[:, None] * torch.stack(
        [
            torch.sin(azimuth) * torch.cos(elevation),
            torch.sin(elevation),
            torch.cos(azimuth) * torch.cos(elevation),
        ],
        dim=-1,
    )
    return Cameras(
        look_at(position),
        fovy_deg,
        torch.remainder(azimuth_deg + 180.0, 360.0) - 180.0,
        elevation_deg,
        distance,
    )


def look_at(position: Float[Tensor, "B 3"]) -> Float[Tensor, "B 4 4"]:
    """Camera-to-world matrices (OpenGL) at ``position`` that look at the origin, +Y up."""
    backward = torch.nn.functional.normalize(position, dim=-1)
    up = torch.tensor([0.0, 1.0, 0.0], dtype=position.dtype, device=position.device)
    right = torch.nn.functional.normalize(
        torch.linalg.cross(up.expand_as(backward), backward), dim=-1
    )
    true_up = torch.linalg.cross(backward, right)
    c2w = torch.zeros(*position.shape[:-1], 4, 4, dtype=position.dtype, device=position.device)
    c2w[..., :3, :] = torch.stack([right, true_up, backward, position], dim=-1)
    c2w[..., 3, 3] = 1.0
    return c2w


def turntable(
    num_views: int, elevation_deg: float = 15.0, distance: float = 3.0, fovy_deg: float = 40.0
) -> Cameras:
    """``num_views`` cameras at equal azimuth steps of a full circle, starting at the front."""
    azimuth = torch.arange(num_views) * (360.0 / num_views)
    ones = torch.ones(num_views)
    return orbit(azimuth, ones * elevation_deg, ones * distance, ones * fovy_deg)


def sample_cameras(
    num: int,
    generator: torch.Generator,
    elevation_deg: tuple[float, float] = (-10.0, 40.0),
    distance: tuple[float, float] = DISTANCE,
    fovy_deg: tuple[float, float] = (40.0, 40.0),
    views_per_set: int = 1,
    half_height: tuple[float, float] | None = None,
    azimuths_deg: Sequence[float] | None = None,
) -> Cameras:
    """Samples cameras: azimuth stratified uniformly over the circle, the rest uniform in range.

    Args:
        num: How many, in whole sets; the circle is cut into so many equal arcs, one camera in each.
        generator: The source of randomness (on the CPU).
        elevation_deg: Range of elevations.
        distance: Range of distances.
        fovy_deg: Range of vertical fields of view.
        views_per_set: So many neighbours stand at equal steps of the circle and share elevation,
            distance and field of view.
        half_height: Range of half of the height that a view shows at the origin, in world units. It
            takes the distance's place: a camera stands where its field of view shows so much.
        azimuths_deg: Where the views of every set stand instead of at equal steps.

    Returns:
        The cameras, set by set.
    """
    num_sets = num // views_per_set

    def uniform(low: float, high: float) -> Float[Tensor, " B"]:
        drawn = low + (high - low) * torch.rand(num_sets, generator=generator)
        return drawn.repeat_interleave(views_per_set)

    offset = torch.rand(num_sets, generator=generator)
    first = (torch.arange(num_sets) + offset) * (360.0 / num)
    azimuth = (first[:, None] + set_steps(views_per_set)).flatten()
    if azimuths_deg is not None:
        azimuth = set_steps(views_per_set, azimuths_deg).repeat(num_sets)
    elevation = uniform(*elevation_deg)
    away, fovy = uniform(*(half_height or distance)), uniform(*fovy_deg)
    if half_height is not None:
        away = away / torch.tan(torch.deg2rad(fovy) / 2.0)
    return orbit(azimuth, elevation, away, fovy)


def set_steps(
    views_per_set: int, azimuths_deg: Sequence[float] | None = None
) -> Float[Tensor, " V"]:
    """Azimuths of a set's views, in degrees: equal steps from the front, or those given."""
    if azimuths_deg is None:
        return torch.arange(views_per_set) * (360.0 / views_per_set)
    return torch.tensor([float(each) for each in azimuths_deg])


def rays(
    cameras: Cameras, height: int, width: int
) -> tuple[Float[Tensor, "B H W 3"], Float[Tensor, "B H W 3"]]:
    """Rays through the pixel centres.

    Args:
        cameras: The cameras.
        height: Rows; row 0 is the top.
        width: Columns.

    Returns:
        Origins and unit directions in the world frame.
    """
    c2w = cameras.c2w
    rows = 1.0 - 2.0 * (torch.arange(height, dtype=c2w.dtype, device=c2w.device) + 0.5) / height
    columns = 2.0 * (torch.arange(width, dtype=c2w.dtype, device=c2w.device) + 0.5) / width - 1.0
    half_height = torch.tan(torch.deg2rad(cameras.fovy_deg) / 2.0)[:, None, None]
    y = half_height * rows[None, :, None].expand(1, height, width)
    x = half_height * (width / height) * columns[None, None, :].expand(1, height, width)
    in_camera = torch.stack([x, y, -torch.ones_like(x)], dim=-1)
    with full_precision(c2w):
        directions = torch.einsum("bij,bhwj->bhwi", c2w[:, :3, :3], in_camera)
    directions = torch.nn.functional.normalize(directions, dim=-1)
    origins = c2w[:, None, None, :3, 3].expand_as(directions)
    return origins, directions


def view_indices(
    azimuth_deg: Float[Tensor, " B"], front_deg: float = 45.0, back_deg: float = 135.0
) -> Int[Tensor, " B"]:
    """Which of ``VIEW_NAMES`` cameras see, where the cameras are: a GPU need not be waited for."""
    folded = (torch.remainder(azimuth_deg + 180.0, 360.0) - 180.0).abs()
    return torch.where(folded <= front_deg, 0, torch.where(folded >= back_deg, 2, 1))


def view_names(
    azimuth_deg: Float[Tensor, " B"], front_deg: float = 45.0, back_deg: float = 135.0
) -> list[str]:
    """Names views: front up to front_deg to either side, back from back_deg on, side between."""
    return [VIEW_NAMES[i] for i in view_indices(azimuth_deg, front_deg, back_deg).tolist()]


def concatenate(cameras: Sequence[Cameras]) -> Cameras:
    """Joins batches of cameras."""
    return Cameras(*(torch.cat(parts) for parts in zip(*cameras, strict=True)))


def require_one_distance(
    distance: tuple[float, float] | None, half_height: tuple[float, float] | None, option: str
) -> None:
    """Refuses cameras of which two options say how far away they are.

    Raises:
        ValueError: If both are given.
    """
    if distance is not None and half_height is not None:
        raise ValueError(
            f"{option} has a distance, {list(distance)}, and a half_height, {list(half_height)}, "
            f"which both say how far away cameras are: set --{option}.half_height null, or "
            "the distance"
        )


def half_height(fovy_deg: float, distance: float) -> float:
    """Half of the height that a camera sees at the origin, in world units."""
    return distance * math.tan(math.radians(fovy_deg) / 2.0)
