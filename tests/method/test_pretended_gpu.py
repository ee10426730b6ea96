"""Nothing of a step is left on the wrong device, found without a GPU."""

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pretended_gpu import pretended_gpu
from torch import nn

from redream.adapters import LightAdapter
from redream.assets import AssetRenderer, ReferenceRenderer
from redream.kernels.composite import transmittance
from redream.kernels.raycast import RayCaster
from redream.method.cameras import CameraSampler
from redream.method.guidance import ASD, CSD, ISM, SDI, SDS, VSD, Reuse, SDSBridge
from redream.method.module import ReDream
from redream.method.warmup import Warmup
from redream.priors import StableDiffusionPrior
from redream.priors.prompting import PerpNeg
from redream.representations import Mesh, NeRF, Splats

sys.path.insert(0, str(Path(__file__).parents[1] / "assets"))
from fabricated import BLUE, RED, make_box

SMALL = dict(num_levels=3, log2_table_size=10, base_resolution=4, max_resolution=16, hidden=8)


def test_mixing_devices_fails_and_what_is_computed_stays():
    with pretended_gpu():
        here, there = torch.ones(3), torch.ones(3, device="cuda")
        assert here.device.type == "cpu"
        assert (there * 2.0).sum().device.type == there.cpu().to("cuda").device.type == "cuda"
        assert there.view(3, 1)[0].is_cuda and not there.cpu().is_cuda
        assert torch.zeros_like(there).new_ones(2).device == torch.device("cuda", 0)
        for mix in (lambda: here + there, lambda: torch.cat([here, there]), lambda: there @ here):
            with pytest.raises(RuntimeError, match="two devices"):
                mix()
        with pytest.raises(RuntimeError, match="cannot be indexed"):
            here[there.long()]
        assert there[here.long()].is_cuda
        with pytest.raises(TypeError, match="use cpu"):
            there.numpy()
        linear = nn.Linear(3, 2).to("cuda")
        assert linear(there).device.type == "cuda"
        with pytest.raises(RuntimeError, match="two devices"):
            linear(here)
        points, one = torch.rand(3, 3, device="cuda"), torch.tensor([[0, 1, 2]])
        hits = RayCaster(points, one, "cuda").cast(points + 1.0, -torch.ones_like(points))
        assert hits.face.device.type == "cuda"
        with pytest.raises(ValueError, match="a kernel got tensors on cpu and on cuda"):
            transmittance(here, there, there, torch.zeros(2, dtype=torch.int32))


class Assets:
    """Two boxes, drawn wherever the cameras are."""

    prompt, starts = "a box", ()

    def __init__(self):
        self.meshes = [make_box({"+z": RED}), make_box({"+z": BLUE})]
        renderer = ReferenceRenderer(num_views=10, size=16, device="cpu")
        self.references = renderer.render(self.meshes, ["a red box", "a blue box"])

    def render_asset(self, index, cameras, height, width):
        renderer = AssetRenderer(self.meshes[index], device=cameras.c2w.device)
        return renderer.render(cameras, height, width)


@pytest.fixture(scope="module")
def assets():
    return Assets()


def steps(module, assets, num=2):
    """Some steps as Lightning makes them, the first corrected; where what trains then is."""
    module._trainer = SimpleNamespace(datamodule=assets, global_step=0, current_epoch=0)
    module._fabric = None
    module.log_dict = module.log = lambda *_, **__: None
    module.setup("fit")
    module.on_fit_start()
    optimizer = module.configure_optimizers()["optimizer"]
    for step in range(num):
        module._trainer.global_step = step
        loss = module.training_step(step, step)
        assert loss.device.type == "cuda"
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    if module.adapter is not None:
        module._adaptation.held_out_loss()
    return {parameter.device.type for parameter in module.parameters()}


KINDS = {
    "VSD with a network of its own": ("epsilon", {"own": True}),
    "VSD with shared noise": ("epsilon", {"guidance": partial(VSD, share_noise=True)}),
    "SDS": ("epsilon", {"guidance": SDS, "adapter": None}),
    "a mesh": ("epsilon", {"representation": Mesh}),
    "nearest assets": ("epsilon", {"warmup": Warmup(assignment="nearest")}),
    "VSD": ("epsilon", {}),
    "splats": ("epsilon", {"representation": partial(Splats, num_splats=50, degree=1)}),
    "Perp-Neg": ("epsilon", {"prompting": PerpNeg(), "adapter": None}),
    "view contrast": ("epsilon", {"adapter": partial(LightAdapter, view_contrast=1.0, anchor=1.0)}),
    "float16": ("epsilon", {"options": {"dtype": "float16"}}),
    "Stable Diffusion XL": ("xl", {}),
    "Stable Diffusion 3": ("3", {}),
    "ASD on paths": ("epsilon", {"guidance": partial(ASD, path_steps=2)}),
    "CSD": ("epsilon", {"guidance": partial(CSD, negative_prompt="dog", negative_share=0.5)}),
    "ISM": ("epsilon", {"guidance": ISM}),
    "SDS-Bridge": ("epsilon", {"guidance": partial(SDSBridge, "dog", begin_step=0)}),
    "SDI": ("epsilon", {"guidance": SDI}),
    "Reuse": ("epsilon", {"guidance": lambda: Reuse(SDS())}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_stays_on_the_gpu(kind, family_folders, assets):
    folder, how = KINDS[kind]
    how, network = dict(how), str(family_folders[folder])
    representation = how.get("representation", partial(NeRF, **SMALL))
    guidance = how.get("guidance", VSD)
    if how.get("own"):
        guidance = partial(VSD, prior=StableDiffusionPrior(network))
    adapter = how.get("adapter", LightAdapter)
    prior, made = StableDiffusionPrior(network, **how.get("options", {})), guidance()
    with pretended_gpu() as gpu:
        for part in (prior, made.own_prior):
            if part is not None:
                gpu.adopt(*part.parameters(), *part.buffers())
        gpu.adopt(assets.references.rgba, *assets.references.cameras)
        module = ReDream(
            prior,
            representation,
            made,
            None if adapter is None else adapter(),
            num_particles=2,
            prompting=how.get("prompting"),
            cameras=CameraSampler(render_size=16),
            warmup=how.get("warmup", Warmup()),
        ).to("cuda")
        assert steps(module, assets) == {"cuda"}
