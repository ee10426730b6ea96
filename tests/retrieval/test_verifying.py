import shutil

import numpy as np
import pytest
from toy_encoders import NAMED, ColorEncoder, save_random_clip

from redream.retrieval import EmbeddingIndex, Encoder
from redream.retrieval.verifying import verify_index
from redream.retrieval.writing import write_index
from redream.types import Asset

ASSETS = [Asset(f"{name}-{i}", f"a {name} box") for name in NAMED for i in range(2)]
TEXT = ColorEncoder().encode_texts([asset.caption for asset in ASSETS]).numpy()


def write(path, assets=ASSETS, text=TEXT, image=None):
    return write_index(path, assets, text, image, {"name": "colours", "init_args": {}})


def test_a_whole_index_passes(tmp_path):
    verify_index(write(tmp_path / "i", image=TEXT), ColorEncoder(), sample=100)


def test_same_size_damage(tmp_path):
    index = write(tmp_path / "index")
    path = index.path / "text.npy"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"text\.npy was changed"):
        verify_index(EmbeddingIndex.open(index.path))


@pytest.mark.parametrize(
    ("row", "what"),
    [([np.nan, 0, 0], "is not finite"), ([0, 0.5, 0], "does not have length one")],
)
def test_a_vector_without_a_direction(tmp_path, row, what):
    image = TEXT.copy()
    image[3] = row
    with pytest.raises(ValueError, match=rf"the vector of green-1 in image\.npy {what}"):
        verify_index(write(tmp_path / "i", image=image))


def test_a_uid_that_comes_twice(tmp_path):
    with pytest.raises(ValueError, match="uid red-0 comes twice"):
        verify_index(write(tmp_path / "i", ASSETS[:1] * 2, TEXT[:2]))


def test_another_encoder(tmp_path):
    index = write(tmp_path / "index")
    with pytest.raises(ValueError, match="built with encoder colours, not greys"):
        verify_index(index, ColorEncoder("greys"))
    turned = write(tmp_path / "turned", text=TEXT[:, ::-1])
    with pytest.raises(ValueError, match="gives the caption of red-0 another vector"):
        verify_index(turned, ColorEncoder(), sample=6)
    longer = write(tmp_path / "longer", text=np.eye(6, 6))
    with pytest.raises(ValueError, match="vectors have 6 numbers, colours makes 3"):
        verify_index(longer, ColorEncoder(), sample=6)


def test_weights_that_changed_since(tmp_path):
    clip = save_random_clip(tmp_path / "clip", own_tokenizer=True)
    encoder = Encoder(str(clip), device="cpu")
    text = encoder.encode_texts([asset.caption for asset in ASSETS]).numpy()
    reference = {"name": encoder.name, "init_args": encoder.init_args}
    index = write_index(tmp_path / "index", ASSETS, text, None, reference)
    verify_index(index, sample=1)
    shutil.rmtree(clip)
    save_random_clip(clip, own_tokenizer=True, seed=1)
    with pytest.raises(ValueError, match="was built with encoder clip@"):
        verify_index(index)
