import pytest
import torch

from redream.kernels.march import march, march_reference

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def random_rays(num=300, seed=0, distance=3.0):
    generator = torch.Generator().manual_seed(seed)
    normalize = torch.nn.functional.normalize
    origins = distance * normalize(torch.randn(num, 3, generator=generator), dim=-1)
    targets = torch.rand(num, 3, generator=generator) * 2.4 - 1.2
    directions = normalize(targets - origins, dim=-1)
    jitter = torch.rand(num, generator=generator)
    occupied = torch.rand(9, 9, 9, generator=generator) < 0.3
    return origins, directions, jitter, occupied


@pytest.mark.parametrize("radius", [0.7, 2.0])
@pytest.mark.parametrize("device", DEVICES)
def test_samples_equal_the_reference(device, radius):
    origins, directions, jitter, occupied = (x.to(device) for x in random_rays())
    samples = march(origins, directions, occupied, 0.05, jitter, radius)
    expected = march_reference(
        origins.double(), directions.double(), occupied, 0.05, jitter.double(), radius
    )
    # rounding may put a sample that lies on a cell's face to either side
    counts, expected_counts = (x.offsets.diff().cpu() for x in (samples, expected))
    same = counts == expected_counts
    assert same.float().mean() > 0.98
    for got, wanted in ((samples.positions, expected.positions), (samples.t_end, expected.t_end)):
        kept = got[same.to(device)[samples.ray_index.long()]]
        wanted = wanted[same.to(device)[expected.ray_index.long()]]
        torch.testing.assert_close(kept.double(), wanted, rtol=1e-4, atol=1e-4)
    assert torch.equal(
        samples.ray_index.cpu(),
        torch.repeat_interleave(torch.arange(len(counts), dtype=torch.int32), counts),
    )


@pytest.mark.parametrize("device", DEVICES)
def test_an_occupied_ball_is_sampled_along_its_chords(device):
    origins, directions, jitter, _ = (x.to(device) for x in random_rays())
    full = torch.ones(4, 4, 4, dtype=torch.bool, device=device)
    samples = march(origins, directions, full, 0.02, jitter, radius=0.8)
    closest = (origins**2).sum(-1) - (origins * directions).sum(-1) ** 2
    chords = 2 * (0.64 - closest).clamp_min(0).sqrt()
    lengths = 0.02 * samples.offsets.diff()
    assert ((lengths - chords).abs() <= 1.5 * 0.02 + 1e-3).all()  # jitter and half a step
    assert (samples.positions.norm(dim=-1) < 0.8 + 1e-5).all()


def test_samples_lie_on_their_rays_in_occupied_cells_only():
    origins, directions, jitter, occupied = random_rays()
    samples = march(origins, directions, occupied, 0.03, jitter)
    middle = 0.5 * (samples.t_start + samples.t_end)
    ray = samples.ray_index.long()
    on_ray = origins[ray] + middle[:, None] * directions[ray]
    torch.testing.assert_close(samples.positions, on_ray, rtol=1e-5, atol=1e-5)
    x, y, z = ((samples.positions + 1) * 4.5).long().clamp(0, 8).unbind(-1)
    assert occupied[x, y, z].all()
    assert len(samples.positions) > 500


def test_axes_of_the_grid_are_x_y_z():
    occupied = torch.zeros(4, 4, 4, dtype=torch.bool)
    occupied[3, 0, 2] = True  # x in [0.5, 1], y in [-1, -0.5], z in [0, 0.5]
    origins = torch.tensor([[0.75, -0.75, 3.0], [-0.75, 0.75, 3.0]])
    directions = torch.tensor([[0.0, 0.0, -1.0]] * 2)
    samples = march(origins, directions, occupied, 0.1, torch.zeros(2))
    assert samples.offsets.tolist() == [0, 5, 5]
    assert ((samples.positions[:, 2] > 0) & (samples.positions[:, 2] < 0.5)).all()


def test_rays_from_inside_start_at_their_origin_and_jitter_shifts_them():
    full = torch.ones(2, 2, 2, dtype=torch.bool)
    origins, directions = torch.zeros(2, 3), torch.tensor([[1.0, 0, 0], [1.0, 0, 0]])
    samples = march(origins, directions, full, 0.1, torch.tensor([0.0, 0.5]))
    assert samples.t_start[0] == 0.0
    torch.testing.assert_close(samples.t_start[samples.offsets[1]], torch.tensor(0.05))


def test_an_empty_grid_and_missing_rays_have_no_samples():
    origins, directions, jitter, occupied = random_rays()
    nothing = march(origins, directions, torch.zeros_like(occupied), 0.05, jitter)
    away = march(origins, -directions, torch.ones_like(occupied), 0.05, jitter)
    no_rays = march(origins[:0], directions[:0], occupied, 0.05, jitter[:0])
    for samples in (nothing, away, no_rays):
        assert len(samples.positions) == 0
        assert samples.offsets.sum() == 0


def test_keep_drops_samples_and_keeps_every_ray():
    samples = march(*random_rays()[:2], random_rays()[3], 0.05, random_rays()[2])
    kept = torch.rand(len(samples.t_start), generator=torch.Generator().manual_seed(1)) < 0.4
    fewer = samples.keep(kept)
    assert torch.equal(fewer.positions, samples.positions[kept])
    counted = torch.bincount(fewer.ray_index.long(), minlength=300)
    assert torch.equal(fewer.offsets.diff().long(), counted)
    assert len(fewer.offsets) == 301


def test_a_step_that_is_not_positive_is_refused():
    origins, directions, jitter, occupied = random_rays()
    with pytest.raises(ValueError, match="must be positive"):
        march(origins, directions, occupied, 0.0, jitter)
