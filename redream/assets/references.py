"""The N retrieved assets seen from M uniform cameras (Sec. 4.4, App. A), rendered once."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from redream.assets.render import VERSION, AssetRenderer
from redream.cameras import DISTANCE, concatenate, require_one_distance, sample_cameras
from redream.tensor_files import write_tensors
from redream.types import Cameras, References, TriangleMesh, key_generator

_RAYS_AT_ONCE = 1 << 22  # of the pictures that are drawn at once: 4 of 512 pixels, 0.4 GB


class ReferenceRenderer:
    """Renders assets from cameras spread uniformly over the circle, and remembers the pictures.

    Pictures are cached by content (mesh, cameras, size, version of the renderer), so a second run
    reads them back and a turned or changed asset is rendered anew.

    Args:
        num_views: Pictures of each asset (100 in App. A).
        size: Height and width in pixels.
        elevation_deg: Range of elevations.
        distance: Range of distances; 2.8 to 3.2 where ``half_height`` is null as well.
        fovy_deg: Range of vertical fields of view.
        half_height: Instead of ``distance``, range of half of the height that views show at the
            origin; see :class:`redream.method.cameras.CameraSampler`.
        supersample: Rays along each side of a pixel.
        seed: Seed of the cameras.
        cache_dir: Where pictures are kept; None keeps none, and a folder that cannot be written
            is warned of.
        device: Where to render; ``auto`` takes the GPU where there is one.
    """

    def __init__(
        self,
        num_views: int = 100,
        size: int = 64,
        elevation_deg: tuple[float, float] = (-10.0, 40.0),
        distance: tuple[float, float] | None = None,
        fovy_deg: tuple[float, float] = (40.0, 40.0),
        half_height: tuple[float, float] | None = None,
        supersample: int = 2,
        seed: int = 0,
        cache_dir: str | Path | None = None,
        device: str = "auto",
    ) -> None:
        self.num_views, self.size, self.supersample, self.seed = num_views, size, supersample, seed
        require_one_distance(distance, half_height, "data.references.init_args")
        self._ranges = (elevation_deg, distance or DISTANCE, fovy_deg)
        self._half_height = half_height
        self.cache_dir = None if cache_dir is None else Path(cache_dir).expanduser()
        automatic = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = automatic if device == "auto" else device

    def cameras(
        self,
        asset_index: int,
        views_per_set: int = 1,
        azimuths_deg: Sequence[float] | None = None,
    ) -> Cameras:
        """The cameras of an asset, the same in every run of one seed; as many whole sets as fit."""
        generator = key_generator("references", self.seed, asset_index)
        num = max(1, self.num_views // views_per_set) * views_per_set
        return sample_cameras(
            num, generator, *self._ranges, views_per_set, self._half_height, azimuths_deg
        )

    def render(
        self,
        meshes: Sequence[TriangleMesh],
        captions: Sequence[str],
        views_per_set: int = 1,
        azimuths_deg: Sequence[float] | None = None,
    ) -> References:
        """Renders all assets.

        Args:
            meshes: The assets, facing front.
            captions: Their captions.
            views_per_set: So many neighbouring views go round the asset at one elevation, as a
                multi-view prior looks at them.
            azimuths_deg: Where those of a set stand; None puts them at equal steps.

        Returns:
            The pictures, asset by asset.
        """
        cameras = [self.cameras(index, views_per_set, azimuths_deg) for index in range(len(meshes))]
        num = cameras[0].num
        rgba = torch.empty(len(meshes), num, 4, self.size, self.size)
        for mine, mesh, theirs in zip(rgba, meshes, cameras, strict=True):
            torch.div(self._pictures(mesh, theirs), 255.0, out=mine)
        return References(
            rgba.flatten(0, 1),
            concatenate(cameras),
            tuple(captions),
            torch.arange(len(meshes)).repeat_interleave(num),
            views_per_set,
        )

    def _pictures(self, mesh: TriangleMesh, cameras: Cameras) -> UInt8[Tensor, "M 4 H W"]:
        """RGBA pictures in 8 bits, from the cache where it has them whole."""
        if self.cache_dir is None:
            return self._draw(mesh, cameras)
        path = self.cache_dir / f"{self._key(mesh, cameras)}.safetensors"
        if path.is_file():
            try:
                rgba = load_file(path)["rgba"]
                if rgba.shape == (cameras.num, 4, self.size, self.size):
                    return rgba
            except (SafetensorError, KeyError, OSError):
                pass  # half-written by a dying machine, or just deleted: drawn again below
        rgba = self._draw(mesh, cameras)
        try:
            write_tensors(path, {"rgba": rgba})
        except OSError as error:
            warnings.warn(f"the next run draws this again: {error}", RuntimeWarning, stacklevel=2)
        return rgba

    def _draw(self, mesh: TriangleMesh, cameras: Cameras) -> UInt8[Tensor, "M 4 H W"]:
        renderer = AssetRenderer(mesh, device=self.device)
        num = max(1, _RAYS_AT_ONCE // (self.size * self.supersample) ** 2)
        pictures = torch.empty(cameras.num, 4, self.size, self.size, dtype=torch.uint8)
        for start in range(0, cameras.num, num):
            some = slice(start, start + num)
            views = renderer.render(cameras.select(some), self.size, self.size, self.supersample)
            rgba = torch.cat([views.rgb, views.opacity], dim=1)
            pictures[some] = (rgba * 255.0).round().clamp(0.0, 255.0).byte().cpu()
        return pictures

    def _key(self, mesh: TriangleMesh, cameras: Cameras) -> str:
        digest = hashlib.sha256(f"{VERSION} {self.size} {self.supersample}".encode())
        tensors = [each for each in (*mesh, *cameras) if isinstance(each, Tensor)]
        for material in mesh.materials:
            values = [each for each in material if not isinstance(each, Tensor)]
            digest.update(repr(values).encode())
            tensors += [each for each in material if isinstance(each, Tensor)]
        for tensor in tensors:
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:32]
