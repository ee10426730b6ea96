"""Sheets without a volume, which no signed distance holds, made thick enough for the grid."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.kernels.distance import signed_distance
from redream.meshes.triangles import area_normals, at_barycentric, sample_surface

_NUM_SAMPLES = 2**16
_HALF_DIAGONAL = 3.0**0.5 / 2.0  # of a cell: no surface point is farther from the next vertex


def sheet_distance(
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    points: Float[Tensor, "N 3"],
    cell: float,
    generator: torch.Generator,
) -> Float[Tensor, " N"]:
    """Signed distance to a mesh's sheets (cloth, leaves, single faces), given a thickness.

    A face belongs to a sheet where, half a cell away on either side of most of its points, there is
    no inside to speak of.

    Args:
        vertices: Positions, on the CPU.
        faces: Corner indices.
        points: Where to measure, on the CPU.
        cell: Side of the grid's cells; a sheet becomes 1.7 cells thick.
        generator: Draws the points on the faces, on the CPU.

    Returns:
        The distances, positive inside; minus infinity where there are no sheets.
    """
    face, weights = sample_surface(vertices, faces, _NUM_SAMPLES, generator)
    on_surface = at_barycentric(vertices, faces, face, weights)
    step = 0.5 * cell * torch.nn.functional.normalize(area_normals(vertices, faces)[face], dim=-1)
    sides = [signed_distance(vertices, faces, on_surface + sign * step) for sign in (-1.0, 1.0)]
    is_thin = torch.maximum(*sides) < 0.25 * cell
    num_thin = torch.bincount(face, is_thin.double(), minlength=len(faces))
    num_drawn = torch.bincount(face, minlength=len(faces))
    sheet = faces[(num_drawn > 0) & (num_thin > 0.5 * num_drawn)]
    if len(sheet) == 0:
        return points.new_full((len(points),), -torch.inf)
    return _HALF_DIAGONAL * cell - signed_distance(vertices, sheet, points).abs()
