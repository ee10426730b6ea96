"""Objects of the embedded world whose every side is known, and known ways to spoil them."""

import numpy as np
import torch
from torchvision.transforms.functional import gaussian_blur

from redream.mini.scene import Camera, Scene, make_scene, render_scene
from redream.mini.two_faced import with_second_face as with_second_face


def scene_of(category, material="striped", colour="red", seed=0):
    return make_scene(category, material, colour, np.random.default_rng(seed))


def turntable_of(scene: Scene, num=24, elevation_deg=15.0):
    """Pictures from equally spaced azimuths, the first from the front."""
    views = [Camera(i * 360.0 / num, elevation_deg) for i in range(num)]
    return torch.from_numpy(render_scene(scene, views)).permute(0, 3, 1, 2) / 255.0


def blurred(pictures, sigma):
    return gaussian_blur(pictures, 4 * int(sigma) + 5, sigma) if sigma else pictures


def shuffled(pictures, share):
    """A share of the views, spread over the circle, trade places."""
    moved = torch.arange(len(pictures))
    chosen = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    chosen = chosen[: round(share * len(pictures))]
    moved[chosen] = chosen.roll(1)
    return pictures[moved]
