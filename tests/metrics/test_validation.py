"""Each metric on objects whose every side is known: right on them, worse as they are spoiled."""

import pytest
import torch
from truth import blurred, scene_of, shuffled, turntable_of, with_second_face

from redream import cameras
from redream.metrics import ALPIPS, ClipDistance, ClipScore, ClipViewJudge, ViewBalance
from redream.mini.prepare import WEIGHTS, pair_captions
from redream.retrieval import Encoder

PROMPT = "a striped car"
VIEWS = cameras.turntable(24)


@pytest.fixture(scope="module")
def evaluation_clip():
    return Encoder(str(WEIGHTS / "evaluation_clip"), device="cpu")


@pytest.fixture(scope="module")
def scene():
    return scene_of("car", "striped", "blue")


@pytest.fixture(scope="module")
def pictures(scene):
    return turntable_of(scene)


@pytest.fixture(scope="module")
def clip_score(evaluation_clip):
    return ClipScore(evaluation_clip, pair_captions(), num_views=None)


@pytest.fixture(scope="module")
def a_lpips(evaluation_clip):
    return ALPIPS(ClipDistance(evaluation_clip, "embedded"))


def falls(values):
    return all(after < before for before, after in zip(values, values[1:], strict=False))


def test_the_truth_ranks_first_and_its_rivals_do_not(clip_score, pictures):
    right = clip_score.measure(PROMPT, pictures, VIEWS)
    assert right["rank"] == 1 and right["r_precision"] > 0.3
    for rival in ("a spotted bus", "a wooden car", "a golden vase"):
        other = clip_score.measure(rival, pictures, VIEWS)
        assert other["clip_score"] < right["clip_score"]
        assert other["rank"] > 1 and other["r_precision"] < right["r_precision"]


def test_clip_score_falls_as_blur_grows(clip_score, pictures):
    measured = [clip_score.measure(PROMPT, blurred(pictures, s), VIEWS) for s in (0, 1, 2, 4, 8)]
    assert falls([each["clip_score"] for each in measured])
    assert [each["rank"] for each in measured] == sorted(each["rank"] for each in measured)
    assert measured[-1]["rank"] > 20 and measured[-1]["r_precision"] == 0


def test_clip_score_falls_as_views_of_something_else_grow(clip_score, pictures):
    other = turntable_of(scene_of("vase", "golden"))
    scores = []
    for num in (0, 6, 12, 24):
        mixed = torch.where((torch.arange(24) < num).view(-1, 1, 1, 1), other, pictures)
        scores.append(clip_score.measure(PROMPT, mixed, VIEWS)["clip_score"])
    assert falls(scores)


def test_the_order_of_views_is_a_lpips_alone(clip_score, a_lpips, pictures):
    mixed = [shuffled(pictures, share) for share in (1.0, 0.6, 0.3, 0.0)]
    assert falls([a_lpips.measure(PROMPT, each, VIEWS)["a_lpips_embedded"] for each in mixed])
    scores = [clip_score.measure(PROMPT, each, VIEWS)["clip_score"] for each in mixed]
    assert max(scores) - min(scores) < 1e-5


def test_a_lpips_does_not_see_what_turns_or_where_the_orbit_begins(a_lpips, pictures):
    whole = a_lpips.measure(PROMPT, pictures, VIEWS)["a_lpips_embedded"]
    assert a_lpips.measure(PROMPT, pictures.roll(7, 0), VIEWS)["a_lpips_embedded"] == pytest.approx(
        whole, rel=1e-5
    )
    still = pictures[:1].expand_as(pictures)
    assert a_lpips.measure(PROMPT, still, VIEWS)["a_lpips_embedded"] == pytest.approx(0, abs=1e-9)


def test_a_lpips_rises_with_one_picture_that_does_not_fit(a_lpips, pictures):
    torn = pictures.clone()
    torn[3] = turntable_of(scene_of("vase", "golden"), 1)[0]
    before, after = (a_lpips.measure(PROMPT, each, VIEWS) for each in (pictures, torn))
    assert after["a_lpips_embedded"] > before["a_lpips_embedded"]
    assert after["a_lpips_embedded_max"] > 1.2 * before["a_lpips_embedded_max"]


def test_blur_flatters_a_lpips_so_it_is_never_reported_alone(a_lpips, pictures):
    measured = [a_lpips.measure(PROMPT, blurred(pictures, s), VIEWS) for s in (0, 2, 8)]
    assert falls([each["a_lpips_embedded"] for each in measured])


@pytest.mark.parametrize(("material", "category"), [("spotted", "car"), ("wooden", "bus")])
def test_a_second_face_is_counted(evaluation_clip, material, category):
    judge = ViewBalance(ClipViewJudge(evaluation_clip))
    scene = scene_of(category, material, "blue")
    one, two = (
        judge.measure(f"a {material} {category}", turntable_of(each), VIEWS)
        for each in (scene, with_second_face(scene))
    )
    assert one["num_fronts"] == 1 and two["num_fronts"] == 2
    assert two["front_share"] > 1.5 * one["front_share"]
