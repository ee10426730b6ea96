"""A run takes its assets from any source: painted by its prior, chosen by licence."""

import io

import numpy as np
import pytest
import torch
from lightning import Trainer
from lightning.pytorch import LightningModule
from PIL import Image

from redream.assets import ReferenceRenderer
from redream.data import RetrievalDataModule
from redream.mini.generator import EmbeddedGenerator
from redream.mini.prepare import embedded_world
from redream.mini.store import EmbeddedLibrary
from redream.priors import GaussianPrior
from redream.retrieval import ExactRetriever
from redream.sources import GenerativeRetriever, MixedRetriever, Source


class Module(LightningModule):
    """Trains nothing, with a prior."""

    def __init__(self):
        super().__init__()
        self.prior = GaussianPrior()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch):
        return self.weight.square()

    def validation_step(self, batch):
        """The data have a batch for it."""

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=0.1)


@pytest.fixture
def few():
    return ReferenceRenderer(num_views=1, size=8)


def test_the_prior_of_the_run_paints_for_the_generator(encoder, boxes, few, tmp_path):
    generator = boxes(needs_picture=True)
    retriever = GenerativeRetriever(generator, encoder, 1, cache_dir=tmp_path)
    data = RetrievalDataModule("a dog", retriever, num_assets=1, references=few)
    trainer = Trainer(
        max_steps=1,
        limit_val_batches=0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), data)
    ((prompt, seed, png),) = generator.asked
    assert (prompt, seed) == ("a dog", 0) and png.startswith(b"\x89PNG")
    assert [asset.origin for asset in data.assets] == ["generated"]
    assert data.references.rgba.shape == (1, 4, 8, 8)


def test_a_picture_of_the_users_own_is_shown_and_nothing_is_painted(encoder, boxes, few, tmp_path):
    """By whatever mixture; another picture is another mesh, the same one is found again."""
    pixels = np.zeros((20, 30, 4), np.uint8)
    pixels[5:15, 10:20] = (200, 30, 40, 255)
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    shown = []
    for color in ((200, 30, 40, 255), (200, 30, 40, 255), (10, 90, 40, 255)):
        pixels[5:15, 10:20] = color
        Image.fromarray(pixels).save(tmp_path / "mine.png")
        generator = boxes(needs_picture=True)
        made = GenerativeRetriever(generator, encoder, 1, cache_dir=tmp_path / "kept")
        mixed, mine = MixedRetriever({"made": Source(made)}), str(tmp_path / "mine.png")
        data = RetrievalDataModule("a dog", mixed, num_assets=1, references=few, image=mine)
        data.setup("fit")
        shown.append([picture for _, _, picture in generator.asked])
    assert [len(each) for each in shown] == [1, 0, 1]
    for (png,), color in ((shown[0], (200, 30, 40)), (shown[2], (10, 90, 40))):
        seen = np.asarray(Image.open(io.BytesIO(png)))
        assert seen.shape == (512, 512, 4) and seen[0, 0, 3] == 0
        assert tuple(seen[256, 256]) == (*color, 255)


def test_licences_are_asked_of_whatever_the_source_is(encoder, boxes, few, tmp_path):
    library = Source(ExactRetriever(embedded_world().index, encoder), EmbeddedLibrary())
    made = GenerativeRetriever(boxes(), encoder, 1, cache_dir=tmp_path)
    mixed = MixedRetriever({"library": library, "made": Source(made)}, floor=2.0)
    with pytest.warns(UserWarning, match="source library has no asset of licence by"):
        data = RetrievalDataModule("a dog", mixed, num_assets=1, references=few, licenses=["by"])
    data.setup("fit")
    assert [(asset.origin, asset.license) for asset in data.assets] == [("made", "by")]
    generator = EmbeddedGenerator()
    retriever = GenerativeRetriever(generator, encoder, 1, cache_dir=tmp_path)
    data = RetrievalDataModule("a dog", retriever, num_assets=1, licenses=["by"])
    with pytest.raises(ValueError, match="its licence is cc0"):
        data.setup("fit")


def test_a_source_that_brings_its_store_takes_no_other(encoder, boxes, tmp_path):
    retriever = GenerativeRetriever(boxes(), encoder, 1, cache_dir=tmp_path)
    with pytest.raises(ValueError, match="leave out the store"):
        RetrievalDataModule("a dog", retriever, EmbeddedLibrary())
