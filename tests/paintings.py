"""Runs of one particle that is a picture, so that what a way does to it is plain to see."""

from types import SimpleNamespace
from unittest.mock import patch

import torch
from two_discs import Discs

from redream.method.cameras import CameraSampler
from redream.method.correction import Correction
from redream.method.module import ReDream
from redream.method.pictures import Pictures
from redream.method.warmup import Warmup
from redream.representations import Representation
from redream.types import Views


class Painting(Representation):
    """A particle that shows one learned picture from everywhere."""

    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.picture = torch.nn.Parameter(torch.rand(1, 3, 16, 16, generator=generator))
        self.alpha = torch.nn.Parameter(torch.full((1, 1, 16, 16), 2.0))

    def render(self, cameras, height, width):
        opacity = self.alpha.sigmoid().expand(cameras.num, -1, -1, -1)
        rgb = self.picture.expand(cameras.num, -1, -1, -1) * opacity
        return Views(rgb, opacity, torch.zeros_like(opacity), torch.zeros_like(rgb), {})

    def extract_surface(self, resolution):
        raise ValueError("a painting has no surface")

    def colors(self, points):
        return torch.zeros_like(points)

    def parameter_groups(self):
        return [{"name": "picture", "params": [self.picture, self.alpha], "lr": 1e-2}]


def make(prior, guidance, data=None, **arguments):
    """A module that has met its data."""
    torch.manual_seed(0)
    quiet = dict(
        representation=Painting,
        cameras=CameraSampler(2, render_size=16, fovy_deg=(20.0, 20.0), distance=(3.8, 3.8)),
        num_particles=1,
        warmup=Warmup(steps=0),
        correction=Correction(period=0),
        pictures=Pictures(random_background=0.0),
    )
    module = ReDream(prior=prior, guidance=guidance, **(quiet | arguments))
    module._trainer = SimpleNamespace(datamodule=data or Discs(), global_step=0, current_epoch=0)
    module._fabric = None
    module.setup("fit")
    module.on_fit_start()
    return module


def step_of(module, step=0):
    """The guidance's losses by name, and their gradients at the particle's picture."""
    drawn = [module._draw(0, step)]
    with patch(
        "redream.method.module.backward_now", lambda losses, _: losses
    ):  # each, not their sum
        losses = module._guidance_losses(drawn, step)
    picture = module.particle(0).picture
    return {
        name: torch.autograd.grad(loss, picture, retain_graph=True)[0]
        for name, loss in losses.items()
    }
