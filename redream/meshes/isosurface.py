"""Triangles from a density grid: marching cubes, without floaters and without cavities."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes
from torch import Tensor


def before_softplus(density: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    """What a softplus made a density of; about -87 where none is left.

    Across a surface this is nearly a straight line, while density is bent where it comes to
    nothing: a straight line from a density inside to one outside crosses a threshold elsewhere.
    """
    density = density.clamp_min(torch.finfo(torch.float32).tiny)
    return density + torch.log(-torch.expm1(-density))


def extract_isosurface(
    density: Float[Tensor, "G G G"],
    threshold: float,
    min_share: float = 0.02,
    straighten: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Extracts where density crosses a threshold (Lewiner et al., 2003), seen from outside.

    Cavities that nothing connects to the outside are filled: no view can have shaped them.

    Args:
        density: Values at the cell centres of the box [-1, 1]^3, indexed ``[x, y, z]``; outside
            the box is empty, so that the surface is closed.
        threshold: Density at the surface.
        min_share: Components with a smaller share of all triangles are dropped; the largest
            always stays.
        straighten: A monotonic function of the density, between whose values vertices are
            interpolated; None interpolates densities.

    Returns:
        Vertices in the world frame (float32) and faces (int64), counter-clockwise seen from
        outside, on the CPU.

    Raises:
        ValueError: If the density nowhere exceeds the threshold; the message names one that has
            a surface. If it is not a number somewhere.
    """
    num_nan = int((~torch.isfinite(density)).sum())
    if num_nan:
        raise ValueError(
            f"no surface: the field's density is not a number (NaN) in {num_nan} of "
            f"{density.numel()} cells; go back to an earlier checkpoint"
        )
    highest = float(density.max())
    if highest <= 0.0:
        raise ValueError("no surface: the field is empty; train longer, or with less sparsity")
    if not highest > threshold:
        raise ValueError(
            f"no surface at density {threshold:g}: the field's highest density is {highest:.3g}; "
            f"set surface_density below that, for example {highest / 2:.3g}"
        )
    padded = np.pad(density.detach().float().cpu().numpy(), 1)
    if straighten is not None:
        padded = straighten(torch.from_numpy(padded)).numpy()
        highest, threshold = (
            float(straighten(torch.tensor(value))) for value in (highest, threshold)
        )
    empty, _ = ndimage.label(padded <= threshold)
    padded[(empty > 0) & (empty != empty[0, 0, 0])] = highest
    corners, triangles, _, _ = marching_cubes(
        padded, threshold, gradient_direction="ascent", allow_degenerate=False
    )
    vertices = (corners - 0.5) * (2.0 / density.shape[0]) - 1.0
    return keep_large_components(
        torch.from_numpy(vertices.astype(np.float32)),
        torch.from_numpy(triangles.astype(np.int64)),
        min_share,
    )


def keep_large_components(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], min_share: float
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Drops connected components with a small share of the faces, and unused vertices.

    Args:
        vertices: Positions.
        faces: Corner indices.
        min_share: Smallest share of all faces that a component may have; the largest component
            stays whatever its share.

    Returns:
        Vertices and faces of the components that stay, in their old order.
    """
    labels = components_of(faces, len(vertices))[faces[:, 0].cpu().numpy()]
    sizes = np.bincount(labels)
    large = sizes >= min(min_share * len(faces), sizes.max(initial=0))
    return with_used_vertices(vertices, faces[torch.from_numpy(large[labels]).to(faces.device)])


def components_of(faces: Int[Tensor, "F 3"], num_vertices: int) -> NDArray[np.int64]:
    """The number of each vertex's connected component, ``V``."""
    corners = faces.cpu().numpy()
    edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), [num_vertices] * 2)
    _, labels = connected_components(graph, directed=False)
    return np.asarray(labels, dtype=np.int64)


def with_used_vertices(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]
) -> tuple[Float[Tensor, "U 3"], Int[Tensor, "F 3"]]:
    """The vertices that some face has, in their old order, and the faces by these."""
    used, corners = np.unique(faces.cpu().numpy(), return_inverse=True)
    rows = torch.from_numpy(used).to(vertices.device)
    return vertices[rows], torch.from_numpy(corners.reshape(-1, 3)).to(faces)
