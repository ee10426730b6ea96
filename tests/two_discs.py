"""Two assets whose every picture is known."""

import torch

from redream.cameras import concatenate, sample_cameras
from redream.types import References, Views, key_generator


class Discs:
    """A red and a green disc, the same from everywhere, in the place of retrieved assets."""

    prompt = "a dog"
    starts = ()

    def __init__(self):
        super().__init__()
        cameras = [sample_cameras(10, key_generator("test", i)) for i in range(2)]
        views = [self.render_asset(i, camera, 16, 16) for i, camera in enumerate(cameras)]
        rgba = torch.cat([torch.cat([v.rgb, v.opacity], 1) for v in views])
        index = torch.arange(2).repeat_interleave(10)
        self.references = References(rgba, concatenate(cameras), ("a cat", "a tree"), index)

    def render_asset(self, index, cameras, height, width):
        y, x = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
        opacity = ((x**2 + y**2) < 0.5).float().expand(cameras.num, 1, -1, -1)
        color = torch.eye(3)[index].view(1, 3, 1, 1)
        return Views(color * opacity, opacity, opacity * 3, torch.zeros_like(opacity), {})
