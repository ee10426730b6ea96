"""Splats as files that the field's viewers open: PLY, SPZ and glTF.

Axes differ. glTF's (and SPZ's) are ours: +Y up, the front toward +Z. A PLY of splats has by custom
+Y down, as structure from motion leaves it; which turn makes it upright is not agreed. PlayCanvas's
viewers and tools turn it by 180 degrees about z, and so do we, so that the front stays in front.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from redream.assets.attribution import comment_lines
from redream.assets.color import decode_srgb
from redream.assets.credits import node_extras
from redream.assets.splat_files import require_gsply
from redream.assets.writing import glb_container
from redream.files import whole_file
from redream.kernels.splats_placing import turned_about_z
from redream.kernels.splats_projection import Gaussians
from redream.representations.splat_parameters import HARMONIC_0

SplatFormatName = Literal["ply_splats", "spz", "spz_v4", "glb_splats"]

_MOST = 1.0 - 1e-6  # opacity whose logit a file holds
_SPZ_FRACTION_BITS = (
    16  # of a position's 24: models are a metre large, the scene around is not kept
)


class SplatFormat(NamedTuple):
    """How a format is written.

    Attributes:
        suffix: What its files end with, after the model's name.
        write: Writes splats to a path, with what to say of them; whole or not at all.
        require: Raises ImportError in one line where a library is missing.
    """

    suffix: str
    write: Callable[[Path, Gaussians, Mapping[str, Any]], None]
    require: Callable[[], None] = lambda: None


def write_ply_splats(path: Path, splats: Gaussians, extras: Mapping[str, Any]) -> None:
    """Writes the PLY of Kerbl et al.: logarithms of scales, logits of opacities, ``w x y z``.

    Args:
        path: The file.
        splats: The splats.
        extras: What to say in comments.

    Raises:
        ValueError: If a value is no number, or a scale not positive.
        OSError: If the folder cannot be written.
    """
    splats = turned_about_z(_checked(splats))
    num = len(splats.means)
    rest = splats.harmonics[:, 1:].transpose(1, 2).reshape(num, -1)  # by channel, then harmonic
    columns: list[tuple[str, Tensor]] = [
        *zip("xyz", splats.means.T, strict=True),
        *((name, torch.zeros(num)) for name in ("nx", "ny", "nz")),
        *((f"f_dc_{i}", column) for i, column in enumerate(splats.harmonics[:, 0].T)),
        *((f"f_rest_{i}", column) for i, column in enumerate(rest.T)),
        ("opacity", _logit(splats.opacities)),
        *((f"scale_{i}", column) for i, column in enumerate(splats.scales.log().T)),
        *((f"rot_{i}", column) for i, column in enumerate(splats.rotations.T)),
    ]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {line}" for line in comment_lines(extras)),
        f"element vertex {num}",
        *(f"property float {name}" for name, _ in columns),
        "end_header\n",
    ]
    rows = torch.stack([column for _, column in columns], 1).numpy().astype("<f4")
    with whole_file(path) as temporary:
        head = "\n".join(header).encode("ascii", "backslashreplace")
        temporary.write_bytes(head + rows.tobytes())


def write_spz(
    path: Path, splats: Gaussians, extras: Mapping[str, Any], version: Literal[3, 4] = 3
) -> None:
    """Writes SPZ, quantised and compressed; the format has no place for an author.

    Args:
        path: The file.
        splats: The splats.
        extras: Not written.
        version: 3 is one gzip stream; 4 is a stream of Zstandard for each property.

    Raises:
        ValueError: If a value is no number, or a scale not positive.
        OSError: If the folder cannot be written.
    """
    from gsply import GSData
    from gsply.spz import write_spz as write

    splats = _checked(splats)
    data = GSData(
        means=splats.means.numpy(),
        scales=splats.scales.log().numpy(),
        quats=splats.rotations.numpy(),
        opacities=_logit(splats.opacities).numpy(),
        sh0=splats.harmonics[:, 0].contiguous().numpy(),
        shN=splats.harmonics[:, 1:].contiguous().numpy(),
    )
    with whole_file(path) as temporary:
        write(temporary, data, version=version, fractional_bits=_SPZ_FRACTION_BITS)


def write_glb_splats(path: Path, splats: Gaussians, extras: Mapping[str, Any]) -> None:
    """Writes binary glTF with KHR_gaussian_splatting; other viewers see coloured points.

    Args:
        path: The file.
        splats: The splats.
        extras: What to say in ``asset.extras``, and in words on the node.

    Raises:
        ValueError: If a value is no number, or a scale not positive.
        OSError: If the folder cannot be written.
    """
    splats = _checked(splats)
    w, x, y, z = splats.rotations.unbind(1)
    linear = decode_srgb(HARMONIC_0 * splats.harmonics[:, 0] + 0.5)
    name = "KHR_gaussian_splatting"
    columns: dict[str, Tensor] = {
        "POSITION": splats.means,
        "COLOR_0": torch.cat([linear, splats.opacities[:, None]], 1),
        f"{name}:ROTATION": torch.stack([x, y, z, w], 1),
        f"{name}:SCALE": splats.scales,
        f"{name}:OPACITY": splats.opacities[:, None],
    }
    for i, coefficients in enumerate(splats.harmonics.unbind(1)):
        degree = int(i**0.5)
        columns[f"{name}:SH_DEGREE_{degree}_COEF_{i - degree**2}"] = coefficients
    buffer, views, accessors = bytearray(), [], []
    for column in columns.values():
        values = column.numpy().astype("<f4")
        views.append({"buffer": 0, "byteOffset": len(buffer), "byteLength": values.nbytes})
        accessors.append(_accessor(values, len(views) - 1))
        buffer += values.tobytes()
    accessors[0] |= {"min": splats.means.amin(0).tolist(), "max": splats.means.amax(0).tolist()}
    primitive = {
        "mode": 0,
        "attributes": {key: index for index, key in enumerate(columns)},
        "extensions": {name: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}},
    }
    header = {
        "asset": {"version": "2.0", "generator": "ReDream", "extras": dict(extras)},
        "extensionsUsed": [name],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "extras": node_extras(extras)}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(buffer)}],
    }
    with whole_file(path) as temporary:
        temporary.write_bytes(glb_container(header, bytes(buffer)))


SPLAT_FORMATS: dict[SplatFormatName, SplatFormat] = {
    "ply_splats": SplatFormat(".splats.ply", write_ply_splats),
    "spz": SplatFormat(".spz", write_spz, require_gsply),
    "spz_v4": SplatFormat(".v4.spz", partial(write_spz, version=4), require_gsply),
    "glb_splats": SplatFormat(".splats.glb", write_glb_splats),
}


def _checked(splats: Gaussians) -> Gaussians:
    """On the CPU, with unit quaternions."""
    splats = Gaussians(*(part.detach().float().cpu() for part in splats))
    for name, part in zip(splats._fields, splats, strict=True):
        if not bool(part.isfinite().all()):
            raise ValueError(
                f"splats: {name} has values that are no numbers; go back to an earlier checkpoint"
            )
    if not bool((splats.scales > 0.0).all()):
        raise ValueError("splats: a scale is zero or negative, and its logarithm no number")
    return splats._replace(rotations=torch.nn.functional.normalize(splats.rotations, dim=1))


def _logit(opacities: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    return opacities.clamp(1.0 - _MOST, _MOST).logit()


def _accessor(values: NDArray[np.float32], view: int) -> dict[str, Any]:
    kind = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}[values.shape[1]]
    return {"bufferView": view, "componentType": 5126, "count": len(values), "type": kind}
