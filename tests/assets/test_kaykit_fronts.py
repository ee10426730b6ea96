"""Fronts of real assets, labelled by eye, and the alignment on them."""

import csv
import random
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from redream.assets import AssetRenderer, FolderStore, align_front, rotate_yaw
from redream.cameras import orbit
from redream.metrics import orientation_success

ROOT = Path(__file__).parents[2]
LABELS = ROOT / "tests/data/kaykit_fronts.csv"
LIBRARY = ROOT.parent / "shared/objaverse/hf-objaverse-v1"
SIZE = 24

real = pytest.mark.skipif(not LIBRARY.is_dir(), reason="needs ../shared/objaverse")


@pytest.fixture(scope="module")
def labels():
    with LABELS.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def meshes(labels):
    store = FolderStore(LIBRARY / "glbs")
    return [store.load(label["uid"]) for label in labels]


def pixels(pictures):
    """An encoder that sees nothing but what differs from the grey of the background."""
    small = functional.interpolate(pictures, (SIZE, SIZE), mode="area")
    return functional.normalize((small - 0.5).flatten(1), dim=-1)


def oracle(mesh, front_deg):
    """An encoder of texts that knows what tells the asset's labelled front from its back."""
    azimuth = front_deg + torch.tensor([0.0, 90.0, 180.0, 270.0])
    ones = torch.ones(4)
    cameras = orbit(azimuth, ones * 10.0, ones * 3.0, ones * 40.0)
    views = AssetRenderer(mesh).render(cameras, SIZE, SIZE)
    front, left, back, right = pixels(views.over(torch.full((1, 3, 1, 1), 0.5)))
    ahead, aside = functional.normalize(
        torch.stack([front - back, left + right - front - back]), dim=-1
    )
    named = {"front": ahead, "side": aside, "back": -ahead}
    return lambda texts: torch.stack(
        [next(vector for view, vector in named.items() if view in text) for text in texts]
    )


def test_the_labels_are_well_formed(labels):
    assert len(labels) == 60
    assert len({label["uid"] for label in labels}) == 60
    for label in labels:
        assert set(label) == {"uid", "name", "front_azimuth_deg"}
        assert label["name"].strip()
        assert -180 <= int(label["front_azimuth_deg"]) < 180


@real
def test_every_labelled_asset_is_there_and_turns_back_to_where_it_was(meshes):
    for mesh in meshes:
        assert len(mesh.faces) > 0
        there_and_back = rotate_yaw(rotate_yaw(mesh, 123.0), -123.0)
        torch.testing.assert_close(there_and_back.vertices, mesh.vertices, atol=1e-6, rtol=0)
        torch.testing.assert_close(
            there_and_back.corner_normals, mesh.corner_normals, atol=1e-6, rtol=0
        )


@real
@pytest.mark.parametrize("axis", ["side", "mirror"])
def test_who_knows_the_labelled_pictures_finds_every_front(labels, meshes, axis):
    """From the label through the renderer and back: one wrong sign anywhere would show."""
    yaws = random.Random(0)
    found, truth = [], []
    for label, mesh in zip(labels, meshes, strict=True):
        yaw_deg, front_deg = yaws.uniform(-180.0, 180.0), float(label["front_azimuth_deg"])
        _, orientation = align_front(
            rotate_yaw(mesh, yaw_deg),
            label["name"],
            pixels,
            oracle(mesh, front_deg),
            elevations_deg=(10.0,),
            size=SIZE,
            background=0.5,
            axis=axis,
        )
        found.append(orientation.yaw_deg)
        truth.append(front_deg + yaw_deg)
    missed = [
        (label["name"], round(estimate - yaw) % 360)
        for label, estimate, yaw in zip(labels, found, truth, strict=True)
        if orientation_success([estimate], [yaw]).num_successes == 0
    ]
    assert missed == []
