"""Which pictures the embedded world shows, with which words: splits, recipes and datasets."""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from redream.mini.captions import CLAY_COLOURS, caption, clay_caption
from redream.mini.categories import CATEGORIES
from redream.mini.library import make_clay_scene
from redream.mini.materials import COLOURS, MATERIALS
from redream.mini.scene import (
    Picture,
    make_scene,
    render_scene,
    sample_background,
    sample_camera,
    sample_lighting,
)

Pair = tuple[str, str]
HELD_OUT_SHARE = 0.15
VIEWS = ("front", "side", "back")
_WEB_VIEWS = (0.6, 0.25, 0.15)
_FOLDED_DEG = {"front": (0.0, 45.0), "side": (45.0, 135.0), "back": (135.0, 180.0)}
_CHUNK = 250


def all_pairs() -> list[Pair]:
    """Every ``(material, category)``."""
    return [(material, category) for category in CATEGORIES for material in MATERIALS]


def seen_pairs() -> list[Pair]:
    """The pairs that training may show."""
    return [pair for pair in all_pairs() if pair not in HELD_OUT]


def _hold_out() -> frozenset[Pair]:
    """Takes pairs in the order of their hashes, at most one a category and a fair share a material.

    Hashes, unlike a random generator's stream, are the same in every version of everything.
    """
    candidates = [pair for pair in all_pairs() if pair[0] != "plain"]
    goal = round(HELD_OUT_SHARE * len(candidates))
    limit = -(-goal // (len(MATERIALS) - 1))
    candidates.sort(
        key=lambda pair: hashlib.sha256(f"held out: {' '.join(pair)}".encode()).digest()
    )
    chosen: list[Pair] = [("striped", "dog")]  # the pair that the documentation talks about
    for material, category in candidates:
        crowded = sum(m == material for m, _ in chosen) >= limit
        if len(chosen) < goal and not crowded and all(c != category for _, c in chosen):
            chosen.append((material, category))
    return frozenset(chosen)


HELD_OUT: frozenset[Pair] = _hold_out()


@dataclass(frozen=True)
class Recipe:
    """How pictures and words are drawn.

    Attributes:
        name: For the dataset's record.
        views: Shares of front, side and back for categories with a front; None draws azimuths
            uniformly (as it always is for categories without).
        view_words: Share of captions that name a view.
        view_accuracy: Share of those that name the right one; the others name a view drawn from
            the web's 60/25/15, whatever the picture shows.
        normal_maps: Share of pictures that are normal maps.
        clay_share: Share of pictures in the style of the library.
    """

    name: str
    views: tuple[float, float, float] | None
    view_words: float
    view_accuracy: float
    normal_maps: float
    clay_share: float = 0.0


RECIPES: dict[str, Recipe] = {
    "web": Recipe("web", _WEB_VIEWS, 0.15, 0.36, 0.10),
    "uniform": Recipe("uniform", None, 0.5, 1.0, 0.0),
}


@dataclass(frozen=True)
class Sample:
    """A picture and all that is known of it.

    Attributes:
        picture: ``S S 3`` uint8, sRGB.
        caption: What the words say (of the view, possibly wrongly).
        azimuth_deg: In [-180, 180).
        elevation_deg: Grows upward.
        distance: Of the camera.
        category: A key of ``CATEGORIES``.
        material: A key of ``MATERIALS``, or ``clay``.
        colour: A key of ``COLOURS``, or of ``CLAY_COLOURS`` for clay.
        is_normal_map: Whether the picture shows normals.
        has_front: Whether the category has a front.
    """

    picture: Picture
    caption: str
    azimuth_deg: float
    elevation_deg: float
    distance: float
    category: str
    material: str
    colour: str
    is_normal_map: bool
    has_front: bool


class PictureSampler:
    """An endless, deterministic sequence of pictures: item ``i`` depends on ``(seed, i)`` alone.

    Args:
        seed: Decides everything.
        pairs: The ``(material, category)`` pairs to show; those seen in training by default.
        recipe: How to draw views and words: a recipe or the name of one.
        clay_share: Overrides the recipe's share of pictures in the library's style.
        size: Height and width in pixels.
    """

    def __init__(
        self,
        seed: int,
        pairs: Sequence[Pair] | None = None,
        recipe: Recipe | str = "web",
        clay_share: float | None = None,
        size: int = 64,
    ) -> None:
        self.seed = seed
        self.pairs = list(seen_pairs() if pairs is None else pairs)
        self.recipe = RECIPES[recipe] if isinstance(recipe, str) else recipe
        self.clay_share = self.recipe.clay_share if clay_share is None else clay_share
        self.size = size

    def __iter__(self) -> Iterator[Sample]:
        index = 0
        while True:
            yield self[index]
            index += 1

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng([self.seed, index])
        words = np.random.default_rng([self.seed, index, 1])  # other words, the same picture
        material, category = self.pairs[int(rng.integers(len(self.pairs)))]
        colour = str(rng.choice(list(COLOURS)))
        has_front = CATEGORIES[category].has_front
        azimuth_deg = self._azimuth(has_front, rng)
        view = self._view_word(view_of(azimuth_deg), words)
        camera, background = sample_camera(azimuth_deg, rng), sample_background(rng)
        is_clay = bool(rng.random() < self.clay_share)
        is_normal_map = bool(rng.random() < self.recipe.normal_maps) and not is_clay
        if is_clay:
            material, colour = "clay", str(rng.choice(list(CLAY_COLOURS)))
            scene = make_clay_scene(category, colour, rng)
            text = clay_caption(category, colour, view, words)
        else:
            scene = make_scene(category, material, colour, rng)
            text = caption(category, material, colour, view, background.name, is_normal_map, words)
        picture = render_scene(
            scene,
            [camera],
            self.size,
            lighting=sample_lighting(rng),
            background=background,
            normal_map=is_normal_map,
        )[0]
        return Sample(
            picture=picture,
            caption=text,
            azimuth_deg=round(azimuth_deg, 2),
            elevation_deg=round(camera.elevation_deg, 2),
            distance=round(camera.distance, 3),
            category=category,
            material=material,
            colour=colour,
            is_normal_map=is_normal_map,
            has_front=has_front,
        )

    def _azimuth(self, has_front: bool, rng: np.random.Generator) -> float:
        if self.recipe.views is None or not has_front:
            return float(rng.uniform(-180, 180))
        low, high = _FOLDED_DEG[str(rng.choice(VIEWS, p=self.recipe.views))]
        return float(rng.uniform(low, high) * rng.choice([-1, 1]))

    def _view_word(self, truth: str, rng: np.random.Generator) -> str | None:
        if rng.random() >= self.recipe.view_words:
            return None
        right = rng.random() < self.recipe.view_accuracy
        return truth if right else str(rng.choice(VIEWS, p=_WEB_VIEWS))


def view_of(azimuth_deg: float) -> str:
    """``front`` where |azimuth| <= 45 deg, ``back`` where it is >= 135, ``side`` between."""
    folded = abs((azimuth_deg + 180.0) % 360.0 - 180.0)
    return "front" if folded <= 45.0 else "back" if folded >= 135.0 else "side"


def make_dataset(
    path: str | os.PathLike[str],
    num: int,
    seed: int,
    recipe: Recipe | str = "web",
    num_workers: int = 2,
    pairs: Sequence[Pair] | None = None,
    clay_share: float | None = None,
    size: int = 64,
) -> None:
    """Writes a dataset, the same for any number of workers.

    Args:
        path: A folder; gets ``pictures.npy`` (``num size size 3`` uint8) and ``samples.jsonl``,
            one line a picture with every other field of :class:`Sample`.
        num: Pictures.
        seed: Decides everything.
        recipe: A recipe or the name of one.
        num_workers: Processes; 1 stays in this one.
        pairs: As for :class:`PictureSampler`.
        clay_share: As for :class:`PictureSampler`.
        size: Height and width in pixels.
    """
    root = Path(path)
    root.mkdir(parents=True, exist_ok=True)
    shape = (num, size, size, 3)
    pictures = np.lib.format.open_memmap(root / "pictures.npy", "w+", np.uint8, shape)
    sampler = PictureSampler(seed, pairs, recipe, clay_share, size)
    jobs = [(sampler, range(i, min(i + _CHUNK, num))) for i in range(0, num, _CHUNK)]
    with open(root / "samples.jsonl", "w", encoding="utf-8") as file:

        def store(indices: range, samples: Sequence[Sample]) -> None:
            for index, sample in zip(indices, samples, strict=True):
                pictures[index] = sample.picture
                record = asdict(sample)
                del record["picture"]
                file.write(json.dumps(record) + "\n")

        if num_workers <= 1:
            for job in jobs:
                store(job[1], _take(job))
        else:
            with multiprocessing.get_context("spawn").Pool(num_workers) as pool:
                for job, samples in zip(jobs, pool.imap(_take, jobs), strict=True):
                    store(job[1], samples)
    pictures.flush()


def _take(job: tuple[PictureSampler, range]) -> list[Sample]:
    sampler, indices = job
    return [sampler[index] for index in indices]
