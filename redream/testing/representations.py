"""The contract of a representation, as tests to inherit."""

import io

import torch
from torch import Tensor

from redream.cameras import turntable
from redream.export.atlas import textured_mesh
from redream.representations import Representation
from redream.types import TriangleMesh, Views

_HEIGHT, _WIDTH = 18, 22


class RepresentationContract:
    """What every representation must do. Inherit, and say how one is made.

    ::

        class TestMine(RepresentationContract):
            def make(self, seed):
                return Mine(seed=seed, resolution=16)

    Make it small, for tests are many, and so that the turntable's cameras see something.
    """

    def make(self, seed: int) -> Representation:
        """A fresh representation; the same for the same seed."""
        raise NotImplementedError("say how a representation is made: override make(seed)")

    def test_views_have_their_shapes_and_ranges(self) -> None:
        """Shapes, ranges, premultiplied colours, depth and normals where something is seen."""
        scene = self.make(0).eval()
        cameras = turntable(2)
        views = scene.render(cameras, _HEIGHT, _WIDTH)
        size = (_HEIGHT, _WIDTH)
        assert views.rgb.shape == views.normal.shape == (2, 3, *size)
        assert views.opacity.shape == views.depth.shape == (2, 1, *size)
        for part in views[:4]:
            assert part.isfinite().all()
        assert views.opacity.min() >= 0.0
        assert 0.0 < views.opacity.max() <= 1.0001
        assert ((views.rgb >= 0.0) & (views.rgb <= views.opacity + 1e-4)).all()
        assert (views.normal.norm(dim=1, keepdim=True) <= views.opacity + 1e-3).all()
        seen = views.depth[views.opacity > 0.5]
        assert ((seen > 1.0) & (seen < 5.0)).all(), "depth is the distance along the ray"
        assert (views.depth[views.opacity == 0.0] == 0.0).all()
        assert views.penalties == {}, "penalties are for training"
        background = scene.background(cameras, _HEIGHT, _WIDTH)
        assert background.shape == (2, 3, *size)
        assert ((background >= 0.0) & (background <= 1.0)).all()

    def test_gradients_reach_every_group_of_parameters(self) -> None:
        """Pictures, background and penalties move what the optimiser is given."""
        scene = self.make(0).train()
        scene.update(0)
        cameras = turntable(2)
        views = scene.render(cameras, _HEIGHT, _WIDTH)
        for name, penalty in views.penalties.items():
            assert penalty.shape == (), name
            assert penalty.isfinite(), name
        picture = views.over(scene.background(cameras, _HEIGHT, _WIDTH))
        slope = torch.linspace(0.5, 1.0, _WIDTH)
        (picture * slope).sum().backward()
        for group in scene.parameter_groups():
            gradients = [p.grad for p in _parameters(group) if p.grad is not None]
            assert gradients, f"nothing reaches the group {group['name']}"
            assert all(gradient.isfinite().all() for gradient in gradients)
            assert any(gradient.abs().sum() > 0.0 for gradient in gradients), group["name"]

    def test_parameter_groups_are_disjoint_complete_and_named(self) -> None:
        """Every parameter that trains is in one group with a name and a learning rate."""
        scene = self.make(0)
        groups = scene.parameter_groups()
        names = [group["name"] for group in groups]
        assert len(set(names)) == len(names)
        assert all(isinstance(group["lr"], float) and group["lr"] > 0.0 for group in groups)
        listed = [id(parameter) for group in groups for parameter in _parameters(group)]
        training = [id(parameter) for parameter in scene.parameters() if parameter.requires_grad]
        assert sorted(listed) == sorted(training)

    def test_the_seed_decides_and_global_randomness_is_left_alone(self) -> None:
        """One seed gives one scene and one picture, whatever PyTorch's own generator says."""
        before = torch.get_rng_state()
        one, picture = self._trained_picture(3)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(12345)
        two, again = self._trained_picture(3)
        for name, value in one.state_dict().items():
            assert torch.equal(value, two.state_dict()[name]), name
        assert torch.equal(picture.rgb, again.rgb)
        other = self.make(4).state_dict()
        differ = [not _same(value, other[name]) for name, value in one.state_dict().items()]
        assert any(differ), "another seed must give another scene"

    def test_the_surface_is_finite_and_becomes_a_textured_mesh(self) -> None:
        """Vertices are finite, faces wound outward and in range, colours without gradients."""
        scene = self.make(0).eval()
        vertices, faces = scene.extract_surface(24)
        assert vertices.ndim == faces.ndim == 2
        assert vertices.shape[1] == faces.shape[1] == 3
        assert len(faces) > 0
        assert not vertices.requires_grad
        assert vertices.isfinite().all()
        assert faces.min() >= 0
        assert faces.max() < len(vertices)
        a, b, c = vertices[faces.long()].double().unbind(1)
        assert (a * torch.linalg.cross(b, c)).sum() > 0.0, "faces must be wound outward"
        colors = scene.colors(vertices)
        assert colors.shape == vertices.shape
        assert not colors.requires_grad
        assert ((colors >= 0.0) & (colors <= 1.0)).all()
        mesh = textured_mesh(scene, surface_resolution=12, texture_size=32)
        assert isinstance(mesh, TriangleMesh)
        assert mesh.vertices.isfinite().all()

    def test_the_state_goes_through_a_file(self) -> None:
        """What is loaded without pickles into another scene renders the same picture."""
        scene, _ = self._trained_picture(0)
        file = io.BytesIO()
        torch.save(scene.state_dict(), file)
        file.seek(0)
        other = self.make(7)
        other.load_state_dict(torch.load(file, weights_only=True))
        pictures = [
            each.eval().render(turntable(1), _HEIGHT, _WIDTH).rgb for each in (scene, other)
        ]
        assert torch.equal(*pictures)

    def _trained_picture(self, seed: int) -> tuple[Representation, Views]:
        """A scene after one step of training, and the picture of that step."""
        scene = self.make(seed).train()
        optimizer = torch.optim.SGD(scene.parameter_groups(), lr=1e-4)
        scene.update(0)
        views = scene.render(turntable(1), _HEIGHT, _WIDTH)
        views.rgb.sum().backward()
        optimizer.step()
        return scene, views


def _parameters(group: dict[str, object]) -> list[Tensor]:
    parameters: list[Tensor] = list(group["params"])  # type: ignore[call-overload]
    return parameters


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.equal(one, other))
