"""Shape F-score against individuals of the embedded world."""

import numpy as np
import pytest
import torch

from experiments.paper.own_objects import scene_of, truth_of
from experiments.paper.shape import (
    individuals,
    points_of_scene,
    shape_f_score,
    shape_of_model,
    visible_points,
)
from redream.mini.library import scene_to_glb


def points_of(prompt, seed=0):
    return points_of_scene(scene_of(prompt, seed))


def test_what_is_inside_is_not_seen():
    corners = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    faces = torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4],
                          [1, 0, 5], [2, 1, 5], [3, 2, 5], [0, 3, 5]])  # fmt: skip
    both = torch.cat([0.8 * corners, 0.2 * corners]), torch.cat([faces, faces + 6])
    points = visible_points(*both)
    np.testing.assert_allclose(np.abs(points).sum(1), 0.8, atol=1e-4)
    assert len(visible_points(corners, faces[:0])) == 0


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_an_individual_is_like_others_of_its_kind_however_it_faces(turns):
    points = points_of("a golden elephant")
    x, y, z = points.T
    for _ in range(turns):
        x, z = z, -x
    assert shape_f_score(np.stack([x, y, z], 1), individuals("elephant")) > 0.9


def test_other_kinds_and_lumps_are_less_alike():
    elephants, points = individuals("elephant"), points_of("a golden elephant")
    assert shape_f_score(points_of("a golden bus"), elephants) < 0.5
    ball = points / np.linalg.norm(points, axis=1, keepdims=True) * np.float32(0.6)
    scores = [
        shape_f_score((1 - share) * points + share * ball, elephants)
        for share in np.linspace(0, 1, 4, dtype=np.float32)
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.5 * scores[0]
    assert shape_f_score(points[:0], elephants) == 0.0


def test_a_model_is_measured_from_its_file(tmp_path):
    scene = scene_of("a golden elephant", 3)
    (tmp_path / "particle_0.glb").write_bytes(scene_to_glb(scene, 90.0, {}))
    measured = shape_of_model("a golden elephant", tmp_path / "particle_0.glb")
    assert measured["shape_f_score"] > 0.9
    assert shape_of_model("a golden elephant", tmp_path / "none.glb") == {"shape_f_score": 0.0}


def test_the_worlds_own_objects_have_every_measure_and_one_front():
    measured = truth_of("a golden elephant", 0)
    assert measured["num_fronts"] == 1.0
    assert measured["shape_f_score"] > 0.9
    assert measured["clip_score"] > 0.5 and 0.0 < measured["a_lpips_embedded"] < 1.0


def test_a_prompt_that_is_not_the_worlds_has_no_truth(tmp_path):
    assert shape_of_model("a corgi", tmp_path / "none.glb") == {}
    assert truth_of("a small golden elephant", 0) == truth_of("a corgi", 0) == {}
