import torch

from redream.kernels.occupancy import cell_points
from redream.representations.floaters import cells_of_objects, without_floaters

CPU = torch.device("cpu")


def test_pieces_that_are_small_are_floaters_and_the_largest_never_is():
    solid = torch.zeros(8, 8, 8, dtype=torch.bool)
    assert not without_floaters(solid, 0.1).any()
    solid[0, 0, 0] = solid[1, 1, 1] = True  # joined at a corner
    solid[7, 7, 7] = True
    kept = without_floaters(solid, 0.5)
    assert kept.sum() == 2
    assert kept[0, 0, 0] and kept[1, 1, 1]
    assert torch.equal(without_floaters(solid, 1.0), kept)
    assert torch.equal(without_floaters(solid, 0.3), solid)


def test_the_cells_of_an_object_are_those_it_is_in_or_beside():
    cells = cells_of_objects(lambda points: 10.0 * (points.norm(dim=-1) < 0.3), 16, 1.0, 0.01, CPU)
    distance = cell_points(16, CPU).norm(dim=-1).view(16, 16, 16)
    assert cells[distance < 0.3].all()
    assert not cells[distance > 0.3 + 2 * 2 / 16 * 3**0.5].any()


def test_an_empty_field_has_all_cells_so_that_it_can_come_back():
    assert cells_of_objects(lambda points: torch.zeros(len(points)), 16, 1.0, 0.01, CPU).all()
