"""A step never reads back what a GPU computes: each such read would wait for all of its work."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from redream.adapters import LightAdapter
from redream.cameras import turntable
from redream.method.cameras import CameraSampler
from redream.method.guidance import VSD
from redream.method.module import ReDream
from redream.priors.prompting import PerpNeg
from redream.representations import Representation
from redream.types import Cameras, References, Views

READS = {
    Tensor.item, Tensor.tolist, Tensor.cpu, Tensor.numpy, Tensor.nonzero, torch.nonzero,
    Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__,
}  # fmt: skip


class OnDevice(Tensor):
    """Stands for a tensor on a GPU: what is computed from it is there as well."""

    reads: list[str] = []

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        masked = function is Tensor.__getitem__ and getattr(args[1], "dtype", None) == torch.bool
        if function in READS or masked:
            cls.reads.append(function.__name__)
        return super().__torch_function__(function, types, args, kwargs or {})


def grey(num):
    rgb = torch.full((num, 3, 16, 16), 0.5)
    return Views(rgb, rgb[:, :1], rgb[:, :1], rgb, {})


class Canvas(Representation):
    """A particle of one colour, on the device."""

    def __init__(self, seed):
        super().__init__()
        self.color = nn.Parameter(torch.zeros(3, 1, 1))

    def render(self, cameras, height, width):
        views = grey(cameras.num)
        rgb = views.rgb + self.color
        return views._replace(rgb=rgb.as_subclass(OnDevice), penalties={"bright": rgb.mean()})

    def parameter_groups(self):
        return [{"name": "color", "params": [self.color], "lr": 1e-2}]

    extract_surface = colors = None


class Assets:
    prompt = "a dog"
    starts = ()
    references = References(
        torch.rand(20, 4, 16, 16), turntable(20), ("a dog",), torch.zeros(20, dtype=torch.long)
    )

    def render_asset(self, index, cameras, height, width):
        return grey(cameras.num)


@pytest.fixture
def reads(monkeypatch):
    monkeypatch.setattr(OnDevice, "reads", [])
    monkeypatch.setattr(
        Cameras,
        "to",
        lambda self, device: Cameras(*(tensor.as_subclass(OnDevice) for tensor in self)),
    )
    return OnDevice.reads


def test_reading_what_is_computed_from_a_camera_is_noticed(reads):
    cameras = turntable(2).to("cuda")
    assert isinstance(cameras.c2w.square().sum() + torch.ones(()), OnDevice)
    assert not reads
    float(cameras.azimuth_deg.sum())
    cameras.azimuth_deg[cameras.azimuth_deg > 0]
    cameras.distance.tolist()
    assert reads == ["__float__", "__getitem__", "tolist"]


@pytest.mark.parametrize(
    "options",
    [{}, {"guidance": VSD(share_noise=True), "prompting": PerpNeg()}, {"adapter": None}],
)
def test_a_step_reads_nothing(prior, options, reads):
    defaults = {"adapter": LightAdapter(), "num_particles": 1}
    module = ReDream(prior, Canvas, cameras=CameraSampler(render_size=16), **(defaults | options))
    module._trainer = SimpleNamespace(datamodule=Assets(), global_step=0, current_epoch=0)
    module._fabric = None
    module.log_dict = module.log = lambda *_, **__: None
    module.setup("fit")
    module.on_fit_start()
    module.asset_of = module.asset_of.as_subclass(OnDevice)
    assert isinstance(module._draw(0, 0).latents, OnDevice)
    loss = module.training_step(0, 0)  # corrected, warmed up, adapted
    loss.backward()
    assert isinstance(loss, OnDevice) and reads == []
