"""A world whose every picture is known: a coloured sphere, and a run that distils nothing."""

import signal
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from skimage.measure import marching_cubes

from redream import cameras
from redream.representations.base import Representation
from redream.types import Asset, References, Views

RADIUS = 0.6


class Sphere(Representation):
    """An unshaded sphere whose colour is a smooth function of the point, rendered exactly."""

    def __init__(self, radius: float = RADIUS):
        super().__init__()
        self.radius = radius
        self.offset = torch.nn.Parameter(torch.zeros(()))

    def colors(self, points):
        return (0.5 + 0.4 * torch.sin(3.0 * points + torch.tensor([0.0, 1.0, 2.0]))).detach()

    def render(self, cameras_, height, width):
        origins, directions = cameras.rays(cameras_, height, width)
        middle = (origins * directions).sum(-1)
        discriminant = middle**2 - (origins**2).sum(-1) + self.radius**2
        hit = (discriminant > 0).float()
        depth = (-middle - discriminant.clamp_min(0).sqrt()) * hit
        points = origins + depth[..., None] * directions
        rgb = self.colors(points) * hit[..., None] + 0.0 * self.offset
        normal = torch.nn.functional.normalize(points, dim=-1) * hit[..., None]
        return Views(
            rgb.permute(0, 3, 1, 2), hit[:, None], depth[:, None], normal.permute(0, 3, 1, 2), {}
        )

    def extract_surface(self, resolution):
        if self.radius <= 0:
            raise ValueError("The field is empty: train longer.")
        axis = torch.linspace(-1, 1, resolution + 1)
        grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
        field = (self.radius - grid.norm(dim=-1)).numpy()
        vertices, faces, _, _ = marching_cubes(field, 0.0, gradient_direction="ascent")
        vertices = torch.from_numpy(vertices.copy()) * (2.0 / resolution) - 1.0
        return vertices, torch.from_numpy(faces.copy()).long()

    def parameter_groups(self):
        return [{"name": "offset", "params": [self.offset], "lr": 1e-3}]


class Adapter(torch.nn.Module):
    def save(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter.json").write_text("{}")


class ToyModule(L.LightningModule):
    """Logs a falling loss; raises what it is told to at a step."""

    def __init__(self, radii=(RADIUS, 0.4), fail_at=None, failure=KeyboardInterrupt):
        super().__init__()
        self.particles = torch.nn.ModuleList(Sphere(radius) for radius in radii)
        self.adapter = Adapter()
        self.losses, self.held_out_losses, self.poses = {}, {}, None
        self.fail_at, self.failure = fail_at, failure

    @property
    def stage(self):
        return "warm-up" if self.global_step <= 2 else "distil"

    def training_step(self, batch, batch_idx):
        if self.global_step == self.fail_at:
            raise self.failure("stopped")
        loss = sum((particle.offset - 1.0) ** 2 for particle in self.particles)
        self.losses = {"distillation": loss.detach()}
        self.log("distillation", loss, prog_bar=True)
        return loss

    def test_step(self, batch, batch_idx):
        pass

    def predict_step(self, batch, batch_idx):
        return batch

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class ToyData(L.LightningDataModule):
    def __init__(self, num_steps=4):
        super().__init__()
        self.num_steps = num_steps
        self.prompt = 'a <striped> dog & a "cat"'
        self.image = None
        self.assets = [
            Asset("uid-0", "a dog", "by", "Ann", "https://example.org/dog", scores={"text": 0.31}),
            Asset("uid-1", "a <b>cat</b>", "cc0", "Bob", "", scores={"text": 0.3, "image": 0.2}),
        ]
        views = cameras.turntable(4)
        rgba = torch.zeros(8, 4, 16, 16)
        for i in range(8):  # each picture one flat colour over a transparent left half
            rgba[i, :3, :, 8:] = 0.1 * i
            rgba[i, 3, :, 8:] = 1.0
        self.references = References(
            rgba,
            cameras.concatenate([views, views]),
            ("a dog", "a cat"),
            torch.arange(8) // 4,
        )

    def render_asset(self, index, cameras_, height, width):
        """A flat colour of the asset's own, less red the higher the camera, on a right half."""
        rgb = torch.zeros(cameras_.num, 3, height, width)
        opacity = torch.zeros(cameras_.num, 1, height, width)
        opacity[..., width // 2 :] = 1.0
        rgb[:, 0] = 0.2 + 0.4 * index - 0.01 * cameras_.elevation_deg[:, None, None]
        return Views(rgb * opacity, opacity, opacity, rgb, {})

    def train_dataloader(self):
        return torch.utils.data.DataLoader(range(self.num_steps), batch_size=1)

    def test_dataloader(self):
        return torch.utils.data.DataLoader(range(1), batch_size=1)

    predict_dataloader = test_dataloader


@pytest.fixture
def sphere():
    return Sphere()


@pytest.fixture
def toy():
    """The toy classes, for tests that run a training."""
    return SimpleNamespace(Module=ToyModule, Data=ToyData, Sphere=Sphere)


@pytest.fixture
def train(tmp_path):
    """Runs a real Lightning training with the given callbacks in a temporary folder."""

    def run(module, callbacks, num_steps=4, data=None, **options):
        trainer = L.Trainer(
            accelerator="cpu",
            max_steps=num_steps,
            callbacks=callbacks,
            logger=False,
            enable_model_summary=False,
            **{
                "default_root_dir": tmp_path,
                "enable_checkpointing": False,
                "enable_progress_bar": False,
                **options,
            },
        )
        trainer.fit(module, datamodule=data or ToyData(num_steps))
        return trainer

    before = signal.getsignal(signal.SIGINT)
    yield run
    signal.signal(signal.SIGINT, before)  # Lightning ignores Ctrl-C from the first one on
