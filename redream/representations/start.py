"""Where a surface can start from: another run's particle, or a 3D file."""

import warnings
from pathlib import Path

from jaxtyping import Float, Int
from torch import Tensor

from redream.assets import AssetRenderer, load_mesh
from redream.assets.splat_files import holds_splats, read_splats
from redream.kernels.splats_placing import fitted
from redream.kernels.splats_projection import Gaussians
from redream.meshes.layout import layout_of
from redream.meshes.triangles import at_barycentric, sample_surface
from redream.representations.base import Representation, Start
from redream.representations.checkpoint import load_particle
from redream.representations.nerf import NeRF
from redream.types import TriangleMesh, key_generator

_NUM_SAMPLES = 2**17
_RADIUS = 0.9  # of what is read from a file, as of every asset


def read_start(source: str, particle: int, resolution: int, seed: int = 0) -> Start:
    """Reads the surface that a representation starts from.

    Args:
        source: A ``.ckpt`` file, of which a particle's surface is taken, or a ``.glb``, ``.gltf``,
            ``.obj`` or ``.ply`` file, normalised as every asset is.
        particle: Which particle of a checkpoint, modulo their number.
        resolution: Cells along each axis of the grid on which a particle's surface is found.
        seed: Seed of the points.

    Returns:
        The surface.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or has no surface.

    Warns:
        RuntimeWarning: If a NeRF has no surface at its ``surface_density``, naming a density that
            has one; half of the density at which rays stop is taken instead.
    """
    path, generator = Path(source), key_generator("surface", seed)
    if path.suffix.lower() == ".ckpt":
        scene = load_particle(path, particle)
        vertices, faces = _surface(scene, path, resolution)
        face, barycentric = sample_surface(vertices, faces, _NUM_SAMPLES, generator)
        points = at_barycentric(vertices, faces, face, barycentric)
        return Start(vertices, faces, points, scene.colors(points), scene.layout())
    return mesh_start(load_mesh(path, _RADIUS), seed)


def read_splat_start(source: str, particle: int) -> Gaussians | None:
    """Reads the splats that a particle of splats starts from.

    Args:
        source: A file of splats, which are fitted as every asset is, or a checkpoint.
        particle: Which particle of a checkpoint, modulo their number.

    Returns:
        The splats, on the CPU; None where the file holds none but another kind of shape.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read.
    """
    path = Path(source)
    if path.suffix.lower() == ".ckpt":
        return load_particle(path, particle).gaussians()
    if not path.is_file() or not holds_splats(path):
        return None
    splats = read_splats(path)
    try:
        return fitted(splats, _RADIUS)
    except ValueError as error:
        raise ValueError(f"cannot start from {path}: {error}") from error


def mesh_start(mesh: TriangleMesh, seed: int = 0) -> Start:
    """The surface of a mesh, in the colours of its materials.

    Args:
        mesh: The mesh, on the CPU, inside the box [-1, 1]^3.
        seed: Seed of the points.

    Returns:
        The surface.
    """
    faces = mesh.faces.long()
    generator = key_generator("surface", seed)
    face, barycentric = sample_surface(mesh.vertices, faces, _NUM_SAMPLES, generator)
    points = at_barycentric(mesh.vertices, faces, face, barycentric)
    colors = AssetRenderer(mesh).albedo(face, barycentric)[:, :3]
    return Start(mesh.vertices, faces, points, colors, layout_of(mesh))


def _surface(
    scene: Representation, path: Path, resolution: int
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """A particle's surface, at another density where there is none at its own."""
    try:
        vertices, faces = scene.extract_surface(resolution)
    except ValueError as error:
        if not isinstance(scene, NeRF) or scene.surface_density is None:
            raise ValueError(f"cannot start from {path}: {error}") from error
        going_on = "going on with half of the density at which rays stop"
        warnings.warn(f"{path}: {error}; {going_on}", RuntimeWarning, stacklevel=2)
        scene.surface_density = None
        return _surface(scene, path, resolution)
    return vertices.detach().cpu(), faces.cpu()
