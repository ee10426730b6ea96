"""A pickle is read as data: nothing that it names is called."""

import os
import pickle

import numpy as np
import pytest
from toy_encoders import VectorEncoder

from redream.indexing.importing import Vectors, import_vectors
from redream.indexing.objathor import read_objathor

RNG = np.random.default_rng(0)
UIDS = ["a", "b", "c"]
IMAGE = (7.0 * RNG.normal(size=(3, 3, 8))).astype(np.float16)
TEXT = (3.0 * RNG.normal(size=(3, 8))).astype(np.float16)


def write(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
def test_features_are_read_alike_from_every_protocol(tmp_path, protocol, order):
    image = np.asarray(IMAGE, order=order)
    content = {"uids": UIDS, "img_features": image, "text_features": TEXT.astype(">f4")}
    uids, read, text = read_objathor(write(tmp_path / "f.pkl", content, protocol))
    assert uids == UIDS
    np.testing.assert_array_equal(read, IMAGE)
    np.testing.assert_array_equal(text, TEXT)


def test_uids_may_be_an_array(tmp_path):
    content = {"uids": np.array(UIDS), "img_features": IMAGE}
    assert read_objathor(write(tmp_path / "f.pkl", content))[0] == UIDS


def test_features_become_an_index(tmp_path):
    content = {"uids": UIDS, "img_features": IMAGE, "text_features": TEXT}
    uids, image, text = read_objathor(write(tmp_path / "f.pkl", content))
    index = import_vectors(Vectors(uids, text, image), VectorEncoder(8), tmp_path / "i")
    unit = IMAGE.astype(float) / np.linalg.norm(IMAGE.astype(float), axis=-1, keepdims=True)
    mean = unit.mean(1)
    mean /= np.linalg.norm(mean, axis=-1, keepdims=True)
    np.testing.assert_allclose(index.image, mean, atol=1e-3)


class Hostile:
    """Calls whatever it is told to when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_pickle_runs_nothing(tmp_path, protocol):
    mark = tmp_path / "mark"
    attacks = [
        Hostile(os.system, f"touch {mark}"),
        Hostile(eval, f"open({str(mark)!r}, 'w')"),
        Hostile(os.mkdir, str(mark)),
        Hostile(getattr, "x", "upper"),
        Hostile(np.load, "x.npy", None, True),
    ]
    for attack in attacks:
        for content in (attack, {"uids": UIDS, "img_features": IMAGE, "more": [attack]}):
            path = write(tmp_path / "f.pkl", content, protocol)
            with pytest.raises(ValueError, match="which may execute: refused"):
                read_objathor(path)
            assert not mark.exists()


def test_the_hostile_pickle_would_run_where_pickles_are_executed(tmp_path):
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(Hostile(os.mkdir, str(mark))))
    assert mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",  # INST, the oldest way to call
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x02\x82\x01.",  # a name registered by number
        b"Pid\n.",  # a reference to the outside
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(tb.",  # state for a class
        b"cnumpy.core.multiarray\n_reconstruct\n(N}S'array'\nNstb.",
        b"abc",
        b"",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    ],
)
def test_hand_made_programs_are_refused_in_one_line(tmp_path, content):
    (tmp_path / "f.pkl").write_bytes(content)
    with pytest.raises(ValueError) as error:
        read_objathor(tmp_path / "f.pkl")
    assert "\n" not in str(error.value)
    uids = read_objathor(write(tmp_path / "g.pkl", {"uids": UIDS, "img_features": IMAGE}))[0]
    assert uids == UIDS  # nothing of it stays behind


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([1], "no uids and img_features"),
        ({"uids": UIDS}, "no uids and img_features"),
        ({"uids": [1], "img_features": IMAGE}, "no list of texts"),
        ({"uids": UIDS, "img_features": [1]}, "no array"),
        ({"uids": UIDS, "img_features": np.array([{}])}, "numbers or texts are read"),
        ({"uids": UIDS, "img_features": IMAGE, "text_features": "x"}, "no array"),
    ],
)
def test_other_content_is_one_line(tmp_path, content, what):
    with pytest.raises(ValueError, match=what):
        read_objathor(write(tmp_path / "f.pkl", content))
