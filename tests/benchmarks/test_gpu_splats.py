"""Our splats beside others': the same camera in their conventions, and a refusal in their words."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import gpu_splats
from splats import surface_splats

from redream.cameras import turntable
from redream.kernels.splats import splat
from redream.kernels.splats_projection import project

SIZE = 40


@pytest.fixture
def scene():
    return surface_splats(50, "cpu"), turntable(3, elevation_deg=25.0).select(slice(1, 2))


def near(centres, wanted):
    torch.testing.assert_close(centres.detach(), wanted.detach(), rtol=1e-4, atol=1e-3)


def test_gswarp_is_given_the_same_camera(scene, monkeypatch):
    """Points through its matrix, by the first code's convention, fall where ours fall."""
    splats, cameras = scene
    asked = {}

    class Rasterizer:
        def __init__(self, settings):
            asked["settings"] = settings

        def __call__(self, **inputs):
            asked.update(inputs)
            return torch.zeros(3, SIZE, SIZE), None, SimpleNamespace(alpha=torch.zeros(SIZE, SIZE))

    module = SimpleNamespace(
        GaussianRasterizationSettings=SimpleNamespace, GaussianRasterizer=Rasterizer
    )
    monkeypatch.setitem(sys.modules, "gswarp", module)
    color, opacity = gpu_splats.gswarp(splats, cameras, SIZE)
    assert color.shape == (1, 3, SIZE, SIZE) and opacity.shape == (1, 1, SIZE, SIZE)
    settings, ours = asked["settings"], project(splats, cameras, SIZE, SIZE)
    clip = torch.nn.functional.pad(asked["means3D"], (0, 1), value=1.0) @ settings.projmatrix
    centres = ((clip[:, :2] / clip[:, 3:] + 1.0) * SIZE - 1.0) * 0.5 + 0.5  # its pixels begin at 0
    near(centres, ours.centres[0])
    depths = torch.nn.functional.pad(asked["means3D"], (0, 1), value=1.0) @ settings.viewmatrix
    near(depths[:, 2], ours.depths[0])
    near(clip[:, 3], ours.depths[0])
    assert settings.sh_degree == 0


def test_gsplat_is_given_the_same_camera(scene, monkeypatch):
    splats, cameras = scene
    asked = []

    def rasterization(*arguments, **options):
        asked.extend(arguments)
        return torch.zeros(1, SIZE, SIZE, 3), torch.zeros(1, SIZE, SIZE, 1), {}

    monkeypatch.setitem(sys.modules, "gsplat", SimpleNamespace(rasterization=rasterization))
    gpu_splats.gsplat(splats, cameras, SIZE)
    means, (view,), (pinhole,) = asked[0], asked[5], asked[6]
    seen = torch.nn.functional.pad(means, (0, 1), value=1.0) @ view.T
    place = seen[:, :3] @ pinhole.T
    ours = project(splats, cameras, SIZE, SIZE)
    near(place[:, :2] / place[:, 2:], ours.centres[0])


def test_a_peer_that_draws_the_same_is_not_apart(monkeypatch):
    def twin(splats, cameras, size):
        seen = splat(splats, cameras, size, size)
        return seen.color + 0.01, seen.opacity

    monkeypatch.setitem(gpu_splats.PEERS, "twin", twin)
    report = gpu_splats.compare("twin", 60, 16, 2, "cpu")
    assert report["largest_difference"] == pytest.approx(0.01, abs=1e-6)
    assert set(report) == {"ours_ms", "twin_ms", "ratio", "largest_difference"}


def test_a_refusal_is_said_in_the_peers_words(monkeypatch, capsys):
    def refuses(*_):
        raise ValueError("means must be a CUDA tensor\nmore")

    monkeypatch.setitem(gpu_splats.PEERS, "gsplat", refuses)
    monkeypatch.setattr(gpu_splats, "find_spec", lambda name: name if name == "gsplat" else None)
    for peer, said in (
        ("gsplat", "gsplat on a CPU: means must be a CUDA tensor"),
        ("gswarp", "gswarp is not installed"),
    ):
        arguments = ["gpu_splats.py", "--peer", peer, "--splats", "20", "--size", "8"]
        monkeypatch.setattr(sys, "argv", [*arguments, "--device", "cpu"])
        gpu_splats.main()
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["not compared"] == said
