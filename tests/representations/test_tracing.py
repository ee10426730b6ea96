"""How much of a field a render looks at and remembers; what it shows does not depend on it."""

import pytest
import torch

from redream.cameras import rays, turntable
from redream.kernels.hash_grid import HashGrid
from redream.representations import NeRF, tracing

SMALL = dict(num_levels=3, log2_table_size=10, base_resolution=4, max_resolution=16, hidden=8)


def foggy_nerf(**arguments):
    """Bumps of all densities, most of them faint."""
    nerf = NeRF(**(SMALL | dict(blob_scale=4.0) | arguments))
    table = nerf.field.grid.table
    table.data = torch.randn(table.shape, generator=torch.Generator().manual_seed(0))
    nerf.update(0)
    return nerf


def picture_and_gradients(nerf, size=12):
    nerf.update(1)
    views = nerf.render(turntable(2), size, size)
    slope = torch.linspace(0, 1, size)
    terms = [views.penalty(name) for name in ("sparsity", "opacity", "spread", "orientation")]
    (sum(terms) + (views.rgb * slope).mean() + (views.depth * slope).mean()).backward()
    gradients = {name: p.grad for name, p in nerf.named_parameters() if p.grad is not None}
    nerf.zero_grad(set_to_none=True)
    return views, gradients


@pytest.mark.parametrize("at_once", [1, 500, 3000])
def test_many_samples_go_in_parts_with_the_same_picture_and_gradients(at_once):
    nerf = foggy_nerf()
    views, gradients = picture_and_gradients(nerf)
    nerf.samples_at_once = at_once
    again, in_parts = picture_and_gradients(nerf)
    for name in ("rgb", "opacity", "depth"):
        torch.testing.assert_close(getattr(again, name), getattr(views, name))
    assert in_parts.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(in_parts[name], gradient, rtol=1e-4, atol=1e-6)


def test_parts_remember_little():
    """What waits for the backward pass is the samples, not their activations."""
    nerf = foggy_nerf()

    def remembered(at_once):
        nerf.samples_at_once, held = at_once, {}

        def pack(tensor):
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        nerf.update(1)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            nerf.render(turntable(1), 24, 24)
        return sum(held.values())

    assert remembered(1000) < 0.3 * remembered(2**20)


def test_no_part_of_the_backward_pass_is_larger_than_asked(monkeypatch):
    nerf, sizes = foggy_nerf(samples_at_once=1000), []
    see = nerf._see

    def counted(samples, nearest, known):
        sizes.append(len(samples.positions))
        assert len(samples.offsets) == len(nearest) + 1
        assert known is None
        return see(samples, nearest)

    monkeypatch.setattr(nerf, "_see", counted)
    nerf.render(turntable(1), 24, 24)
    assert len(sizes) > 5
    assert max(sizes) <= 1000 + 64  # and the last ray of a part
    samples = nerf._visible(
        *(x.reshape(-1, 3) for x in rays(turntable(1), 24, 24)), torch.Generator()
    ).samples
    assert abs(sum(sizes) - len(samples.positions)) < 0.02 * sum(sizes)  # another jitter


def test_looking_in_parts_keeps_the_same_samples(monkeypatch):
    nerf = foggy_nerf(alpha_threshold=0.01)
    origins, directions = (x.reshape(-1, 3) for x in rays(turntable(2), 20, 20))

    def looked():
        return nerf._visible(origins, directions, torch.Generator().manual_seed(3)).samples

    whole = looked()
    monkeypatch.setattr(tracing, "_LOOKED_AT", 64 * 77)  # 77 rays a part: the last has fewer
    parts = looked()
    for column, expected in zip(parts, whole, strict=True):
        assert torch.equal(column, expected)
    counts = whole.offsets[1:] - whole.offsets[:-1]
    assert torch.equal(torch.arange(800).repeat_interleave(counts.long()), whole.ray_index.long())


def test_faint_samples_are_dropped_and_the_picture_stays():
    nerf = foggy_nerf(blob_scale=30.0)
    all_of_them, _ = picture_and_gradients(nerf)
    origins, directions = (x.reshape(-1, 3) for x in rays(turntable(2), 12, 12))
    before = nerf._visible(origins, directions, None).samples
    nerf.alpha_threshold = 0.01
    mean = float(nerf.occupancy.density.mean()) * nerf.step_length
    assert mean > 0.01  # so that the threshold itself decides
    samples = nerf._visible(origins, directions, None).samples
    alpha = -torch.expm1(-nerf.density(samples.positions) * nerf.step_length)
    assert alpha.min() >= 0.01
    assert 0.05 * len(before.positions) < len(samples.positions) < 0.9 * len(before.positions)
    kept, _ = picture_and_gradients(nerf)
    assert (kept.rgb - all_of_them.rgb).abs().max() < 0.08
    assert (kept.rgb - all_of_them.rgb).abs().mean() < 0.01


def test_fog_is_kept_where_all_is_fog():
    """The threshold is the mean of all cells where that is lower: else nothing could grow."""
    nerf = foggy_nerf(blob_scale=0.5, alpha_threshold=0.9)
    nerf.update(0)
    views = nerf.render(turntable(1), 16, 16)
    assert views.opacity.max() > 0.3
    nerf.occupancy.density.fill_(1e9)  # and where the mean is not lower it is dropped
    assert nerf.render(turntable(1), 16, 16).opacity.max() == 0.0


