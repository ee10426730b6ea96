"""A prompt becomes N meshes: made once, kept by content, used as retrieved ones."""

from dataclasses import replace

import numpy as np
import pytest

from redream.assets import FolderStore
from redream.mini.generator import EmbeddedGenerator, distorted
from redream.mini.library import make_clay_scene
from redream.mini.prepare import embedded_world
from redream.mini.store import EmbeddedLibrary
from redream.priors import GaussianPrior
from redream.retrieval import ExactRetriever
from redream.sources import Command, GenerativeRetriever, StoreRetriever
from redream.sources.generative import GeneratedMeshes
from redream.testing import RetrieverContract, StoreContract
from tests.sources.programs import program


class TestGenerativeRetriever(RetrieverContract):
    @pytest.fixture(scope="class")
    @classmethod
    def kept(cls, tmp_path_factory):
        return tmp_path_factory.mktemp("generated")

    @pytest.fixture
    def retriever(self, encoder, kept):
        return GenerativeRetriever(EmbeddedGenerator(), encoder, cache_dir=kept)


class TestStoreRetriever(RetrieverContract):
    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory):
        folder = tmp_path_factory.mktemp("few")
        for seed, name in enumerate(("elephant", "dog", "chair")):
            EmbeddedGenerator().generate(f"a {name}", seed, folder / f"a golden {name}.glb")
        return folder

    @pytest.fixture
    def retriever(self, encoder, folder):
        return StoreRetriever(FolderStore(folder), encoder)


class TestGeneratedMeshes(StoreContract):
    @pytest.fixture
    def store(self, encoder, boxes, tmp_path):
        retriever = GenerativeRetriever(boxes(), encoder, cache_dir=tmp_path)
        for prompt in ("a dog", "a cat"):
            retriever.retrieve(prompt, 1)
        return GeneratedMeshes(tmp_path)


def test_a_mesh_is_made_once_for_all_that_it_follows_from(encoder, boxes, tmp_path):
    generator = boxes()
    first = GenerativeRetriever(generator, encoder, num_meshes=2, cache_dir=tmp_path)
    found = first.retrieve("a dog", 2)
    assert [seed for _, seed, _ in generator.asked] == [0, 1] and generator.rested == 1
    assert first.retrieve("a dog", 2) == found and len(generator.asked) == 2
    again = boxes()
    assert GenerativeRetriever(again, encoder, 2, cache_dir=tmp_path).retrieve("a dog", 2) == found
    assert again.asked == []  # another process finds them
    GenerativeRetriever(again, encoder, 2, 1, cache_dir=tmp_path).retrieve("a dog", 1)
    assert [seed for _, seed, _ in again.asked] == [2]
    other = boxes(version=2)
    GenerativeRetriever(other, encoder, 1, cache_dir=tmp_path).retrieve("a dog", 1)
    GenerativeRetriever(other, encoder, 1, cache_dir=tmp_path).retrieve("a dog ", 1)
    assert len(other.asked) == 2


def test_a_mesh_is_known_as_a_retrieved_asset_is(encoder, boxes, tmp_path):
    prompt = 'a "red", dog\nand, cat'
    retriever = GenerativeRetriever(boxes(), encoder, cache_dir=tmp_path)
    best = retriever.retrieve(prompt, 1)[0]
    assert (best.license, best.author, best.origin) == ("by", "a maker of boxes", "generated")
    assert best.source.startswith("generated for ") and best.caption == prompt
    assert list(best.scores) == ["text", "image"]
    assert best.scores["text"] == pytest.approx(1.0, abs=1e-3)
    assert best.num_faces == 12
    assert len(retriever.store.load(best.uid).faces) == 12
    assert replace(best, scores={}) in retriever.store.assets()


def test_a_licence_is_kept_word_for_word(encoder, boxes, tmp_path):
    generator = boxes()
    generator.license = "Community licence (not in the EU)"
    (found,) = GenerativeRetriever(generator, encoder, 1, cache_dir=tmp_path).retrieve("a dog", 1)
    assert found.license == generator.license


