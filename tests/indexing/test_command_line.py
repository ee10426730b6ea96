"""``redream index``: in this process where that is enough, in real ones where it must be."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from comparing import same, shards
from toy_encoders import save_random_clip

from redream import cli
from redream.assets import FolderStore
from redream.indexing import IndexBuild
from redream.retrieval import EmbeddingIndex, Encoder


@pytest.fixture
def clip(tmp_path):
    return save_random_clip(tmp_path / "clip", own_tokenizer=True)


def command(boxes, clip, out, *more):
    options = ["--store", "FolderStore", "--store.path", str(boxes), "--out", str(out)]
    options += ["--encoder.model", str(clip), "--trainer.accelerator", "cpu"]
    return ["index", "build", *options, *more]


def fails(capsys, *arguments):
    assert cli.main([str(each) for each in arguments]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    lines = [line for line in said if not line.startswith(("redream: warning:", "embedded"))]
    assert len(lines) == 1 and lines[0].startswith("redream: error: ")
    return lines[0]


def test_build_info_verify_retrieve(boxes, clip, tmp_path, capsys):
    (boxes / "broken.glb").write_text("no asset at all")
    captions = tmp_path / "my.csv"
    captions.write_text("box00,a crimson box\nbox00,again\nno caption\n")
    out = tmp_path / "index"
    more = ["--captions", str(captions), "--views.num_views", "2", "--shard_size", "5"]
    assert cli.main(command(boxes, clip, out, *more)) == 0
    said = capsys.readouterr()
    assert said.out == f"12 assets in {out}; 1 left out, named in its manifest\n"
    assert "warning: left broken out of the index: " in said.err
    assert "embedded 13/13 assets  ETA 0:00:00" in said.err
    assert "Traceback" not in said.err and ".py" not in said.err
    assert list(tmp_path.glob(".index*")) == []
    index = EmbeddingIndex.open(out)
    assert index.asset(0).caption == "a crimson box" and index.manifest["num_views"] == 2
    assert cli.main(["index", "info", str(out)]) == 0
    assert json.loads(capsys.readouterr().out) == index.manifest
    assert cli.main(["index", "verify", str(out), "--sample", "3"]) == 0
    assert "is whole: 12 assets, texts and pictures, of clip@" in capsys.readouterr().out
    other = ["--encoder", "ViT-B-32", "--pretrained", "laion2b_s34b_b79k"]
    assert "not ViT-B-32/laion2b_s34b_b79k" in fails(capsys, "index", "verify", out, *other)
    sheet = str(tmp_path / "sheet.png")
    assert cli.main(["retrieve", "a box", "--index", str(out), "-k", "2", "--out", sheet]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    question = ["retrieve", "a box", "--index", out, "--max-faces", "12", "--no-animated"]
    assert "has 0 that pass the filters (licence by, at most 12 faces, not animated)" in fails(
        capsys, *question, "--licenses", "by", "--out", sheet
    )


def test_an_index_of_texts_embeds_what_is_found(boxes, clip, tmp_path, capsys):
    out = tmp_path / "index"
    assert cli.main(command(boxes, clip, out, "--pictures", "none")) == 0
    sheet = str(tmp_path / "sheet.png")
    question = ["retrieve", "a box", "--index", str(out), "-k", "2", "--json", "--out", sheet]
    assert cli.main(question) == 0
    assert len(list((out / "images").iterdir())) == 12  # N' is more
    full = tmp_path / "full"
    assert cli.main(command(boxes, clip, full)) == 0
    capsys.readouterr()
    assert cli.main(question) == 0
    lazy = json.loads(capsys.readouterr().out)
    assert cli.main([str(full) if each == str(out) else each for each in question]) == 0
    assert lazy == json.loads(capsys.readouterr().out)


def test_captions_alone_and_a_config_file(clip, tmp_path, capsys):
    (tmp_path / "captions.csv").write_text("a,a dog\nb,a cat\n")
    config = {
        "captions": str(tmp_path / "captions.csv"),
        "pictures": "none",
        "encoder": {"model": str(clip)},
        "out": str(tmp_path / "index"),
    }
    (tmp_path / "build.yaml").write_text(json.dumps(config))
    assert cli.main(["index", "build", "--config", str(tmp_path / "build.yaml")]) == 0
    index = EmbeddingIndex.open(tmp_path / "index")
    assert [index.asset(row).caption for row in range(2)] == ["a dog", "a cat"]
    assert index.store is None
    answer = fails(capsys, "retrieve", "a dog", "--index", tmp_path / "index", "-k", 1)
    assert "no store to make them from" in answer


def test_imports(tmp_path, capsys):
    rng = np.random.default_rng(0)
    features = {"uids": ["a", "b"], "img_features": rng.normal(size=(2, 3, 768)).astype("f2")}
    (tmp_path / "clip_features.pkl").write_bytes(pickle.dumps(features))
    np.save(tmp_path / "text.npy", rng.normal(size=(2, 768)))
    (tmp_path / "uids.txt").write_text("a\nb\n")
    features["text_features"] = rng.normal(size=(2, 768)).astype("f2")
    (tmp_path / "clip_features.pkl").write_bytes(pickle.dumps(features))
    (tmp_path / "captions.csv").write_text("a,a dog\n")
    out = tmp_path / "objathor"
    objathor = ["--objathor", tmp_path / "clip_features.pkl"]
    objathor += ["--captions", tmp_path / "captions.csv", "--out", out]
    assert cli.main([str(each) for each in ["index", "import", *objathor]]) == 0
    index = EmbeddingIndex.open(out)
    assert index.encoder_name == "ViT-L-14/laion2b_s32b_b82k"
    assert index.asset(0).caption == "a dog" and index.image.shape == (2, 768)
    arrays = ["index", "import", "--uids", tmp_path / "uids.txt", "--text", tmp_path / "text.npy"]
    arrays += ["--out", tmp_path / "arrays"]
    assert "name the --encoder.model that made" in fails(capsys, *arrays)
    arrays += ["--encoder.model", "ViT-B-32", "--encoder.pretrained", "x"]
    assert cli.main([str(each) for each in arrays]) == 0
    assert "give one of --objathor" in fails(capsys, *arrays, *objathor[:2])


def test_bad_input_is_one_line_and_leaves_nothing(boxes, clip, tmp_path, capsys):
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "manifest.json").write_bytes(b"abc")
    before = sorted(tmp_path.rglob("*"))
    build = command(boxes, clip, out)
    for arguments, what in (
        (command(tmp_path / "absent", clip, out), "there is no asset folder at"),
        (command(tmp_path / "empty", clip, out), "has no 3D file"),
        (command(boxes, clip, boxes), "is no index: name another folder"),
        (command(boxes, clip, tmp_path / "file" / "x"), "is not a folder"),
        (command(boxes, tmp_path / "absent", out), "needs weights"),
        ([*build, "--captions", "absent.csv"], "there is no captions file at"),
        ([*build, "--pictures", str(tmp_path / "absent")], "no zips of renders"),
        ([*build, "--views.num_views", "0"], "num_views is 0"),
        ([*build, "--shard_size", "-1"], "shard_size is -1"),
        ([*build, "--store", "FolderStor"], "did you mean FolderStore"),
        ([*build, "--store", "os.system"], "may not be named in a config"),
        (["index", "build", "--out", str(out)], "name a --store"),
        (["index", "build"], "out missing; see `redream index build --help`"),
        ([*build, "--encoder.modle", "x"], "unknown key 'encoder.modle'; did you mean"),
        (["index", "import", "--out", str(out)], "name the --encoder.model"),
        (["index", "verify", str(tmp_path / "tiny")], "is broken: manifest.json cannot be read"),
    ):
        assert what in fails(capsys, *arguments)
        assert sorted(tmp_path.rglob("*")) == before


def test_a_second_build_at_once_is_refused_and_the_first_is_whole(boxes, clip, tmp_path, capsys):
    out = tmp_path / "index"
    store = FolderStore(boxes)
    first = IndexBuild(store.assets(), Encoder(str(clip)), out, None, store.reference(), 4)
    batches = iter(first.batches())
    first.keep(first.embed(next(batches)))
    texts = command(boxes, clip, out, "--pictures", "none", "--shard_size", "4")
    assert f"another build of {out} is at work: wait for it" in fails(capsys, *texts)
    for batch in batches:
        first.keep(first.embed(batch))
    assert len(first.assemble()) == 12
    assert cli.main(texts) == 0
    assert capsys.readouterr().out == f"12 assets in {out}\n"
    assert list(tmp_path.glob(".index*")) == []


def test_filters_are_a_few_words_of_yaml(boxes, clip, tmp_path):
    from jsonargparse import ArgumentParser

    from redream.retrieval import AssetFilter, Retriever

    out = tmp_path / "index"
    assert cli.main(command(boxes, clip, out, "--pictures", "none")) == 0
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Retriever, "retriever")
    filters = {"licenses": ["cc0", "by"], "max_faces": 50000}
    config = {"class_path": "redream.retrieval.ExactRetriever", "init_args": {"index": str(out)}}
    config["init_args"]["filters"] = filters
    made = parser.instantiate(parser.parse_object({"retriever": config}))
    assert made.retriever.filters == AssetFilter(["cc0", "by"], max_faces=50000)
    with pytest.raises(ValueError, match="has 0 that pass the filters"):
        made.retriever.retrieve("a box", 1)


@pytest.mark.slow
def test_a_killed_command_goes_on_in_two_processes(boxes, clip, tmp_path):
    redream = [sys.executable, "-m", "redream"]
    many = ["--views.num_views", "48", "--shard_size", "1"]
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run([*redream, *command(boxes, clip, one, *many)], check=True)
    build = [*redream, *command(boxes, clip, two, *many)]
    with subprocess.Popen(build, start_new_session=True) as process:
        while not shards(two) and process.poll() is None:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
    finished = shards(two)
    assert process.returncode == -signal.SIGKILL and 0 < len(finished) < 12 and not two.exists()
    pair = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    subprocess.run([*build, *pair], check=True, timeout=300)
    same(EmbeddingIndex.open(two), EmbeddingIndex.open(one))
    for path in list(boxes.glob("*.glb"))[1:]:  # one asset, two processes
        path.unlink()
    single = [*redream, *command(boxes, clip, tmp_path / "single", *pair)]
    subprocess.run(single, check=True, timeout=300)
    assert len(EmbeddingIndex.open(tmp_path / "single")) == 1


def test_a_curated_list_says_what_is_indexed(boxes, clip, tmp_path, capsys):
    chosen, out = tmp_path / "chosen.csv", tmp_path / "few"
    chosen.write_text("sha256,file_identifier\nab,glbs/box03.glb\ncd,box00\nef,elsewhere\n")
    assert cli.main(command(boxes, clip, out, "--pictures=none", f"--only={chosen}")) == 0
    said = capsys.readouterr().out
    assert f"1 of 12 assets are among the 3 of {chosen}" in said
    chosen.write_text('["box03", "box00"]')
    chosen = chosen.rename(tmp_path / "chosen.json")
    assert cli.main(command(boxes, clip, out, "--pictures=none", f"--only={chosen}")) == 0
    index = EmbeddingIndex.open(out)
    assert [index.asset(row).uid for row in range(len(index))] == ["box00", "box03"]
    chosen.write_text('["elsewhere"]')
    assert "none of the 1 uids of" in fails(
        capsys, *command(boxes, clip, out, "--pictures=none", f"--only={chosen}")
    )
    assert len(EmbeddingIndex.open(out)) == 2
