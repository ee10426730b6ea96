"""The pattern score: which pattern a judge sees, and from how many sides."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from truth import scene_of, turntable_of

from redream import cameras
from redream.metrics import PatternScore
from redream.metrics.pattern_score import PATTERNS as MATERIAL_WORDS
from redream.metrics.pattern_score import rival_prompts
from redream.mini.materials import MATERIALS
from redream.mini.prepare import WEIGHTS
from redream.mini.repainted import with_mean_colour, with_one_sided_pattern
from redream.retrieval import Encoder

PATTERNS = ("red", "green", "blue")
RED, GREEN, BLUE = torch.eye(3).tolist()


class ColorEncoder(Encoder):
    """A CLIP that knows the words of three colours and the mean colour of a picture."""

    def __init__(self):
        pass

    def encode_texts(self, texts):
        rows = [[float(color in text.split()) for color in PATTERNS] for text in texts]
        return torch.nn.functional.normalize(torch.tensor(rows), dim=-1)

    def encode_images(self, pictures):
        return torch.nn.functional.normalize(pictures.mean(dim=(2, 3)), dim=-1)


def measure(prompt, colors, **options):
    pictures = torch.tensor(colors)[:, :, None, None].expand(-1, 3, 8, 8)
    metric = PatternScore(ColorEncoder(), PATTERNS, **options)
    return metric.measure(prompt, pictures, cameras.turntable(len(colors)))


def test_the_share_of_azimuths_and_the_verdict_of_the_whole_are_two_things():
    half = [RED, RED, [0.0, 0.9, 0.8], BLUE]
    assert measure("a red cube", half, num_views=4) == {
        "pattern_score": 0.5,
        "pattern_right": 1.0,  # mean cosines: 0.5 red, 0.4 blue, 0.2 green
        "pattern_lead": pytest.approx((1 + 1 - 0.9 / np.hypot(0.9, 0.8) - 1) / 4),
    }
    assert measure("a blue cube", half, num_views=4)["pattern_score"] == 0.25
    assert measure("a blue cube", half, num_views=4)["pattern_right"] == 0.0


def test_only_the_chosen_azimuths_are_judged():
    assert measure("a red cube", [RED, BLUE] * 4, num_views=4)["pattern_score"] == 1.0
    assert measure("a red cube", [RED, BLUE] * 4, num_views=8)["pattern_score"] == 0.5


def test_a_tie_is_not_won():
    assert measure("a red cube", [[0.5, 0.5, 0.0]], num_views=1)["pattern_score"] == 0.0


def test_a_prompt_without_a_pattern_has_no_pattern_score():
    assert measure("a cube", [RED], num_views=1) == {}


def test_names_begin_with_the_label():
    measured = measure("a red cube", [RED], num_views=1, label="web")
    assert set(measured) == {"web_pattern_score", "web_pattern_right", "web_pattern_lead"}


@pytest.mark.parametrize("prompt", ["a red cube", "A Red cube.", "a cube, red, on a shelf"])
def test_a_prompt_competes_with_itself_in_other_patterns(prompt):
    own, wordings = rival_prompts(prompt, PATTERNS)
    assert own == 0
    for color, wording in zip(PATTERNS, wordings, strict=True):
        assert wording.lower() == prompt.lower().replace("red", color)


def test_two_patterns_in_one_prompt_leave_it_undecided():
    assert rival_prompts("a red cube on a blue cube", PATTERNS) is None
    assert rival_prompts("a red cube on a red cube", PATTERNS)[1][2] == "a blue cube on a blue cube"


def test_the_words_are_the_embedded_worlds_materials():
    assert tuple(MATERIALS) == MATERIAL_WORDS


def test_one_pattern_rules_nothing_out():
    with pytest.raises(ValueError, match="two words or more"):
        PatternScore(ColorEncoder(), ("red", "red"))


def test_half_a_pattern_is_painted_on_the_front_half_alone():
    scene = scene_of("vase", "chequered", "red")
    coat = scene.coat
    half, mean = with_one_sided_pattern(scene).coat, with_mean_colour(scene).coat
    points = scene.vertices
    paint = [
        each.material.paint(points + each.phase, scene.normals, each.primary, each.secondary)
        for each in (coat, half, mean)
    ]
    front, back = points[:, 2] > 1e-6, points[:, 2] < -1e-6
    assert np.array_equal(paint[1][front], paint[0][front])
    assert np.array_equal(paint[1][back], paint[2][back])
    assert np.allclose(paint[2], paint[0].mean(axis=0)) and len(np.unique(paint[0], axis=0)) == 2


def test_an_object_without_a_coat_has_no_pattern_to_spoil():
    with pytest.raises(ValueError, match="vase wears no coat"):
        with_mean_colour(replace(scene_of("vase"), coat=None))


def test_the_embedded_judge_sees_whole_half_and_lost_patterns():
    metric = PatternScore(Encoder(str(WEIGHTS / "evaluation_clip"), device="cpu"))
    whole, half, lost = [], [], []
    for material in ("striped", "spotted", "chequered"):
        for category in ("vase", "mushroom"):
            scene = scene_of(category, material, "red")
            for kept, spoiled in (
                (whole, scene),
                (half, with_one_sided_pattern(scene)),
                (lost, with_mean_colour(scene)),
            ):
                pictures = turntable_of(spoiled, num=8)
                views = cameras.turntable(8)
                measured = metric.measure(f"a {material} {category}", pictures, views)
                kept.append(measured["pattern_score"])
    assert np.mean(whole) > 0.85
    assert 0.25 < np.mean(half) < 0.75
    assert np.mean(lost) < 0.15
