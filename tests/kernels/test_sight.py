import pytest
import torch

from redream.cameras import rays, turntable
from redream.kernels.march import march
from redream.representations import NeRF, tracing


def field_and_samples(sharpness, blob_scale, step=0.05):
    nerf = NeRF(
        num_levels=3, log2_table_size=10, base_resolution=4, max_resolution=16, hidden=8,
        blob_scale=blob_scale,
    )  # fmt: skip
    table = nerf.field.grid.table
    table.data = torch.randn(table.shape, generator=torch.Generator().manual_seed(0))
    nerf.field.sharpness.fill_(sharpness)
    origins, directions = (x.reshape(-1, 3) for x in rays(turntable(2), 20, 20))
    occupied = torch.ones(4, 4, 4, dtype=torch.bool)
    occupied[1, 2] = False
    return nerf.field, march(origins, directions, occupied, step, torch.zeros(800), 0.9)


@pytest.mark.parametrize(("sharpness", "blob_scale"), [(1.0, 4.0), (1.0, 60.0), (9.0, 20.0)])
def test_rays_see_what_the_field_says_until_they_end(sharpness, blob_scale):
    field, samples = field_and_samples(sharpness, blob_scale)
    with torch.no_grad():
        expected, encoding = field(samples.positions)
    density, encoded = field.look(samples)
    reference = tracing.front_to_back(lambda points: field(points)[0], samples)
    asked = reference > 1e-30  # below that the two come to nothing at different numbers
    assert torch.equal(density > 1e-30, asked)
    assert bool(asked.all()) == (blob_scale == 4.0)  # all of the fog is seen
    torch.testing.assert_close(density[asked], expected[asked], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(encoded[asked], encoding[asked], rtol=1e-6, atol=1e-7)


def test_faint_densities_keep_their_digits(monkeypatch):
    field, samples = field_and_samples(1.0, 1.0)
    field.density_mlp[2].weight.data.zero_()
    monkeypatch.setattr(tracing, "ENDED", torch.inf)
    for height in (-60.0, -16.5, -8.0, 0.0, 19.9, 25.0):
        field.density_mlp[2].bias.data.fill_(height)
        density, _ = field.look(samples)
        blob = 1.0 - samples.positions.double().norm(dim=-1) / 0.5
        expected = torch.nn.functional.softplus(height + blob)
        torch.testing.assert_close(density.double(), expected, rtol=1e-5, atol=0.0)


def test_where_there_are_no_samples_nothing_is_seen():
    field, samples = field_and_samples(1.0, 1.0)
    empty = samples.keep(torch.zeros(len(samples.positions), dtype=torch.bool))
    density, encoded = field.look(empty)
    assert density.shape == (0,)
    assert encoded.shape == (0, 6)


def test_what_is_known_of_points_is_not_computed_again_and_has_the_same_gradients():
    field, samples = field_and_samples(1.0, 4.0)
    points, gradients = samples.positions, []
    known = field.encode(points).detach()
    for given in (None, known):
        field.zero_grad()
        density, encoded = field(points, given)
        (density.sum() + field.color(encoded).sum()).backward()
        gradients.append([each.grad.clone() for each in field.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-5)
    encoded = field(points, torch.zeros_like(known))[1]
    assert encoded.abs().sum() == 0.0
