import pytest
import torch

from redream import cameras
from redream.metrics import ClipScore, ClipViewJudge, ViewBalance, ViewJudge
from redream.metrics.base import merge
from redream.metrics.view_balance import arc_widths
from redream.retrieval.encoder import Encoder

COLORS = {"red": 0, "green": 1, "blue": 2, "front": 0, "side": 1, "back": 2}


class ColorEncoder(Encoder):
    """A CLIP that knows three words and the mean colour of a picture."""

    def __init__(self):
        pass

    def encode_texts(self, texts):
        rows = torch.zeros(len(texts), 3)
        for row, text in zip(rows, texts, strict=True):
            for word in text.replace(",", "").split():
                if word in COLORS:
                    row[COLORS[word]] = 1.0
        return torch.nn.functional.normalize(rows, dim=-1)

    def encode_images(self, pictures):
        return torch.nn.functional.normalize(pictures.mean(dim=(2, 3)), dim=-1)


def _pictures(*rgb):
    return torch.tensor(rgb)[:, :, None, None].expand(-1, 3, 8, 8)


RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
RED8 = _pictures(*[RED] * 8)


def _measure(metric, prompt, pictures):
    return metric.measure(prompt, pictures, cameras.turntable(pictures.shape[0]))


def test_clip_score_is_the_mean_cosine_over_the_chosen_azimuths():
    metric = ClipScore(ColorEncoder(), num_views=2)
    # Of four views the first and the third are taken: cosines 1 and 0.6 with "red".
    pictures = _pictures(RED, BLUE, (0.6, 0.8, 0.0), BLUE)
    measures = _measure(metric, "a red cube", pictures)
    assert measures == {"clip_score": pytest.approx(0.8)}


def test_rank_is_the_prompts_place_among_the_captions():
    captions = ["a green cube", "a blue cube", "a red cube"]
    metric = ClipScore(ColorEncoder(), captions, num_views=1)
    picture = _pictures((0.8, 0.5, 0.3))
    ranks = {
        color: _measure(metric, f"a {color} cube", picture)["rank"]
        for color in ("red", "green", "blue")
    }
    assert ranks == {"red": 1, "green": 2, "blue": 3}
    outside = _measure(metric, "a red green cube", picture)
    assert outside["rank"] == 1 and outside["num_captions"] == 4
    assert _measure(metric, "a nothing", picture)["rank"] == 4


def test_r_precision_is_the_share_of_views_that_the_prompt_wins():
    metric = ClipScore(ColorEncoder(), ["a red cube", "a green cube"], num_views=None)
    views = _pictures(RED, (0.9, 0.5, 0.0), (0.5, 0.9, 0.0), (0.5, 0.5, 0.0))  # the last one ties
    assert _measure(metric, "a red cube", views)["r_precision"] == 0.5
    assert _measure(metric, "a green cube", views)["r_precision"] == 0.25


def test_labels_keep_judges_apart():
    names = {
        name
        for label in ("openai", "datacomp")
        for name in _measure(ClipScore(ColorEncoder(), ["blue"], label=label), "red", RED8)
    }
    assert {"openai_clip_score", "datacomp_clip_score", "openai_r_precision"} < names
    measures = [_measure(ClipScore(ColorEncoder()), "red", RED8)] * 2
    with pytest.raises(ValueError, match="both give clip_score: set the `label`"):
        merge(measures)


def test_a_tie_does_not_flatter_the_prompt():
    metric = ClipScore(ColorEncoder(), ["one red", "two red"], num_views=1)
    assert _measure(metric, "a red cube", _pictures(RED))["rank"] == 3


def test_captions_come_from_a_file(tmp_path):
    (tmp_path / "captions.txt").write_text("a red cube\n\n  a blue cube \n")
    metric = ClipScore(ColorEncoder(), tmp_path / "captions.txt")
    assert metric.captions == ["a red cube", "a blue cube"]
    with pytest.raises(FileNotFoundError, match="nowhere.txt"):
        ClipScore(ColorEncoder(), tmp_path / "nowhere.txt")