def test_a_large_picture_prunes_a_grid_that_is_still_warming_up(monkeypatch):
    nerf = NeRF(**SMALL, blob_scale=100.0, num_steps=64)
    nerf.update(0)
    nerf.render(turntable(1), 16, 16)
    assert nerf.occupancy.occupied.all()
    monkeypatch.setattr("redream.representations.nerf._LARGE", 32 * 32 * 64 - 1)
    with torch.no_grad():
        nerf.eval().render(turntable(1), 32, 32)
    assert nerf.occupancy.occupied.all()  # a preview changes nothing
    nerf.train().render(turntable(1), 32, 32)
    assert 0.05 < nerf.occupancy.occupied.float().mean() < 0.5
    nerf.update(16)  # and it stays so
    assert nerf.occupancy.occupied.float().mean() < 0.5
    assert nerf.render(turntable(1), 32, 32).opacity.max() > 0.99


def looked_up(nerf, monkeypatch):
    """How many points are kept along rays, and looked up, pass by pass."""
    looked, look, encode = [], nerf.field.look, HashGrid.forward

    def counted_look(rays, least):
        visible = look(rays, least)
        looked.append(len(visible.samples.positions))
        return visible

    def counted_encode(self, points, known=None):
        looked.append(len(points))
        return encode(self, points, known)

    monkeypatch.setattr(nerf.field, "look", counted_look)
    monkeypatch.setattr(HashGrid, "forward", counted_encode)
    return looked


def test_penalties_and_normals_that_nobody_asks_for_cost_nothing(monkeypatch):
    nerf = foggy_nerf()
    looked = looked_up(nerf, monkeypatch)
    views = nerf.render(turntable(1), 12, 12)
    assert views.normal.abs().max() == 0.0
    passes, (num_marched, num_kept) = len(looked), (sum(looked[:-1]), looked[-1])
    assert 0 < num_kept <= num_marched <= 144 * 64  # densities, then the kept samples
    assert set(views.penalties) == {"sparsity", "opacity", "spread", "orientation"}
    views.penalty("sparsity")
    assert len(looked) == passes
    first = views.penalty("orientation")
    assert looked[passes:] == [6 * 512]
    assert views.penalty("orientation") is first
    with torch.no_grad():
        assert nerf.eval().render(turntable(1), 12, 12).normal.abs().max() > 0.5


def test_what_is_hidden_is_not_asked_for_and_the_same_is_kept():
    """Where a surface hides the rest; a field of fog is asked for everywhere."""
    for blob_scale, least, most in ((300.0, 0.05, 0.5), (0.1, 1.0, 1.0)):
        nerf = foggy_nerf(blob_scale=blob_scale, blob_radius=0.9)
        origins, directions = (x.reshape(-1, 3) for x in rays(turntable(2), 16, 16))
        jitter = torch.rand(len(origins))
        marched = (origins, directions, nerf.occupancy.occupied, nerf.step_length, jitter)
        samples = tracing.march(*marched, nerf.radius)
        asked = []

        def density(points, asked=asked, nerf=nerf):
            asked.append(len(points))
            return nerf.density(points)

        def kept(found, samples=samples):
            return tracing.transmittance(found, samples.t_start, samples.t_end, samples.offsets) > 0

        with torch.no_grad():
            found = tracing.front_to_back(density, samples)
            expected = nerf.density(samples.positions)
        assert least <= sum(asked) / len(expected) <= most
        assert torch.equal(kept(found), kept(expected))
        torch.testing.assert_close(found[kept(found)], expected[kept(found)])


def test_a_finished_scene_is_drawn_from_fewer_samples_and_looks_the_same(monkeypatch):
    nerf = foggy_nerf(blob_scale=40.0, sharpness=8.0).eval()
    nerf.occupancy.refresh(nerf.density)
    looked = looked_up(nerf, monkeypatch)

    def drawn():
        looked.clear()
        with torch.no_grad():
            return nerf.render(turntable(2), 24, 24).rgb, sum(looked)

    grid, threshold = nerf.occupancy, nerf.alpha_threshold
    before, most = drawn()
    with pytest.raises(KeyError), nerf.finished():
        finished, fewer = drawn()
        assert not (nerf.occupancy.occupied & ~_twice(grid.occupied)).any()
        raise KeyError
    assert fewer < 0.5 * most
    with nerf.finished(normals=True):
        wanted = nerf.render(turntable(1), 24, 24).normal
    with nerf.finished():
        assert nerf.render(turntable(1), 24, 24).normal.abs().max() == 0.0
    torch.testing.assert_close(wanted, nerf.render(turntable(1), 24, 24).normal, atol=0.05, rtol=0)
    assert (finished - before).abs().max() < 0.01
    assert nerf.occupancy is grid and nerf.alpha_threshold == threshold
    assert torch.equal(drawn()[0], before)


def _twice(cells):
    for axis in range(3):
        cells = cells.repeat_interleave(2, axis)
    return cells
