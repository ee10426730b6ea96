import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from toy_encoders import ColorEncoder

from redream.indexing import IndexBuild
from redream.indexing.cap3d import Cap3DPictures
from redream.types import Asset


def png(array):
    file = io.BytesIO()
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def render(color, alpha=255, size=8):
    """A square of one colour on a transparent ground."""
    array = np.zeros((size, size, 4))
    array[2:6, 2:6] = [*color, alpha]
    return png(array)


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def renders(tmp_path):
    """Two of Cap3D's zips: three assets of which one is blank, and one whose zip is broken."""
    matte = png(np.full((8, 8), 255))
    opaque = png(np.full((8, 8, 3), 7))
    red = {
        "00000.png": render((255, 0, 0)),
        "00000_MatAlpha.png": matte,
        "00000_depth.png": opaque,
        "00000.json": b"{}",
        "00001.png": render((255, 0, 0), alpha=0),
        "00002.png": opaque,
        "00002_MatAlpha.png": png(np.zeros((8, 8))),
    }
    inner = "Cap3D_Objaverse_renderimgs"
    first = {
        f"{inner}/red.zip": zipped(red),
        f"{inner}/blank.zip": zipped({"00000.png": render((1, 2, 3), alpha=0)}),
        f"{inner}/cut.zip": zipped(red)[:100],
    }
    second = {f"{inner}/blue.zip": zipped({"blue/00000.png": render((0, 0, 255))})}
    for number, content in enumerate((first, second)):
        (tmp_path / "zips").mkdir(exist_ok=True)
        path = tmp_path / "zips" / f"compressed_imgs_perobj_0{number}.zip"
        path.write_bytes(zipped(content))
    return tmp_path / "zips"


def test_renders_are_composited_and_blank_ones_skipped(renders):
    pictures = Cap3DPictures(renders).pictures("red")
    assert pictures.shape == (1, 3, 8, 8)
    torch.testing.assert_close(pictures[0, :, 3, 3], torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(pictures[0, :, 0, 0], torch.ones(3))
    assert Cap3DPictures(renders, background=0.0).pictures("blue")[0, :, 0, 0].max() == 0.0


def test_an_index_of_captions_and_renders_alone(renders, tmp_path):
    uids = ("red", "blank", "blue", "cut", "absent")
    assets = [Asset(uid, f"a {uid} box") for uid in uids]
    pictures = Cap3DPictures(renders, background=0.0)
    build = IndexBuild(assets, ColorEncoder(), tmp_path / "i", pictures)
    with pytest.warns(UserWarning, match="left"):
        for batch in build.batches():
            build.keep(build.embed(batch))
        index = build.assemble()
    assert [index.asset(row).uid for row in range(len(index))] == ["red", "blue"]
    np.testing.assert_allclose(index.image, index.text, atol=0.08)
    left_out = index.manifest["left_out"]
    assert left_out["blank"] == "nothing of it can be seen"
    assert "cannot be read" in left_out["cut"] and "has no renders of it" in left_out["absent"]
    assert index.store is None and index.manifest["pictures"]["made"] == "renders of Cap3D"


def test_assets_without_renders_are_counted_in_one_line(renders):
    pictures = Cap3DPictures(renders)
    assets = [Asset(uid, "") for uid in ("x", "red", "y", "blue")]
    with pytest.warns(UserWarning, match="has no renders of 2 assets; left out"):
        assert [asset.uid for asset in pictures.shown(assets)] == ["red", "blue"]
    with pytest.raises(ValueError, match="renders of none of the 1 assets"):
        pictures.shown(assets[:1])


def test_a_zip_that_claims_to_be_huge_is_not_read(renders, monkeypatch):
    monkeypatch.setattr("redream.indexing.cap3d._LARGEST", 10)
    with pytest.raises(ValueError, match="cannot be read"):
        Cap3DPictures(renders).pictures("blue")


def test_missing_and_broken_zips_are_one_line(renders, tmp_path):
    with pytest.raises(FileNotFoundError, match="no zips of renders"):
        Cap3DPictures(tmp_path / "absent")
    (renders / "third.zip").write_bytes(b"abc")
    with pytest.raises(ValueError, match=r"third\.zip .* download it again"):
        Cap3DPictures(renders)
