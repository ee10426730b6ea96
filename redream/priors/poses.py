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


def mv_adapter_conditions(poses: Float[Tensor, "B 4 4"]) -> Float[Tensor, "B 6"]:
    """Where orthographic cameras look and stand, as MV-Adapter reads it of every pixel.

    Its world is MVDream's, Blender's: +Z up, and the front of an object at -Y.

    Args:
        poses: Camera-to-world matrices, OpenGL, of a world that has +Y up and its front at +Z.

    Returns:
        Direction of view and direction to the camera, from [-1, 1] to [0, 1].
    """
    turned = torch.stack([poses[:, 0], -poses[:, 2], poses[:, 1]], dim=1)
    position = turned[:, :, 3]
    toward = position / position.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return ((torch.cat([-turned[:, :, 2], toward], dim=1) + 1.0) / 2.0).clamp(0.0, 1.0)


def spherical(poses: Float[Tensor, "B 4 4"]) -> Float[Tensor, "B 3"]:
    """Polar angle from +Y and azimuth in radians, and distance, of cameras that look at the origin.

    Args:
        poses: Camera-to-world matrices, OpenGL.

    Returns:
        One row a camera; the azimuth is 0 at the front, +Z, and grows toward +X.
    """
    x, y, z = poses[:, :3, 3].unbind(dim=1)
    across = torch.sqrt(x.square() + z.square())
    distance = torch.sqrt(across.square() + y.square())
    return torch.stack([torch.atan2(across, y), torch.atan2(x, z), distance], dim=1)


def zero123_pose(
    target: Float[Tensor, "B 3"], seen: Float[Tensor, "B 3"], stable: bool
) -> Float[Tensor, "B 4"]:
    """How a view lies to the picture, as Zero123 reads it (``get_T`` of the authors' data).

    The azimuth grows counter-clockwise seen from above, as ours does; ports in DreamFusion's
    convention, whose azimuth turns the other way, negate the sine.

    Args:
        target: :func:`spherical` of the views.
        seen: The same of the picture.
        stable: Whether it is Stable Zero123, whose fourth number is the picture's own polar angle
            and not the difference of the distances.

    Returns:
        Difference of polar angles, sine and cosine of that of azimuths, and the fourth number.
    """
    turned = target - seen
    fourth = seen[:, 0] if stable else turned[:, 2]
    return torch.stack([turned[:, 0], turned[:, 1].sin(), turned[:, 1].cos(), fourth], dim=1)