def test_the_template_words_prompt_and_captions():
    metric = ClipScore(ColorEncoder(), num_views=1, template="{} red")
    assert _measure(metric, "a cube", _pictures(RED))["clip_score"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="template"):
        ClipScore(ColorEncoder(), template="no place")


def test_views_that_do_not_divide_the_circle_are_refused():
    with pytest.raises(ValueError, match="4 frames, got 3"):
        _measure(ClipScore(ColorEncoder(), num_views=3), "red", _pictures(RED, RED, RED, RED))


@pytest.mark.parametrize(
    ("profile", "gap", "expected"),
    [
        ("........", 1, []),
        ("##......", 1, [2]),
        ("#......#", 1, [2]),  # one front across the seam
        ("########", 1, [8]),
        ("##..##..", 1, [2, 2]),
        ("#..##.#.", 1, [1, 1, 2]),
        ("#.#.....", 1, [1, 1]),
        ("#.#.....", 2, [3]),  # a single doubtful azimuth inside one front
        ("#.....#.", 2, [3]),  # ... and across the seam
        ("##.#..##", 2, [6]),
        ("#..#....", 2, [1, 1]),
        ("...#....", 2, [1]),
        ("#.#.#.#.", 2, [8]),
    ],
)
def test_arcs_are_found_on_the_circle(profile, gap, expected):
    ring = [mark == "#" for mark in profile]
    for turn in range(len(ring)):  # wherever the circle is cut
        assert sorted(arc_widths(ring[turn:] + ring[:turn], gap)) == expected


class Told(ViewJudge):
    def __init__(self, front):
        self.front = front

    def probabilities(self, prompt, pictures):
        front = torch.as_tensor(self.front, dtype=torch.float32)
        return torch.stack([front, 1 - front, torch.zeros_like(front)], dim=1)


def _janus(front):
    return _measure(ViewBalance(Told(front)), "a dog", torch.zeros(24, 3, 4, 4))


def test_one_face_two_faces_no_face():
    azimuth = cameras.turntable(24).azimuth_deg
    one = azimuth.abs() <= 45
    two = one | (azimuth.abs() >= 150)
    assert _janus(one) == {"num_fronts": 1, "front_share": pytest.approx(7 / 24)}
    assert _janus(two)["num_fronts"] == 2
    assert _janus(torch.zeros(24)) == {"num_fronts": 0, "front_share": 0}


def test_single_azimuths_are_no_front_and_a_front_all_round_is_two():
    azimuth = cameras.turntable(24).azimuth_deg
    one = azimuth.abs() <= 45
    assert _janus(one | (azimuth == -120))["num_fronts"] == 1
    assert _janus(azimuth.abs() <= 15)["num_fronts"] == 1  # 45 degrees wide
    assert _janus(azimuth.abs() <= 100)["num_fronts"] == 2
    assert _janus(torch.ones(24))["num_fronts"] == 2


def test_a_front_needs_its_margin():
    # 0.55 against 0.45 leads by 0.1 only, 0.65 against 0.35 by 0.3.
    is_front = cameras.turntable(24).azimuth_deg.abs() <= 45
    assert _janus(0.55 * is_front)["num_fronts"] == 0
    assert _janus(0.65 * is_front)["num_fronts"] == 1


def test_clip_judges_views_by_their_names():
    judge = ClipViewJudge(ColorEncoder(), logit_scale=2.0)
    probabilities = judge.probabilities("a dog", _pictures(RED, GREEN, BLUE))
    certain, other = torch.tensor(2.0).exp(), torch.tensor(1.0)
    expected = torch.full((3, 3), other / (certain + 2)) + torch.eye(3) * (certain - 1) / (
        certain + 2
    )
    assert torch.allclose(probabilities, expected)
    with pytest.raises(ValueError, match="view"):
        ClipViewJudge(ColorEncoder(), template="{prompt}")
