"""From a particle to model files: textured, standing on the ground, in metres, and measured."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from redream.assets import load_mesh
from redream.assets.formats import FORMATS, Format, FormatName
from redream.export.atlas import textured_mesh
from redream.export.fidelity import compare, comparison_cameras, put_back
from redream.export.splat_formats import SPLAT_FORMATS, SplatFormat, SplatFormatName
from redream.kernels.splats_placing import placed
from redream.kernels.splats_projection import Gaussians
from redream.meshes.soundness import inspect_surface
from redream.representations.base import Representation
from redream.types import TriangleMesh

_TEXTURE_SIZES = (16, 8192)
_FEWEST_FACES = 16


class Model(NamedTuple):
    """A model that was written.

    Attributes:
        glb: Its GLB file.
        facts: What it consists of and how true it is to its particle, by name.
        mesh: The GLB as it is read again, in the particle's frame.
        splats: The particle's splats where the model stands; None where it has none.
    """

    glb: bytes
    facts: dict[str, float]
    mesh: TriangleMesh
    splats: Gaussians | None = None


class ModelExport:
    """Writes a particle's model in each of the formats, and measures the GLB as it is read again.

    Models have +Y up, face +Z, and stand on the origin.

    Args:
        formats: ``glb``, ``obj`` (with MTL and PNG), ``ply`` (colours by vertex), ``usd`` (a
            ``.usdz`` package; needs usd-core); of splats also ``ply_splats``, ``spz`` and
            ``spz_v4`` (need gsply), and ``glb_splats`` (KHR_gaussian_splatting).
        surface_resolution: Cells along each axis of the grid that the surface is found on.
        num_faces: Most triangles of a model; None keeps what the surface has.
        texture_size: Texels along a side of the texture.
        size_m: Longest side of a model's bounding box in metres.
        picture_size: Height and width of the pictures that the GLB is measured on, in pixels.
        unwrap: Whether to make a new atlas for a surface that still is an asset's; None does so
            only where the asset's own texture coordinates cannot hold a texture.
        baking_size: Most pixels along a side of the views that a soft field's texture is taken
            from; None takes ``picture_size``, and 192 at least.

    Raises:
        ValueError: If an option is out of range.
        ImportError: If a format's library is missing.
    """

    def __init__(
        self,
        formats: Sequence[FormatName | SplatFormatName] = ("glb",),
        surface_resolution: int = 80,
        num_faces: int | None = None,
        texture_size: int = 1024,
        size_m: float = 1.0,
        picture_size: int = 160,
        unwrap: bool | None = None,
        baking_size: int | None = None,
    ) -> None:
        known: dict[str, Format | SplatFormat] = {
            **{str(name): each for name, each in FORMATS.items()},
            **{str(name): each for name, each in SPLAT_FORMATS.items()},
        }
        if not formats or not set(formats) <= set(known):
            raise ValueError(f"formats must be some of {', '.join(known)}, got {list(formats)}.")
        if surface_resolution < 2:
            raise ValueError(f"surface_resolution must be at least 2, got {surface_resolution}.")
        if num_faces is not None and num_faces < _FEWEST_FACES:
            raise ValueError(f"num_faces must be at least {_FEWEST_FACES}, got {num_faces}.")
        smallest, largest = _TEXTURE_SIZES
        if not smallest <= texture_size <= largest:
            raise ValueError(
                f"texture_size must be from {smallest} to {largest} texels, got {texture_size}."
            )
        if not 0.0 < size_m < math.inf:
            raise ValueError(f"size_m must be a positive number of metres, got {size_m}.")
        if baking_size is not None and baking_size < 1:
            raise ValueError(f"baking_size must be a positive number of pixels, got {baking_size}.")
        for name in formats:
            known[name].require()
        self.formats = [name for name in FORMATS if name in formats]
        self.splat_formats = [name for name in SPLAT_FORMATS if name in formats]
        self.surface_resolution = surface_resolution
        self.num_faces = num_faces
        self.texture_size = texture_size
        self.size_m = size_m
        self.picture_size = picture_size
        self.unwrap = unwrap
        self.baking_size = max(picture_size, 192) if baking_size is None else baking_size
        self.cameras = comparison_cameras()

    def write(self, particle: Representation, stem: Path, extras: Mapping[str, Any]) -> Model:
        """Writes ``STEM.glb`` and its like, each whole or not at all.

        Args:
            particle: The scene theta.
            stem: The files' path without a suffix.
            extras: What the files say of themselves.

        Returns:
            The model.

        Raises:
            ValueError: If the particle has no surface, or one that no model can be made of; what an
                earlier export left under these names is removed then.
            OSError: If the folder cannot be written.
        """
        paths = {name: stem.with_suffix(FORMATS[name].suffix) for name in self.formats}
        clouds = {name: stem.with_suffix(SPLAT_FORMATS[name].suffix) for name in self.splat_formats}
        try:
            self.require(particle)
            mesh = textured_mesh(
                particle,
                self.surface_resolution,
                self.texture_size,
                num_faces=self.num_faces,
                anew=self.unwrap,
                baking_size=self.baking_size,
            )
        except ValueError:
            for path in [*paths.values(), *clouds.values()]:
                path.unlink(missing_ok=True)
            raise
        scale, shift = standing_place(mesh, self.size_m)
        splats = particle.gaussians()
        if splats is not None:
            splats = placed(splats, scale, shift.to(splats.means))
        for cloud, path in clouds.items():
            assert splats is not None  # or `require` has refused
            SPLAT_FORMATS[cloud].write(path, splats, extras)
        standing = mesh._replace(vertices=(mesh.vertices.double() * scale + shift).float())
        for name, path in paths.items():
            FORMATS[name].write(path, standing, extras)
        if "glb" in paths:
            return self._measured(particle, mesh, paths["glb"])._replace(splats=splats)
        with tempfile.TemporaryDirectory() as folder:
            glb = Path(folder) / "model.glb"
            FORMATS["glb"].write(glb, standing, extras)
            return self._measured(particle, mesh, glb)._replace(splats=splats)

    def require(self, particle: Representation) -> None:
        """Makes sure that a particle can be written in every format.

        Raises:
            ValueError: If a format holds splats and the particle has none.
        """
        if self.splat_formats and particle.gaussians() is None:
            raise ValueError(
                f"{', '.join(self.splat_formats)} holds splats, and {type(particle).__name__} has "
                "none: take --model.representation Splats, or leave the format out"
            )

    def _measured(self, particle: Representation, mesh: TriangleMesh, glb: Path) -> Model:
        """What the file holds, as a reader finds it."""
        read = put_back(load_mesh(glb), mesh.vertices)
        soundness = inspect_surface(read.vertices, read.faces)
        fidelity = compare(particle, read, self.cameras, self.picture_size)
        facts = {
            "psnr_db": round(fidelity.psnr_db, 2),
            "silhouette_iou": round(fidelity.silhouette_iou, 4),
            **soundness._asdict(),
            "texture_size": self.texture_size,
        }
        return Model(glb.read_bytes(), facts, read)


def standing_place(mesh: TriangleMesh, size_m: float) -> tuple[float, Float[Tensor, " 3"]]:
    """What scales a mesh to its size and puts the middle of its base on the origin.

    Args:
        mesh: The mesh.
        size_m: Longest side of its bounding box, then.

    Returns:
        A factor, and what is to be added after it (double precision).
    """
    vertices = mesh.vertices.double()
    low, high = vertices.amin(0), vertices.amax(0)
    base = (low + high) / 2.0
    base[1] = low[1]
    scale = size_m / float((high - low).max())
    return scale, -scale * base
