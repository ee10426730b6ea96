import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from redream.kernels.distance import signed_distance
from redream.kernels.march import march
from redream.kernels.raycast import RayCaster

ROOT = Path(__file__).parents[2]
CORNERS = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
TRIANGLE = torch.tensor([[0, 1, 2]])


def test_warp_is_run_in_one_place_alone():
    """There streams and devices are right: a launch or a mesh elsewhere would miss them."""
    for path in (ROOT / "redream").rglob("*.py"):
        if path.name == "launch.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("wp.launch", "wp.Mesh"):
                pytest.fail(f"{path}:{node.lineno} calls {ast.unparse(node.func)} by itself")


def test_a_kernel_may_be_the_first_that_uses_warp():
    """In a notebook nothing has started Warp when a particle is rendered."""
    code = (
        "import torch, warp as wp\n"
        "from redream.kernels.launch import launch\n"
        "from redream.kernels.composite import transmittance\n"
        "assert wp._src.context.runtime is None\n"
        "started = []\n"
        "real = wp.launch\n"
        "wp.launch = lambda *a, **k: started.append(wp._src.context.runtime is not None)\n"
        "one = torch.ones(1)\n"
        "transmittance(one, one, one, torch.tensor([0, 1], dtype=torch.int32))\n"
        "assert started == [True], started\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("what", ["rays", "mesh", "distance"])
def test_a_device_without_kernels_is_refused(what):
    """``meta`` stands for Apple's ``mps``: Warp would take its addresses for the CPU's."""
    with pytest.raises(ValueError, match="kernels run on cpu and cuda, not on meta: use --trainer"):
        if what == "rays":
            one = torch.ones(1, 3, device="meta")
            occupied = torch.ones(2, 2, 2, device="meta")
            march(one, one, occupied, 0.1, torch.zeros(1, device="meta"))
        elif what == "mesh":
            RayCaster(CORNERS, TRIANGLE, device="meta")
        else:
            signed_distance(CORNERS.to("meta"), TRIANGLE, CORNERS.to("meta"))


def test_tensors_of_two_devices_are_refused():
    with pytest.raises(ValueError, match="tensors on cpu and on meta: move them"):
        occupied = torch.ones(2, 2, 2, device="meta")
        march(torch.ones(1, 3), torch.ones(1, 3), occupied, 0.1, torch.zeros(1))


@pytest.mark.gpu
def test_cuda_needs_no_index():
    hits = RayCaster(CORNERS, TRIANGLE, "cuda").cast(
        torch.tensor([[0.2, 0.2, 1.0]]), torch.tensor([[0.0, 0.0, -1.0]])
    )
    assert hits.face.tolist() == [0]
    assert hits.depth.item() == pytest.approx(1.0)


@pytest.mark.gpu
def test_meshes_and_rays_wait_for_pytorchs_stream():
    """On a stream of its own, beside the default one, what is not yet computed is not read."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        corners = torch.full((3, 3), 9.0, device="cuda")
        torch.cuda._sleep(200_000_000)  # cycles: the right corners come later
        corners.copy_(CORNERS)
        inside = torch.full((1, 3), 0.2, device="cuda")
        down = torch.tensor([[0.0, 0.0, -1.0]], device="cuda")
        hits = RayCaster(corners, TRIANGLE, "cuda").cast(inside + 0.8 * -down, down)
        distance = signed_distance(corners, TRIANGLE, inside)
    stream.synchronize()
    assert hits.face.tolist() == [0]
    assert distance.abs().item() == pytest.approx(0.2, abs=1e-5)
