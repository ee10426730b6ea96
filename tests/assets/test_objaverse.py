import gzip
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import replace

import objaverse as package
import pytest
import torch
from fabricated import make_box
from killing import killed
from loopback import UIDS, make_dataset, serve, write_json

from redream.assets import FolderStore, ObjaverseStore, write_glb
from redream.plugins import find_class
from redream.types import Asset

PATHS, SHARDS = "/object-paths.json.gz", [f"/metadata/000-00{i}.json.gz" for i in range(2)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    make_dataset(folder)
    return folder


@pytest.fixture
def server(dataset):
    with serve(dataset) as server:
        yield server


@pytest.fixture
def captions(tmp_path):
    """Cap3D's form: three of the assets, and one of Objaverse-XL."""
    path = tmp_path / "captions.csv"
    rows = [f"{UIDS[2]},a red box", f'{UIDS[0]},"a box, open"', f"{'e' * 64},not ours"]
    path.write_text("\n".join([*rows, f"{UIDS[1]},a crate"]) + "\n")
    return path


def store(server, tmp_path, **arguments):
    fast = {"num_tries": 3, "timeout_s": 0.5, "backoff_s": 0.0}
    url = server if isinstance(server, str) else server.url
    return ObjaverseStore(tmp_path / "cache", base_url=url, **{**fast, **arguments})


def test_captions_and_paths_suffice_for_a_list(server, tmp_path, captions):
    assets = store(server, tmp_path, captions=captions).assets()
    assert [a.uid for a in assets] == UIDS[:3]  # the dataset's order
    assert [a.caption for a in assets] == ["a box, open", "a crate", "a red box"]
    assert {(a.license, a.author, a.source[:10]) for a in assets} == {
        ("unknown", "unknown", "objaverse:")
    }
    assert dict(server.asked) == {PATHS: 1}


def test_loading_downloads_one_file_once(server, tmp_path, captions):
    opened = store(server, tmp_path, captions=captions)
    mesh = opened.load(UIDS[3])
    assert len(mesh.faces) == 12
    assert mesh.vertices.norm(dim=-1).max() == pytest.approx(0.9, abs=1e-5)
    opened.load(UIDS[3])
    store(server, tmp_path).load(UIDS[3])
    assert dict(server.asked) == {PATHS: 1, f"/glbs/000-001/{UIDS[3]}.glb": 1}


def test_a_record_is_completed_from_one_shard_when_it_is_used(server, tmp_path, captions):
    opened = store(server, tmp_path, captions=captions)
    found = opened.complete(opened.assets()[1])
    assert (found.license, found.author, found.source) == ("cc0", "Ann", f"sketchfab/{UIDS[1]}")
    assert (found.categories, found.num_faces, found.num_animations) == (("furniture-home",), 12, 1)
    assert found.caption == "a crate"
    known = replace(found, license="unknown", categories=("a",), num_faces=0, scores={"text": 0.5})
    assert opened.complete(known) == replace(known, license="cc0")
    assert [server.asked[shard] for shard in SHARDS] == [0, 1]
    at_hand = {a.uid: a.license for a in store(server, tmp_path, captions=captions).assets()}
    assert at_hand == {UIDS[0]: "unknown", UIDS[1]: "cc0", UIDS[2]: "unknown"}


def test_annotations_of_all_on_request_with_lvis(server, tmp_path, captions):
    opened = store(server, tmp_path, captions=captions, annotations="download", lvis=True)
    assets = opened.assets()
    assert [a.license for a in assets] == ["by", "cc0", "by-nc"]
    assert [a.categories[1:] for a in assets] == [("crate",), ("crate", "carton"), ()]
    assert opened.complete(assets[0]) == assets[0]


def test_without_captions_assets_are_called_by_their_names(server, tmp_path):
    assets = store(server, tmp_path).assets()
    assert [(a.uid, a.caption) for a in assets] == [(u, f"box {i}") for i, u in enumerate(UIDS)]
    one = store(server, tmp_path / "other", uids=[UIDS[3]])
    assert [a.caption for a in one.assets()] == ["box 3"]
    assert [server.asked[shard] for shard in SHARDS] == [1, 2]


def test_uids_restrict_in_their_order_and_name_who_has_no_caption(server, tmp_path, captions):
    opened = store(server, tmp_path, captions=captions, uids=[UIDS[3], UIDS[0], UIDS[3]])
    with pytest.warns(UserWarning, match=f"no caption for 1 of 2 assets, .*names: {UIDS[3]}$"):
        assets = opened.assets()
    assert [(a.uid, a.caption) for a in assets] == [(UIDS[3], "box 3"), (UIDS[0], "a box, open")]


def test_unknown_uids_are_named(server, tmp_path, captions):
    absent = "f" * 32
    with pytest.raises(ValueError, match=absent):
        store(server, tmp_path).load(absent)
    with pytest.raises(ValueError, match=f"no 1 of uids: {absent}"):
        store(server, tmp_path, uids=[UIDS[0], absent]).assets()
    with captions.open("a") as file:
        file.write(f"{absent},gone\n{UIDS[0]},again\n,nobody\n")
    with pytest.warns(UserWarning) as warned:
        assert len(store(server, tmp_path, captions=captions).assets()) == 3
    told = " ".join(str(w.message) for w in warned)
    assert f"captions.csv:5: there is no asset {absent}; ignored" in told
    assert f"captions.csv:6: {UIDS[0]} again; ignored" in told
    assert "captions.csv:7: not uid,caption; ignored" in told
    assert len(warned) == 3


def test_a_warm_cache_needs_no_network(server, tmp_path, captions):
    warm = store(server, tmp_path, captions=captions, annotations="download")
    listed, mesh = warm.assets(), warm.load(UIDS[0])
    away = store("http://127.0.0.1:9", tmp_path, captions=captions, annotations="download")
    assert away.assets() == listed
    assert torch.equal(away.load(UIDS[0]).vertices, mesh.vertices)


def test_a_cold_cache_says_what_is_missing_and_what_to_do(server, tmp_path, captions):
    away = store("http://127.0.0.1:9", tmp_path, captions=captions)
    with pytest.raises(OSError, match=r"object-paths.json.gz is not in the cache.*go online once"):
        away.load(UIDS[0])
    store(server, tmp_path, captions=captions).assets()
    with pytest.raises(OSError, match=rf"{UIDS[0]}.glb is not in the cache.*refused") as error:
        away.load(UIDS[0])
    assert "\n" not in str(error.value)
    listed = replace(away.assets()[0], categories=("crates",), scores={"text": 0.5})
    with pytest.warns(UserWarning, match=f"no annotation of {UIDS[0]}"):
        assert away.complete(listed) == listed
    with pytest.raises(OSError, match="HF_HUB_OFFLINE forbids"):  # set for all tests
        ObjaverseStore(tmp_path / "cold").load(UIDS[0])
    assert not (tmp_path / "cold").exists()


def test_offline_the_glb_itself_says_whose_it_is(tmp_path):
    folder = tmp_path / "cache" / "hf-objaverse-v1"
    write_json(folder / "object-paths.json.gz", {UIDS[0]: f"glbs/000-000/{UIDS[0]}.glb"})
    extras = {"author": "Bob", "license": "CC-BY-4.0 (http://...)", "source": "his page"}
    write_glb(folder / "glbs" / "000-000" / f"{UIDS[0]}.glb", make_box({}), extras)
    with pytest.warns(UserWarning, match="no annotation"):
        found = store("http://127.0.0.1:9", tmp_path).complete(Asset(UIDS[0], "a box"))
    assert (found.license, found.author, found.source) == ("by", "Bob", "his page")
    assert found.num_faces == 12


@pytest.mark.parametrize("damage", ["cut", "emptied", "text", "list"])
def test_broken_files_in_the_cache_are_fetched_again(server, tmp_path, damage):
    store(server, tmp_path).assets()
    store(server, tmp_path).load(UIDS[0])
    files = sorted(path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert len(files) == 4
    for path in files:
        data = path.read_bytes()
        made = {"cut": data[: len(data) // 2], "emptied": b"", "text": b"version https://git-lfs"}
        path.write_bytes(made.get(damage, gzip.compress(b"[]")))
    away = store("http://127.0.0.1:9", tmp_path)
    with pytest.raises(OSError, match="object-paths.json.gz is broken, and cannot download"):
        away.assets()
    again = store(server, tmp_path)
    assert len(again.assets()) == 4
    assert len(again.load(UIDS[0]).faces) == 12
    assert set(server.asked.values()) == {2}


def test_faults_on_the_way_to_every_file_are_survived(server, tmp_path):
    for path in (PATHS, *SHARDS):
        server.faults[path] = [503, "truncate"]
    server.faults[f"/glbs/000-000/{UIDS[0]}.glb"] = ["shorten", "page"]
    opened = store(server, tmp_path)
    assert len(opened.assets()) == 4
    assert len(opened.load(UIDS[0]).faces) == 12
    assert set(server.asked.values()) == {3}


def test_an_asset_that_the_server_lacks_is_named(server, tmp_path):
    server.faults["*"] = []
    server.faults[f"/glbs/000-000/{UIDS[0]}.glb"] = [404]
    opened = store(server, tmp_path)
    with pytest.raises(OSError, match=rf"{UIDS[0]}\.glb does not exist \(HTTP 404"):
        opened.load(UIDS[0])
    assert len(opened.load(UIDS[1]).faces) == 12


def test_the_index_cannot_lead_out_of_the_cache(tmp_path):
    folder = tmp_path / "cache" / "hf-objaverse-v1"
    for path in (f"../../{UIDS[0]}.glb", f"glbs/../000-000/{UIDS[0]}.glb", "/etc/passwd", 3):
        write_json(folder / "object-paths.json.gz", {UIDS[0]: path})
        with pytest.raises(ValueError, match="remove that file"):
            store("http://127.0.0.1:9", tmp_path).load(UIDS[0])


def test_arguments_are_checked(tmp_path, dataset):
    with pytest.raises(ValueError, match="base_url must begin with http"):
        ObjaverseStore(tmp_path, base_url="file:///etc")
    with pytest.raises(ValueError, match=f"above hf-objaverse-v1: give {dataset.parent}"):
        ObjaverseStore(dataset)
    with pytest.raises(ValueError, match="names no asset"):
        ObjaverseStore(tmp_path, uids=[])
    with pytest.raises(ValueError, match="cached or download"):
        ObjaverseStore(tmp_path, annotations="maybe")
    with pytest.raises(FileNotFoundError, match=r"absent\.csv"):
        write_json(tmp_path / "hf-objaverse-v1" / "object-paths.json.gz", {})
        ObjaverseStore(tmp_path, captions="absent.csv").assets()


def test_the_way_back_makes_an_equal_store(server, tmp_path, captions):
    opened = store(server, tmp_path, captions=captions, uids=UIDS[:2], annotations="download")
    reference = json.loads(json.dumps(opened.reference()))
    found = find_class("redream.stores", reference["class_path"].rpartition(".")[2])
    assert found(**reference["init_args"]).assets() == opened.assets()
    home = ObjaverseStore().reference()["init_args"]
    assert not {"cache_dir", "captions", "base_url", "uids"} & set(home)  # of whose home it is


def test_addresses_and_places_are_the_packages_own(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(package, "_VERSIONED_PATH", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(urllib.request, "urlretrieve", lambda *pair: asked.append(pair))
        with pytest.raises(FileNotFoundError):
            package.load_lvis_annotations()
    monkeypatch.undo()
    cache = ObjaverseStore().cache
    assert asked == [
        (cache.url("lvis-annotations.json.gz"), f"{tmp_path}/lvis-annotations.json.gz")
    ]
    assert str(cache.folder) == os.path.realpath(package._VERSIONED_PATH)
    pinned = ObjaverseStore(revision="abc").cache.url("object-paths.json.gz")
    assert pinned == cache.url("object-paths.json.gz").replace("/main/", "/abc/")


WORK = """
import sys, torch
torch.set_num_threads(1)
from redream.assets import ObjaverseStore
url, cache, captions, *uids = sys.argv[1:]
store = ObjaverseStore(cache, captions=captions, base_url=url, num_tries=20, backoff_s=0.01)
print(sum(len(store.load(uid).faces) for uid in uids))
"""


def test_processes_share_a_cache_of_real_assets_over_a_bad_line(objaverse, tmp_path):
    real = FolderStore(objaverse, objaverse / "captions.csv")
    uids = [asset.uid for asset in real.assets()[::70]]
    cache, captions = tmp_path / "cache", objaverse / "captions.csv"
    with serve(objaverse / "hf-objaverse-v1") as server:
        server.faults["*"] = [503, "truncate", "drop", None, "shorten"] * 3
        command = [sys.executable, "-c", WORK, server.url, str(cache), str(captions), *uids]
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        counted = [int(worker.communicate(timeout=120)[0]) for worker in workers]
        assert not server.faults["*"]
    assert counted == [sum(len(real.load(uid).faces) for uid in uids)] * 2
    files = {path.name for path in cache.rglob("*") if path.is_file()}
    assert files == {"object-paths.json.gz", *(f"{uid}.glb" for uid in uids)}
    for uid in uids:
        assert next(cache.rglob(f"{uid}.glb")).read_bytes() == real.file(uid).read_bytes()


def test_the_package_reads_our_cache_and_we_read_its(objaverse, tmp_path, monkeypatch):
    opened = ObjaverseStore(objaverse, annotations="download", base_url="http://127.0.0.1:9")
    assets = opened.assets()
    assert len(assets) == 549
    assert all(a.license == "cc0" and a.author == "KayKit" and a.source for a in assets)
    assert all(a.num_faces and a.num_animations is not None and a.categories for a in assets)
    shutil.copytree(objaverse / "hf-objaverse-v1" / "metadata", tmp_path / "metadata")
    monkeypatch.setattr(package, "_VERSIONED_PATH", str(tmp_path))
    with serve(objaverse / "hf-objaverse-v1") as server:
        monkeypatch.setattr(package, "BASE_PATH", str(tmp_path.parent))
        ours = ObjaverseStore(base_url=server.url, uids=[assets[0].uid])
        ours.load(assets[0].uid)
    found = package.load_objects([assets[0].uid])
    assert found == {assets[0].uid: str(ours.cache.glb(assets[0].uid))}
    assert (
        ours.assets()[0].license
        == package.load_annotations([assets[0].uid])[assets[0].uid]["license"]
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the work is forked")
def test_a_kill_in_a_download_leaves_nothing_that_is_read(server, tmp_path):
    opened = store(server, tmp_path)
    opened.cache.paths()
    killed(lambda: opened.load(UIDS[3]), "replace", os)
    folder = opened.cache.folder / "glbs" / "000-001"
    assert all(each.name.startswith(".") for each in folder.iterdir())
    assert len(opened.load(UIDS[3]).faces) == 12
    assert (folder / f"{UIDS[3]}.glb").is_file()


def test_a_cache_that_is_deleted_while_it_is_open_is_filled_again(server, tmp_path):
    opened = store(server, tmp_path)
    opened.load(UIDS[3])
    shutil.rmtree(tmp_path / "cache")
    assert len(opened.load(UIDS[3]).faces) == 12
    shutil.rmtree(tmp_path / "cache")
    server.faults[f"/glbs/000-001/{UIDS[3]}.glb"] = [503] * 3
    with pytest.raises(ConnectionError, match="is not in the cache, and cannot download") as error:
        opened.load(UIDS[3])
    assert "\n" not in str(error.value)
