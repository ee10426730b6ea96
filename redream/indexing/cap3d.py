"""Cap3D's published renders (Luo et al., 2023) as pictures: zips of one zip for each asset.

A file ``compressed_imgs_perobj_NN.zip`` has ``Cap3D_Objaverse_renderimgs/UID.zip``, and that has
``00000.png``, ``00000_MatAlpha.png``, ``00000.json`` and so on. Nothing is unpacked to the disk: an
asset's zip is read where it lies.
"""

import io
import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from redream.indexing.pictures import PictureSource, over_background
from redream.pictures import open_picture
from redream.types import Asset

_RENDER = re.compile(r"(?:.*/)?(\d+)\.png")
_LARGEST = 256 << 20  # bytes of one asset's zip or of one picture: what is larger is no render


class Cap3DPictures(PictureSource):
    """Reads the renders of Cap3D.

    Some of them are blank, as Cap3D's authors say; those are left out, by their alpha.

    Args:
        path: One of Cap3D's zips, or a folder of them.
        background: Grey level behind the assets.

    Raises:
        FileNotFoundError: If there is no zip.
        ValueError: If a zip is broken.
    """

    def __init__(self, path: str | Path, background: float = 1.0) -> None:
        self.path, self.background = Path(path).expanduser(), background
        files = sorted(self.path.glob("*.zip")) if self.path.is_dir() else [self.path]
        if not files or not files[0].is_file():
            raise FileNotFoundError(f"there are no zips of renders at {path}")
        self._where: dict[str, tuple[Path, str]] = {}
        for file in files:
            try:
                with zipfile.ZipFile(file) as archive:
                    names = archive.namelist()
            except (zipfile.BadZipFile, OSError) as error:
                raise ValueError(f"cannot read {file} ({error}): download it again") from error
            self._where |= {Path(n).stem: (file, n) for n in names if n.endswith(".zip")}

    def shown(self, assets: Sequence[Asset]) -> list[Asset]:
        """Those assets that have renders here; how many have none is one warning.

        Cap3D's captions name Objaverse-XL's assets, too, whose renders lie in other zips.

        Raises:
            ValueError: If none has.
        """
        shown = [asset for asset in assets if asset.uid in self._where]
        if not shown:
            raise ValueError(f"{self.path} has renders of none of the {len(assets)} assets")
        if len(shown) < len(assets):
            num = len(assets) - len(shown)
            warnings.warn(f"{self.path} has no renders of {num} assets; left out", stacklevel=2)
        return shown

    def pictures(self, uid: str) -> Float[Tensor, "M 3 H W"]:
        """Reads the renders of an asset."""
        if uid not in self._where:
            raise ValueError(f"{self.path} has no renders of it")
        file, name = self._where[uid]
        try:
            with zipfile.ZipFile(file) as outer:
                inner = io.BytesIO(_read(outer, name))
            with zipfile.ZipFile(inner) as archive:
                names = set(archive.namelist())
                rgba = [_render(archive, n, names) for n in sorted(names) if _RENDER.fullmatch(n)]
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise ValueError(f"its renders in {file.name} cannot be read ({error})") from error
        if not rgba or len({each.shape for each in rgba}) > 1:
            raise ValueError(f"its zip in {file.name} has no renders, or of several sizes")
        return over_background(torch.stack(rgba), self.background)

    def settings(self) -> dict[str, object]:
        """That these are Cap3D's."""
        return {"made": "renders of Cap3D", "background": self.background}


def _render(archive: zipfile.ZipFile, name: str, names: set[str]) -> Float[Tensor, "4 H W"]:
    """A render as premultiplied RGBA; its alpha may lie in a file of its own."""
    rgba = _decode(archive, name, "RGBA")
    matte = name.removesuffix(".png") + "_MatAlpha.png"
    if rgba[3].min() == 1.0 and matte in names and not _decode(archive, matte, "RGB").any():
        rgba[3] = 0.0  # opaque, but of nothing
    return torch.cat([rgba[:3] * rgba[3:], rgba[3:]])


def _decode(archive: zipfile.ZipFile, name: str, mode: str) -> Float[Tensor, "C H W"]:
    with open_picture(_read(archive, name)) as picture:
        array = np.asarray(picture.convert(mode), dtype=np.float32) / 255.0
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _LARGEST:
        raise zipfile.BadZipFile(f"{name} claims more than {_LARGEST >> 20} MiB")
    return archive.read(name)
