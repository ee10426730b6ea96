"""Indices and encoders of a stranger: nothing in them is executed, and memory stays bounded."""

import json
import os
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_encoders import ColorEncoder, save_random_clip

from redream.retrieval import EmbeddingIndex, Encoder
from redream.retrieval.table import SCHEMA
from redream.retrieval.writing import write_index
from redream.tools.retrieve import as_text, open_store
from redream.types import Asset


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def index(tmp_path):
    """The folder of a good index, to be spoiled."""
    assets = [Asset(name, f"a {name} box") for name in ("red", "green", "blue")]
    encoder = ColorEncoder()
    vectors = encoder.encode_texts([asset.caption for asset in assets]).numpy()
    store = {"class_path": "redream.assets.FolderStore", "init_args": {"path": str(tmp_path)}}
    reference = {"name": encoder.name, "init_args": encoder.init_args}
    write_index(tmp_path / "index", assets, vectors, vectors, reference, store)
    return tmp_path / "index"


def rewrite(index, name=None, **manifest):
    """Changes a manifest, so that it agrees with a file that was exchanged."""
    written = json.loads((index / "manifest.json").read_text())
    if name is not None:
        written["files"][name]["bytes"] = (index / name).stat().st_size
    (index / "manifest.json").write_text(json.dumps(written | manifest))


@pytest.mark.parametrize("name", ["text.npy", "image.npy"])
def test_arrays_of_objects_are_not_unpickled(name, index, tmp_path):
    objects = np.array([Touch(tmp_path / "sprung")] * 3, dtype=object)
    np.save(index / name, objects, allow_pickle=True)
    rewrite(index, name)
    with pytest.raises(ValueError, match="the index at .* is broken"):
        EmbeddingIndex.open(index)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("named", ["os.system", "trap_module.Trap", "subprocess.Popen"])
def test_a_store_is_chosen_among_the_installed_ones(named, index, tmp_path, monkeypatch):
    (tmp_path / "trap_module.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    rewrite(index, store={"class_path": named, "init_args": {"command": "true"}})
    with pytest.raises(ValueError, match="there is no"):
        open_store(EmbeddingIndex.open(index))
    assert "trap_module" not in sys.modules and not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "store", [3, {}, {"class_path": "FolderStore"}, {"class_path": "FolderStore", "init_args": {}}]
)
def test_a_reference_that_makes_no_store_is_named(store, index):
    rewrite(index, store=store)
    with pytest.raises(ValueError, match=f"the index at {index} is broken: "):
        open_store(EmbeddingIndex.open(index))


@pytest.mark.parametrize("rows", [1, 5_000_000])
def test_a_table_of_other_rows_is_not_read(rows, index):
    columns = [pa.nulls(rows, field.type) for field in SCHEMA]
    pq.write_table(pa.table(columns, schema=SCHEMA), index / "assets.parquet")
    rewrite(index, "assets.parquet")
    assert (index / "assets.parquet").stat().st_size < 100_000
    with pytest.raises(ValueError, match="do not have the 3 rows"):
        EmbeddingIndex.open(index)


def test_a_table_that_decompresses_to_gigabytes_is_not_read(index):
    long = pa.array(["a" * 200_000_000, "b", "c"])
    columns = [long, *(pa.nulls(3, field.type) for field in SCHEMA)][: len(SCHEMA)]
    table = pa.table(columns[: len(SCHEMA)], names=SCHEMA.names)
    pq.write_table(table, index / "assets.parquet", compression="zstd")
    rewrite(index, "assets.parquet")
    with pytest.raises(ValueError, match="claims 2000.* bytes for 3 assets"):
        EmbeddingIndex.open(index)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"count": Infinity}', "[]", "3", '{"format_version": 2, "count": "3"}']
)
def test_a_manifest_that_is_none_is_broken(text, index):
    (index / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match="the index at .* is broken"):
        EmbeddingIndex.open(index)


@pytest.mark.parametrize(
    "encoder",
    [
        {},
        {"name": "a"},
        {"name": 3, "init_args": {"model": "a", "pretrained": "b"}},
        {"name": "a", "init_args": {"model": ["a"]}},
        {"name": "a", "init_args": {"model": "a"}, "relative": ["weights"]},
        "a",
    ],
)
def test_an_index_that_names_no_encoder_is_broken(encoder, index):
    rewrite(index, encoder=encoder)
    with pytest.raises(ValueError, match="the index at .* is broken: manifest.json"):
        EmbeddingIndex.open(index)


def test_an_index_that_does_not_say_how_to_make_its_encoder_says_so(index):
    rewrite(index, encoder={"name": "a", "init_args": {}})
    with pytest.raises(ValueError, match="does not say how its encoder is made"):
        Encoder(**EmbeddingIndex.open(index).encoder)


def test_an_index_without_hashes_is_broken(index):
    written = json.loads((index / "manifest.json").read_text())
    del written["files"]["text.npy"]["sha256"]
    (index / "manifest.json").write_text(json.dumps(written))
    with pytest.raises(ValueError, match="is broken: manifest.json"):
        EmbeddingIndex.open(index)


@pytest.mark.parametrize(
    "head",
    [b"", b"\x93NUMPY\x01\x00\x76\x00{'descr': (", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535],
)
def test_an_array_whose_head_is_spoilt_is_broken(head, index):
    (index / "text.npy").write_bytes(head)
    rewrite(index, "text.npy")
    with pytest.raises(ValueError, match="the index at .* is broken") as caught:
        EmbeddingIndex.open(index)
    assert "\n" not in str(caught.value)


def test_a_caption_does_not_command_the_terminal():
    shown = as_text([Asset("a", "a\x1b]0;owned\x07dog\u202egod\r\n", scores={"text": 0.5})])
    assert shown.isprintable() and "dog" in shown


@pytest.mark.parametrize("asks", [True, False])
def test_an_encoder_runs_no_code_of_its_folder(asks, tmp_path, monkeypatch):
    """transformers runs a tokenizer's own module where the model's config asks for it."""
    folder = save_random_clip(tmp_path / "clip", own_tokenizer=True)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nclass Evil: pass\n")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    del config["tokenizer_class"]
    path.write_text(json.dumps(config))
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    if asks:
        config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"trust_remote_code": True}
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="cannot load the tokenizer"):
        Encoder(f"local-dir:{folder}", device="cpu").encode_texts(["a dog"])
    assert not (tmp_path / "sprung").exists()
