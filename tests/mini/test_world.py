"""The embedded world: shapes, words, splits, library."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import trimesh

from redream.mini.captions import VOCABULARY, words
from redream.mini.categories import CATEGORIES
from redream.mini.library import write_library
from redream.mini.materials import COLOURS, MATERIALS
from redream.mini.scene import Camera, make_scene, render_scene
from redream.mini.world import (
    HELD_OUT,
    PictureSampler,
    all_pairs,
    make_dataset,
    seen_pairs,
    view_of,
)


def test_there_is_enough_of_everything() -> None:
    assert len(CATEGORIES) >= 20
    assert sum(category.has_front for category in CATEGORIES.values()) >= 12
    assert len(COLOURS) == 10
    assert all(name.isalpha() and name.islower() for name in CATEGORIES)


@pytest.mark.parametrize("category", CATEGORIES)
def test_shapes_are_normalised_and_well_formed(category: str) -> None:
    scene = make_scene(category, "plain", "red", np.random.default_rng(0))
    low, high = scene.vertices.min(axis=0), scene.vertices.max(axis=0)
    np.testing.assert_allclose(low + high, 0, atol=1e-9)
    assert np.linalg.norm(scene.vertices, axis=1).max() == pytest.approx(0.9)
    np.testing.assert_allclose(np.linalg.norm(scene.normals, axis=1), 1, atol=1e-6)
    assert len(scene.faces) < 6000
    corners = scene.vertices[scene.faces]
    geometric = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    agreement = (geometric * scene.normals[scene.faces].mean(axis=1)).sum(axis=1)
    assert (agreement > -1e-9).mean() > 0.99  # winding and normals both point outward


@pytest.mark.parametrize("category", [c.name for c in CATEGORIES.values() if c.has_front])
def test_fronts_differ_from_backs(category: str) -> None:
    scene = make_scene(category, "plain", "blue", np.random.default_rng(1))
    front, back = render_scene(scene, [Camera(0.0), Camera(180.0)]).astype(float)
    assert (np.abs(front - back[:, ::-1]).max(axis=-1) > 40).mean() > 0.02


def test_individuals_differ_and_seeds_repeat() -> None:
    first, again, other = (
        make_scene("dog", "plain", "red", np.random.default_rng(s)) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.vertices, again.vertices)
    assert not np.allclose(first.vertices, other.vertices)
    samples = [PictureSampler(3)[5] for _ in range(2)]
    np.testing.assert_array_equal(samples[0].picture, samples[1].picture)
    assert samples[0].caption == samples[1].caption


def test_held_out_pairs_are_a_fair_share() -> None:
    candidates = [pair for pair in all_pairs() if pair[0] != "plain"]
    assert abs(len(HELD_OUT) / len(candidates) - 0.15) < 0.01
    assert ("striped", "dog") in HELD_OUT
    assert set(seen_pairs()) | HELD_OUT == set(all_pairs())
    assert max(Counter(category for _, category in HELD_OUT).values()) == 1
    assert max(Counter(material for material, _ in HELD_OUT).values()) <= len(CATEGORIES) / 4
    assert all(material in MATERIALS and material != "plain" for material, _ in HELD_OUT)


def test_web_recipe_is_biased_and_its_words_are_known() -> None:
    sampler = PictureSampler(0, recipe="web", size=8)
    samples = [sampler[i] for i in range(400)]
    assert all(word in VOCABULARY for sample in samples for word in words(sample.caption))
    assert all((s.material, s.category) not in HELD_OUT for s in samples)
    fronted = [view_of(s.azimuth_deg) for s in samples if s.has_front]
    assert 0.5 < fronted.count("front") / len(fronted) < 0.7
    assert 0.05 < np.mean([s.is_normal_map for s in samples]) < 0.16
    assert 0.08 < np.mean(["view" in words(s.caption) for s in samples]) < 0.22


def test_uniform_recipe_says_what_it_sees() -> None:
    sampler = PictureSampler(0, recipe="uniform", clay_share=0.3, size=8)
    samples = [sampler[i] for i in range(400)]
    assert all(word in VOCABULARY for sample in samples for word in words(sample.caption))
    named = [s for s in samples if "view" in words(s.caption)]
    assert 0.4 < len(named) / len(samples) < 0.6
    assert all(f"{view_of(s.azimuth_deg)} view" in s.caption for s in named)
    assert 0.2 < np.mean([s.material == "clay" for s in samples]) < 0.4


def test_dataset_does_not_depend_on_workers(tmp_path: Path) -> None:
    for workers in (1, 2):
        make_dataset(tmp_path / str(workers), 6, 0, "web", num_workers=workers, size=16)
    one, two = (np.load(tmp_path / str(w) / "pictures.npy", allow_pickle=False) for w in (1, 2))
    assert one.shape == (6, 16, 16, 3) and one.dtype == np.uint8
    np.testing.assert_array_equal(one, two)
    lines = (tmp_path / "1" / "samples.jsonl").read_text().splitlines()
    assert len(lines) == 6 and json.loads(lines[0])["category"] in CATEGORIES


def test_library_round_trip(tmp_path: Path) -> None:
    write_library(tmp_path / "a", seed=0, per_category=2)
    write_library(tmp_path / "b", seed=0, per_category=2)
    annotations = json.loads((tmp_path / "a" / "annotations.json").read_text())
    assert len(annotations) == 2 * len(CATEGORIES)
    captions = (tmp_path / "a" / "captions.csv").read_text().splitlines()
    assert {line.split(",")[0] for line in captions} == set(annotations)
    yaws = np.array([entry["yaw_deg"] for entry in annotations.values()])
    assert (np.histogram(yaws, bins=4, range=(0, 360))[0] > 3).all()
    for uid, entry in annotations.items():
        glb = tmp_path / "a" / "glbs" / f"{uid}.glb"
        assert glb.read_bytes() == (tmp_path / "b" / "glbs" / f"{uid}.glb").read_bytes()
        header = json.loads(glb.read_bytes()[20:].split(b"BIN\x00")[0][:-4].rstrip(b"\x00 "))
        assert header["asset"]["extras"]["license"] == entry["license"] == "cc0"
        assert 2 <= len(header["materials"]) <= 5
    vertices = trimesh.load_scene(glb).to_geometry().vertices
    assert np.linalg.norm(vertices, axis=1).max() == pytest.approx(0.9, abs=1e-4)
