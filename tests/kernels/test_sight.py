import pytest
import torch

from redream.cameras import rays, turntable
from redream.kernels.march import March, march
from redream.representations import NeRF, tracing


def field_and_rays(sharpness, blob_scale, step=0.05, jitter=0.0):
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
    shifts = jitter * torch.rand(800, generator=torch.Generator().manual_seed(1))
    return nerf.field, March(origins, directions, occupied, step, shifts, 0.9)


@pytest.mark.parametrize(
    ("sharpness", "blob_scale", "least", "jitter"),
    [
        (1.0, 4.0, 0.0, 0.0),
        (1.0, 60.0, 0.0, 1.0),
        (9.0, 20.0, 0.0, 0.0),
        (9.0, 20.0, 0.5, 1.0),
        (1.0, 4.0, 1e9, 0.0),
    ],
)
def test_rays_see_what_the_reference_sees(sharpness, blob_scale, least, jitter):
    field, marched = field_and_rays(sharpness, blob_scale, jitter=jitter)
    least = torch.tensor(least)
    samples, encoded = field.look(marched, least)
    expected, _ = tracing.look(lambda points: field(points)[0], marched, least)
    every = march(*marched)
    assert torch.equal(samples.offsets, expected.offsets)
    for found, wanted in zip(samples, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(encoded, field(expected.positions)[1], rtol=1e-6, atol=1e-7)
    all_of_the_fog = blob_scale == 4.0 and least == 0.0
    assert (len(encoded) == len(every.positions)) == all_of_the_fog
    assert (len(encoded) == 0) == (least > 1e6)


def test_faint_densities_keep_their_digits():
    """What is kept is decided by the density, to the last digits of a float."""
    field, marched = field_and_rays(1.0, 1.0)
    field.density_mlp[2].weight.data.zero_()
    one = marched._replace(**{
        name: getattr(marched, name)[210:211] for name in ("origins", "directions", "jitter")
    })  # fmt: skip
    position = march(*one).positions.double()[:1]
    for height in (-60.0, -16.5, -8.0, 0.0):
        field.density_mlp[2].bias.data.fill_(height)
        density = torch.nn.functional.softplus(height + 1.0 - position.norm(dim=-1) / 0.5)[0]
        first = []
        for least in (density * (1 - 1e-5), density * (1 + 1e-5)):
            samples, _ = field.look(one, least.float())
            first.append(len(samples.positions) and float(samples.positions[0, 2]))
        assert first[0] == position[0, 2].float().item()
        assert first[1] != first[0]


@pytest.mark.parametrize("least", [0.0, 0.5])
def test_a_field_that_is_no_number_is_seen_to_be_none(least):
    """Or a run would go on with weights that are spoilt, and an empty picture."""
    field, marched = field_and_rays(1.0, 4.0)
    field.grid.table.data.fill_(torch.nan)
    least = torch.tensor(least)
    samples, encoded = field.look(marched, least)
    expected, _ = tracing.look(lambda points: field(points)[0], marched, least)
    assert torch.equal(samples.offsets, expected.offsets)
    assert len(encoded) > 100 and encoded.isnan().all()


def test_where_there_are_no_samples_nothing_is_seen():
    field, marched = field_and_rays(1.0, 1.0)
    nothing = marched._replace(occupied=torch.zeros(4, 4, 4, dtype=torch.bool))
    for given in (nothing, marched._replace(radius=1e-9), nothing._replace(step=1e-3)):
        samples, encoded = field.look(given, torch.tensor(0.0))
        assert samples.offsets.tolist() == [0] * 801
        assert encoded.shape == (0, 6)


def test_what_is_known_of_points_is_not_computed_again_and_has_the_same_gradients():
    field, marched = field_and_rays(1.0, 4.0)
    points, gradients = march(*marched).positions, []
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
