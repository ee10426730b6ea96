"""The embedded world's encoder, an index of a few assets, and generators that count."""

import pytest
import trimesh

from redream.mini.prepare import WEIGHTS
from redream.retrieval import Encoder
from redream.sources import Generator


@pytest.fixture(scope="session")
def encoder():
    return Encoder(str(WEIGHTS / "retrieval_clip"), device="cpu")


class Boxes(Generator):
    """A box whose sides the seed decides; remembers what it was asked."""

    license, author = "by", "a maker of boxes"

    def __init__(self, needs_picture=False, version=1):
        self.asked, self.rested, self.version = [], 0, version
        self.needs_picture = needs_picture

    def generate(self, prompt, seed, path, picture=None):
        self.asked.append((prompt, seed, None if picture is None else picture.read_bytes()))
        trimesh.creation.box((1.0, 1.0 + seed, 2.0)).export(path)

    def key(self):
        return {"version": self.version}

    def rest(self):
        self.rested += 1


@pytest.fixture
def boxes():
    return Boxes
