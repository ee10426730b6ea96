"""Objects face +Z whatever numbers a network is told its cameras in.

The prior is in closed form: it reads the pose in the convention of its authors' training data,
where the front of an object is known, and wants it red from the front and green from its +X. The
particle has a colour for each direction, so that it shows where it was taught its front to be.
"""

import math
from types import SimpleNamespace

import pytest
import torch
from two_discs import Discs

from redream.image_prompts import ImageCamera
from redream.losses import sum_of
from redream.method.cameras import CameraSampler
from redream.method.correction import Correction
from redream.method.guidance import JSD, SDS
from redream.method.module import ReDream
from redream.method.pictures import Pictures
from redream.method.warmup import Warmup
from redream.priors import GaussianPrior
from redream.priors.poses import (
    mv_adapter_conditions,
    mvdream_cameras,
    spherical,
    zero123_pose,
)
from redream.representations import Representation
from redream.types import Views

NUM = 24  # directions


class Compass(Representation):
    """Shows the colour of the direction that it is seen from."""

    def __init__(self, seed):
        super().__init__()
        self.colors_of = torch.nn.Parameter(torch.full((NUM, 3), 0.5))

    def render(self, cameras, height, width):
        position = cameras.c2w[:, :3, 3]
        turns = torch.atan2(position[:, 0], position[:, 2]) / (2.0 * math.pi) * NUM
        low = turns.floor()
        share = (turns - low)[:, None]
        first, second = (self.colors_of[(low.long() + i) % NUM] for i in (0, 1))
        rgb = ((1.0 - share) * first + share * second)[:, :, None, None]
        rgb = rgb.expand(-1, -1, height, width)
        ones = torch.ones_like(rgb[:, :1])
        return Views(rgb, ones, ones, torch.zeros_like(rgb), {})

    def extract_surface(self, resolution):
        raise ValueError("a compass has no surface")

    def colors(self, points):
        return torch.zeros_like(points)

    def parameter_groups(self):
        return [{"name": "colors", "params": [self.colors_of], "lr": 1e-2}]


class Facing(GaussianPrior):
    """Pictures of an object whose azimuth is read from what a network is told.

    Args:
        azimuth: From rows' poses to how far from the front, toward +X, the network takes the camera
            to be, in radians.
    """

    views_per_set, needs_poses = 4, True

    def __init__(self, azimuth):
        super().__init__(image_size=4, std=0.05)
        self.azimuth = azimuth

    def predict_noise(self, rows):
        self.require_sets(rows)
        seen = self.azimuth(rows.poses)
        light = torch.stack([seen.cos(), seen.sin(), torch.zeros_like(seen)], dim=1)
        mean = (0.5 + 0.4 * light)[:, :, None, None]
        alpha, sigma = self.signal_and_noise(rows.timesteps)
        return (
            sigma * (rows.latents - alpha * mean) / (alpha.square() * self.std**2 + sigma.square())
        )


def in_blender(matrices):
    """MVDream's training data: glTF files in Blender, whose fronts face -Y and whose left is +X."""
    position = matrices.view(-1, 4, 4)[:, :3, 3]
    return torch.atan2(position[:, 0], -position[:, 1])


def told_as_mv_adapter(poses):
    """MV-Adapter: the same world, the camera's place in [0, 1] among what it is told."""
    place = 2.0 * mv_adapter_conditions(poses)[:, 3:] - 1.0
    return torch.atan2(place[:, 0], -place[:, 1])


def threestudios(poses):
    """MVDream told threestudio's cameras, where azimuth 0 stands at +X of a world with +Z up."""
    position = poses[:, :3, 3]
    azimuth = torch.atan2(position[:, 0], position[:, 2])
    level = (position.norm(dim=1) ** 2 - position[:, 1] ** 2).sqrt()
    matrices = torch.zeros(len(poses), 4, 4)
    matrices[:, 0, 3], matrices[:, 1, 3] = level * azimuth.cos(), level * azimuth.sin()
    return matrices.flatten(1)


def beside_a_picture(azimuth_deg, stable):
    """Zero123: the sine and the cosine of how far the camera was turned from the picture's.

    The network knows what the picture shows: where that was taken from is added here.
    """

    def azimuth(poses):
        seen = spherical(ImageCamera(azimuth_deg=azimuth_deg).cameras().c2w)
        pose = zero123_pose(spherical(poses), seen.expand(len(poses), -1), stable)
        return torch.atan2(pose[:, 1], pose[:, 2]) + math.radians(azimuth_deg)

    return azimuth


def taught(prior, guidance):
    """Where a particle has its front and its left, in degrees toward +X, once it is distilled."""
    module = ReDream(
        prior,
        Compass,
        guidance,
        num_particles=1,
        cameras=CameraSampler(num_views=4, render_size=4),
        pictures=Pictures(random_background=0.0),
        warmup=Warmup(steps=0),
        correction=Correction(period=0),
    )
    module._trainer = SimpleNamespace(datamodule=Discs(), global_step=0, current_epoch=0)
    module._fabric = None
    module.setup("fit")
    module.on_fit_start()
    particle = module.particle(0)
    optimizer = torch.optim.Adam(particle.parameters(), lr=0.03)
    for step in range(150):
        drawn = module._draw(0, step)
        optimizer.zero_grad()
        sum_of(module._guidance_losses([drawn], step).values()).backward()
        optimizer.step()
    angles = torch.arange(NUM) * (2.0 * math.pi / NUM)
    colors = particle.colors_of.detach()
    found = []
    for channel in (0, 1):
        wave = colors[:, channel] - colors[:, channel].mean()
        found.append(
            math.degrees(math.atan2((wave * angles.sin()).sum(), (wave * angles.cos()).sum()))
        )
        assert wave.abs().max() > 0.2  # it has learned something
    return found


@pytest.mark.parametrize(
    ("azimuth", "front"),
    [
        (lambda poses: in_blender(mvdream_cameras(poses)), 0.0),
        (told_as_mv_adapter, 0.0),
        (beside_a_picture(0.0, stable=False), 0.0),
        (beside_a_picture(70.0, stable=False), 0.0),
        (beside_a_picture(0.0, stable=True), 0.0),
        (beside_a_picture(-110.0, stable=True), 0.0),
        (lambda poses: in_blender(threestudios(poses)), -90.0),
    ],
    ids=[
        "MVDream and ImageDream",
        "MV-Adapter",
        "Zero123",
        "Zero123 of a side",
        "Stable Zero123",
        "Stable Zero123 of a side",
        "MVDream in threestudio",
    ],
)
def test_what_is_distilled_faces_front(azimuth, front):
    """+Z, and its left is +X; threestudio's cameras make it face sideways."""
    facing, left = taught(Facing(azimuth), SDS(scale=1.0))
    assert facing == pytest.approx(front, abs=4.0)
    assert left == pytest.approx(front + 90.0, abs=4.0)


def test_what_a_prior_of_views_judges_faces_front():
    """A prior that knows no views leaves the front open, and MVDream as its judge does not."""
    judge = Facing(lambda poses: in_blender(mvdream_cameras(poses)))
    blind = GaussianPrior(image_size=4, std=0.3)
    facing, left = taught(blind, JSD(judge, coherence=5.0, judge_scale=1.0, scale=1.0))
    assert facing == pytest.approx(0.0, abs=4.0) and left == pytest.approx(90.0, abs=4.0)
