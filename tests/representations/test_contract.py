"""The core's representations keep the contract that plugins inherit."""

from redream.cameras import turntable
from redream.representations import AdaptiveDensity, Mesh, NeRF, Splats
from redream.testing import RepresentationContract

SMALL = dict(num_levels=3, log2_table_size=10, base_resolution=4, max_resolution=16, hidden=8)


class TestNeRF(RepresentationContract):
    def make(self, seed):
        return NeRF(seed=seed, num_steps=32, orientation_samples=64, **SMALL)


class TestSplats(RepresentationContract):
    def make(self, seed):
        splats = Splats(seed=seed, num_splats=300, surface_views=64)
        splats.splats.logits.data += 4.0  # solid enough to have a surface
        return splats


class TestSplatsOfHarmonics(RepresentationContract):
    def make(self, seed):
        strategy = AdaptiveDensity(begin=0, period=1)
        splats = Splats(seed, 200, 2, strategy=strategy, learn_background=False, surface_views=64)
        splats.splats.logits.data += 4.0
        return splats


class TestMesh(RepresentationContract):
    def make(self, seed):
        return Mesh(seed=seed, vertex_lr=1e-3, **SMALL)


class TestMeshOfNormals(RepresentationContract):
    def make(self, seed):
        mesh = Mesh(seed=seed, vertex_lr=1e-3, shading="normal", learn_background=False, **SMALL)
        mesh.vertices.data *= 1.0 + 0.01 * seed
        return mesh

    def test_gradients_reach_every_group_of_parameters(self):
        mesh = self.make(0)
        mesh.render(turntable(1), 18, 22).rgb.sum().backward()
        assert mesh.vertices.grad.abs().sum() > 0
        assert all(parameter.grad is None for parameter in mesh.color_field.parameters())
