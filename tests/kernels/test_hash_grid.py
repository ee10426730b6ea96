import pytest
import torch

from redream.kernels.hash_grid import HashGrid, HashGridLevel, encode_reference, plan_levels

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def grid_and_points(device, num=500, **arguments):
    generator = torch.Generator().manual_seed(0)
    settings = dict(num_levels=5, log2_table_size=10, base_resolution=4, max_resolution=40)
    grid = HashGrid(**(settings | arguments), generator=generator)
    grid.table.data = torch.randn(grid.table.shape, generator=generator)
    points = torch.rand(num, 3, generator=generator) * 1.2 - 0.1  # some outside
    points[:4] = torch.tensor([[0.0, 0, 0], [1, 1, 1], [0, 1, 0.5], [0.25, 0.5, 0.75]])
    return grid.to(device), points.to(device)


def levels_of(grid):
    return tuple(HashGridLevel(*row) for row in grid.levels.tolist())


@pytest.mark.parametrize("device", DEVICES)
def test_values_and_gradients_equal_the_double_precision_reference(device):
    grid, points = grid_and_points(device)
    assert {level.dense for level in levels_of(grid)} == {True, False}
    points.requires_grad_()
    features = grid(points)
    cotangent = torch.randn(features.shape, generator=torch.Generator().manual_seed(1)).to(device)
    features.backward(cotangent)

    table64 = grid.table.detach().double().requires_grad_()
    points64 = points.detach().double().requires_grad_()
    expected = encode_reference(points64, table64, levels_of(grid))
    expected.backward(cotangent.double())
    torch.testing.assert_close(features.double(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(grid.table.grad.double(), table64.grad, rtol=1e-4, atol=1e-4)
    off_vertices = slice(4, None)  # on a grid plane the slope is that of either side
    torch.testing.assert_close(
        points.grad[off_vertices].double(), points64.grad[off_vertices], rtol=1e-3, atol=1e-2
    )


def test_a_linear_function_on_the_vertices_is_reproduced_everywhere():
    grid, points = grid_and_points("cpu", num_levels=1, base_resolution=7, max_resolution=7)
    axis = torch.arange(8) / 7.0
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")  # x runs fastest in the table
    grid.table.data = torch.stack([x + 2 * y - z, 3 * z + 1], -1).view(-1, 2)
    x, y, z = points.clamp(0, 1).unbind(-1)
    torch.testing.assert_close(grid(points), torch.stack([x + 2 * y - z, 3 * z + 1], -1))


def test_slope_with_respect_to_points_equals_finite_differences():
    grid, points = grid_and_points("cpu", num_levels=2, base_resolution=3, max_resolution=5)
    points = points[(points > 0.02).all(1) & (points < 0.98).all(1)]
    step = 1e-3
    scaled = points[:, :, None] * torch.tensor([3.0, 5.0])
    away = ((scaled - scaled.round()).abs() > 5 * step).all(-1).all(-1)
    points = points[away].requires_grad_()
    grid(points).sum().backward()
    for axis in range(3):
        shift = step * torch.eye(3)[axis]
        with torch.no_grad():
            slope = (grid(points + shift) - grid(points - shift)).sum(1) / (2 * step)
        torch.testing.assert_close(points.grad[:, axis], slope, rtol=1e-2, atol=2e-2)


def test_strided_and_empty_inputs():
    grid, points = grid_and_points("cpu")
    strided = torch.cat([points, points], -1)[:, ::2][:, [0, 2, 1]]
    torch.testing.assert_close(grid(strided), grid(strided.contiguous()))
    transposed = points.t().contiguous().t()
    torch.testing.assert_close(grid(transposed), grid(points))
    empty = grid(points[:0])
    empty.sum().backward()
    assert empty.shape == (0, 10)
    assert grid.table.grad.abs().sum() == 0


def test_levels_grow_geometrically_and_share_one_table():
    levels = plan_levels(4, 12, 8, 64)
    assert [level.resolution for level in levels] == [8, 16, 32, 64]
    assert [level.size for level in levels] == [9**3, 4096, 4096, 4096]
    assert [level.offset for level in levels] == [0, 729, 729 + 4096, 729 + 2 * 4096]


@pytest.mark.parametrize("arguments", [(0, 10, 4, 8), (2, 10, 8, 4), (2, 30, 4, 8)])
def test_impossible_plans_are_refused(arguments):
    with pytest.raises(ValueError, match="hash grid"):
        plan_levels(*arguments)


def test_the_generator_alone_decides_the_start():
    tables = [HashGrid(generator=torch.Generator().manual_seed(s)).table for s in (3, 3, 4)]
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])
