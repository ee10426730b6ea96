"""The README's picture, of objects that are known."""

import pytest
import torch
import trimesh
from PIL import Image

from benchmarks.mini_portraits import _BETWEEN, _SIZE, portrait, write_portraits


@pytest.fixture
def slab(tmp_path):
    """A slab that is long from left to right, standing where the exporter puts models."""
    mesh = trimesh.creation.box((1.0, 0.25, 0.25))
    mesh.apply_translation((0.0, 0.125, 0.0))
    mesh.export(tmp_path / "slab.glb")
    return tmp_path / "slab.glb"


def test_a_model_is_shown_from_both_sides_in_the_middle_and_large(slab):
    shown = (portrait(slab) < 0.99).any(dim=1)
    assert shown.shape == (2, _SIZE, _SIZE)
    for picture in shown:
        across, down = picture.any(0).nonzero()[:, 0], picture.any(1).nonzero()[:, 0]
        assert across[-1] - across[0] > 0.6 * _SIZE
        for edges in (across, down):
            assert abs(float(edges[0] + edges[-1]) - _SIZE) < 0.1 * _SIZE
            assert edges[0] > 0 and edges[-1] < _SIZE - 1


def test_each_object_stands_beside_what_the_prior_paints(slab, tmp_path):
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(3, 3, 8, 8)
    write_portraits(red, [slab] * 3, tmp_path / "deep" / "sheet.png")
    with Image.open(tmp_path / "deep" / "sheet.png") as sheet:
        strip = 3 * _SIZE + 4
        assert sheet.size == (2 * strip + _BETWEEN + 2, 2 * _SIZE + 2)
        middle = _SIZE // 2
        second = strip + _BETWEEN + 2 + middle
        assert sheet.getpixel((middle, middle)) == (255, 0, 0)
        assert sheet.getpixel((second, middle)) == (255, 0, 0)
        assert sheet.getpixel((second, _SIZE + 2 + middle)) == (255, 255, 255)  # there is no fourth
        assert sheet.getpixel((middle + _SIZE + 2, middle)) != (255, 255, 255)
