"""Materials: where a pattern lies, and how often."""

import numpy as np
import pytest

from redream.mini.categories import CATEGORIES
from redream.mini.materials import DARK, MATERIALS, WHITE, Floats
from redream.mini.scene import PHASE, make_scene

RED = np.array([0.8, 0.1, 0.1])


def painted(material: str, position: Floats) -> Floats:
    return MATERIALS[material].paint(position, np.zeros_like(position), RED, WHITE)


def turned(position: Floats, degrees: float) -> Floats:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return position @ np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]).T


@pytest.fixture(scope="module")
def positions() -> Floats:
    position = np.random.default_rng(0).uniform(-0.9, 0.9, (4000, 3))
    return position[np.hypot(position[:, 0], position[:, 2]) > 0.05]


@pytest.mark.parametrize("degrees", [37.0, 90.0, 171.0])
def test_stripes_go_round_the_upright_axis(positions: Floats, degrees: float) -> None:
    same = painted("striped", positions) == painted("striped", turned(positions, degrees))
    assert same.all(axis=1).mean() > 0.999  # but for points on an edge


def test_checks_swap_colours_with_every_eighth_of_a_turn(positions: Floats) -> None:
    checks = painted("chequered", positions)
    swapped = np.where(checks == RED, WHITE, RED)
    for degrees, expected in ((45.0, swapped), (90.0, checks), (-45.0, swapped)):
        same = painted("chequered", turned(positions, degrees)) == expected
        assert same.all(axis=1).mean() > 0.999


@pytest.mark.parametrize("material", ["striped", "spotted", "chequered"])
def test_a_pattern_shows_both_colours_on_every_category(material: str) -> None:
    for category in CATEGORIES:
        scene = make_scene(category, material, "red", np.random.default_rng(3))
        coat = scene.coat
        assert coat is not None
        corners = scene.vertices[scene.faces]
        covered = np.isin(np.array(scene.roles)[scene.face_role], coat.roles)
        area = np.linalg.norm(
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
        )
        weights = np.random.default_rng(0).dirichlet(np.ones(3), (20, len(corners)))
        points = np.einsum("nfk,fkd->nfd", weights, corners)[:, covered].reshape(-1, 3)
        paint = coat.material.paint(points + coat.phase, points, coat.primary, coat.secondary)
        is_second = (paint == coat.secondary).all(axis=1)
        share = np.average(is_second, weights=np.tile(area[covered], 20))
        assert 0.1 < share < 0.8, (category, share)


def test_a_pattern_lies_nearly_the_same_on_every_individual() -> None:
    phases = []
    for seed in range(20):
        coat = make_scene("vase", "striped", "red", np.random.default_rng(seed)).coat
        assert coat is not None
        phases.append(coat.phase)
        assert np.array_equal(coat.secondary, DARK) or np.array_equal(coat.secondary, WHITE)
    assert np.abs(phases).max() <= PHASE
    assert np.ptp(phases, axis=0).min() > PHASE
