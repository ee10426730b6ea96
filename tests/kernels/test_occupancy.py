import pytest
import torch

from redream.kernels.occupancy import OccupancyGrid, cell_points


def ball(radius):
    return lambda points: 10.0 * (points.norm(dim=-1) < radius).float()


def test_every_cell_is_occupied_before_the_first_look():
    assert OccupancyGrid(8, 0.5).occupied.all()


def test_a_ball_and_a_margin_of_one_cell_are_occupied():
    grid = OccupancyGrid(16, 0.5)
    grid.refresh(ball(0.5))
    distance = cell_points(16, torch.device("cpu")).norm(dim=-1).view(16, 16, 16)
    assert grid.occupied[distance < 0.5].all()
    assert not grid.occupied[distance > 0.5 + 2 * 3**0.5 / 8].any()


def test_matter_that_leaves_is_forgotten_after_a_while():
    grid = OccupancyGrid(16, 0.5, decay=0.5)
    grid.refresh(ball(0.6))
    grid.refresh(ball(0.2))
    assert grid.occupied[12, 8, 8]  # 5 remembered of 10
    for _ in range(12):
        grid.refresh(ball(0.2))
    assert not grid.occupied[12, 8, 8]
    assert grid.occupied[8, 8, 8]


def test_an_empty_field_leaves_every_cell_open():
    grid = OccupancyGrid(4, 0.5)
    grid.refresh(lambda points: torch.zeros(len(points)))
    assert grid.occupied.all()


def test_a_faint_field_is_kept_where_it_is_denser_than_its_mean():
    grid = OccupancyGrid(16, threshold=1e3)
    grid.refresh(ball(0.3))
    assert grid.occupied[8, 8, 8]
    assert not grid.occupied[0, 0, 0]


def test_points_are_one_in_each_cell_in_order_and_keyed_by_the_generator():
    device = torch.device("cpu")
    centres = cell_points(4, device)
    torch.testing.assert_close(centres[:2], torch.tensor([[-0.75] * 3, [-0.75, -0.75, -0.25]]))
    a, b, c = (cell_points(4, device, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert ((a - centres).abs() <= 0.25 + 1e-6).all()


def test_a_grid_without_cells_is_refused():
    with pytest.raises(ValueError, match="one cell or more"):
        OccupancyGrid(0, 0.5)