def test_scores_are_those_of_an_index(encoder):
    found = ExactRetriever(embedded_world().index, encoder).retrieve("a golden elephant", 2)
    library = EmbeddedLibrary()
    ranked = StoreRetriever(library, encoder).rank("a golden elephant", found)
    assert [each.uid for each in ranked] == [each.uid for each in found]
    for mine, theirs in zip(ranked, found, strict=True):
        assert mine.scores == pytest.approx(theirs.scores, abs=2e-3)


def test_the_runs_prior_paints_for_a_generator_that_looks(encoder, boxes, tmp_path):
    generator = boxes(needs_picture=True)
    retriever = GenerativeRetriever(
        generator, encoder, 1, cache_dir=tmp_path, picture_prompt="{prompt} on white"
    )
    with pytest.raises(ValueError, match="redream fit"):
        retriever.retrieve("a dog", 1)
    retriever.paint_with(GaussianPrior())
    retriever.retrieve("a dog", 1)
    ((prompt, _, png),) = generator.asked
    assert prompt == "a dog" and png.startswith(b"\x89PNG")
    retriever.paint_with(GaussianPrior())
    retriever.retrieve("a dog", 1)
    assert len(generator.asked) == 1
    retriever.paint_with(GaussianPrior(mean=0.1))  # another prior, another picture
    retriever.retrieve("a dog", 1)
    assert len(generator.asked) == 2 and generator.asked[1][2] != png


def test_a_failed_mesh_leaves_nothing_and_those_before_it_stay(encoder, tmp_path):
    body = "import sys\nfrom pathlib import Path\n"
    body += "if sys.argv[2] == '1': raise SystemExit('out of memory')\n"
    body += "Path(sys.argv[1]).write_bytes(Path({box!r}).read_bytes())"
    tool, _ = program(tmp_path, body)
    command = Command(f"{tool} {{glb}} {{seed}}", name="tool")
    retriever = GenerativeRetriever(command, encoder, cache_dir=tmp_path / "made")
    with pytest.raises(ValueError, match="no mesh of 'a dog' with seed 1: tool failed with 1: out"):
        retriever.retrieve("a dog", 1)
    assert [path.name[-6:] for path in (tmp_path / "made").rglob("*.*")] == ["-0.glb"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("open(sys.argv[1], 'wb').write(b'glTF and nothing else')", "no mesh: "),
        ("open(sys.argv[1], 'wb')", "no mesh: "),
    ],
)
def test_what_is_no_mesh_is_not_kept(encoder, tmp_path, body, said):
    tool, _ = program(tmp_path, f"import sys\n{body}")
    retriever = GenerativeRetriever(Command(f"{tool} {{glb}}"), encoder, cache_dir=tmp_path / "m")
    with pytest.raises(ValueError, match=said) as caught:
        retriever.retrieve("a dog", 1)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "m").rglob("*.glb")) == []


def test_a_licence_that_is_not_wanted_makes_nothing(encoder, boxes, tmp_path):
    generator = boxes()
    retriever = GenerativeRetriever(generator, encoder, cache_dir=tmp_path)
    retriever.restrict(["by", "cc0"])
    assert retriever.most() == 3
    retriever.restrict(["cc0"])
    with pytest.raises(ValueError, match="makes 0 of a prompt: its licence is by"):
        retriever.retrieve("a dog", 1)
    assert generator.asked == [] and retriever.most() == 0


def test_noise_moves_the_embedded_generators_points_as_far_as_it_says():
    scene = make_clay_scene("dog", "grey", np.random.default_rng(0))
    for noise in (0.0, 0.1):
        moved = distorted(scene, noise, np.random.default_rng(1)).vertices - scene.vertices
        assert np.sqrt(np.square(moved).sum(1).mean()) == pytest.approx(noise)
    near = np.linalg.norm(scene.vertices - scene.vertices[0], axis=1) < 0.05
    assert np.ptp(moved[near], axis=0).max() < 0.1  # smooth: neighbours move together
