"""Pictures are decoded once per content, whichever file brings them."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from redream.assets import textures
from redream.assets.decoded import DecodedPictures
from redream.assets.textures import Textures


def png(red=200, size=4, side=None):
    file = io.BytesIO()
    Image.new("RGBA", (side or size, size), (red, 3, 2, 128)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def decoded(monkeypatch):
    """The contents that were decoded, with nothing decoded before."""
    contents, decode = [], textures._decode
    monkeypatch.setattr(textures, "DECODED", DecodedPictures())
    monkeypatch.setattr(
        textures, "_decode", lambda content, side: contents.append(content) or decode(content, side)
    )
    return contents


def test_files_that_share_a_picture_decode_it_once_and_own_their_textures(decoded):
    first = Textures(1).rgba("a", png)
    other = Textures(1)
    second, opaque, glow = other.rgba(7, png), other.rgba(7, png, -np.inf), other.rgb(7, png)
    assert decoded == [png()]
    expected = torch.tensor([200.0, 3.0, 2.0, 128.0]) / 255.0
    assert torch.equal(second, expected.expand(4, 4, 4))
    assert torch.equal(glow, second[..., :3])
    assert torch.equal(opaque[..., 3], torch.ones(4, 4))
    first.zero_()  # whoever writes into a texture changes no other file's
    assert torch.equal(Textures(1).rgba("b", png), second)


def test_every_byte_is_the_same_number_as_a_division_by_255(decoded):
    grey = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint8)[None]).save(grey, "PNG")
    texture = Textures(1).rgb("a", grey.getvalue)
    assert torch.equal(texture[0, :, 0], torch.arange(256, dtype=torch.uint8) / 255.0)


def test_a_picture_is_decoded_anew_for_another_bound(decoded):
    wide = png(size=1, side=1500)
    assert Textures(1).rgba("a", lambda: wide).shape[1] == 1500
    assert Textures(32).rgba("a", lambda: wide).shape[1] == 1024
    assert Textures(1).rgba("a", lambda: wide).shape[1] == 1500
    assert len(decoded) == 2


def test_a_kept_picture_counts_among_those_of_its_file(decoded, monkeypatch):
    monkeypatch.setattr(textures, "_MAX_TOTAL", 20)
    Textures(1).rgba("a", png)
    file = Textures(2)
    assert file.rgba("a", png) is not None and file.rgba("b", png) is None
    assert "all the pixels" in file.unread["b"]


def test_a_picture_cut_short_is_none_each_time(decoded):
    half = png()[:-30]
    for _ in range(2):
        file = Textures(1)
        assert file.rgba("a", lambda: half) is None and file.unread
    assert len(decoded) == 2


def test_memory_is_bounded_and_the_oldest_leave():
    def decode(content, side):
        made.append(content)
        return np.zeros(side, np.uint8)

    made, kept = [], DecodedPictures(max_bytes=100)
    for content in (b"a", b"b", b"a", b"c"):  # a was asked for after b
        assert not kept.get(content, 40, decode).flags.writeable
    assert made == [b"a", b"b", b"c"]
    kept.get(b"a", 40, decode)
    assert made == [b"a", b"b", b"c"]
    kept.get(b"b", 40, decode)
    assert made == [b"a", b"b", b"c", b"b"]
    kept.get(b"great", 101, decode)
    kept.get(b"great", 101, decode)
    assert made[4:] == [b"great", b"great"]
    kept.get(b"b", 40, decode)
    assert len(made) == 6
