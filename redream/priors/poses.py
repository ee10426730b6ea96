"""Where a picture was taken from, in the numbers that each multi-view network was trained with."""

import torch
from jaxtyping import Float
from torch import Tensor


def mvdream_cameras(poses: Float[Tensor, "B 4 4"]) -> Float[Tensor, "B 16"]:
    """Camera-to-world matrices as MVDream and ImageDream read them.

    Blender's axes, +Z up, and the camera on the unit sphere. The front of an object faces -Y there,
    as that of a glTF file in Blender does, so azimuth 0 is the front as it is here. The authors'
    threestudio places azimuth 0 at +X instead, and makes objects that face sideways.

    Args:
        poses: Camera-to-world matrices, OpenGL, of a world that has +Y up and its front at +Z.
            Zeros, of a picture without a pose, stay zeros.

    Returns:
        The matrices, row by row.
    """
    turned = torch.stack([poses[:, 0], -poses[:, 2], poses[:, 1], poses[:, 3]], dim=1)
    position = turned[:, :3, 3:]
    unit = position / (position.norm(dim=1, keepdim=True) + 1e-8)
    top = torch.cat([turned[:, :3, :3], unit], dim=2)
    return torch.cat([top, turned[:, 3:]], dim=1).flatten(1)
