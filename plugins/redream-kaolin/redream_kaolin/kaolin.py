"""Where everything of kaolin is: whether it is there, and how to get it where it is not.

kaolin is not on PyPI. Its name there is a placeholder whose import raises an ImportError.
"""

import importlib
from functools import cache
from types import ModuleType
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.kernels.outlines import project
from redream.types import Cameras

KAOLIN_VERSION = "0.18.0"


class Found(NamedTuple):
    """kaolin, or why it cannot be used.

    Attributes:
        kaolin: The package; None where it cannot be imported.
        reason: Why not and what to do, in one line; empty where it can, or is not installed.
    """

    kaolin: ModuleType | None
    reason: str


def install_line() -> str:
    """NVIDIA's own command to install kaolin for this PyTorch."""
    version, _, build = torch.__version__.partition("+")
    build = build if build.startswith("cu") else "cpu"
    wheels = f"https://nvidia-kaolin.s3.us-east-2.amazonaws.com/torch-{version}_{build}.html"
    return f"pip install kaolin=={KAOLIN_VERSION} -f {wheels}"


@cache
def find_kaolin() -> Found:
    """Imports kaolin, once."""
    try:
        return Found(importlib.import_module("kaolin"), "")
    except ModuleNotFoundError as error:
        if error.name == "kaolin":
            return Found(None, "")
        return Found(None, f"kaolin cannot be imported: {_one_line(error)}")
    except ImportError as error:
        if "placeholder" in str(error):
            return Found(
                None,
                "the kaolin that is installed is PyPI's placeholder, not NVIDIA's package; replace "
                f"it: pip uninstall -y kaolin && {install_line()}",
            )
        return Found(None, f"kaolin cannot be imported: {_one_line(error)}")
    except OSError as error:  # a CUDA library that is missing
        return Found(None, f"kaolin cannot be imported: {_one_line(error)}")


def kaolin_surface(
    kaolin: ModuleType,
    vertices: Float[Tensor, "N 3"],
    tetrahedra: Int[Tensor, "T 4"],
    sdf: Float[Tensor, " N"],
) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Marches tetrahedra by kaolin, on one grid."""
    importlib.import_module("kaolin.ops.conversions")
    march = kaolin.ops.conversions.marching_tetrahedra
    (found,), (faces,) = march(vertices[None], tetrahedra, sdf[None], return_tet_idx=False)
    return found, faces


@torch.no_grad()
def kaolin_visibility(
    kaolin: ModuleType,
    vertices: Float[Tensor, "V 3"],
    faces: Int[Tensor, "F 3"],
    cameras: Cameras,
    height: int,
    width: int,
) -> Int[Tensor, "B H W"]:
    """The triangle that each pixel's centre sees by kaolin's rasteriser, -1 for none."""
    importlib.import_module("kaolin.render.mesh")
    column, row, depth = project(vertices, cameras, height, width).unbind(-1)
    place = torch.stack([2.0 * column / width - 1.0, 1.0 - 2.0 * row / height], -1)
    features = vertices.new_zeros(cameras.num, len(faces), 3, 1)
    ahead = depth[:, faces].amin(-1) > 0.0
    _, seen = kaolin.render.mesh.rasterize(
        height, width, -depth[:, faces], place[:, faces], features, ahead, backend="cuda"
    )
    found: Tensor = seen
    return found


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
