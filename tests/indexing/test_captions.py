import pytest

from redream.assets.captions import read_captions
from redream.indexing.captions import with_captions
from redream.types import Asset


def write(tmp_path, text):
    (tmp_path / "captions.csv").write_text(text)
    return tmp_path / "captions.csv"


def test_captions_may_have_commas(tmp_path):
    text = 'a,a dog, striped\nb,"a ""fine"", old vase"\n\n'
    expected = {"a": "a dog, striped", "b": 'a "fine", old vase'}
    assert read_captions(write(tmp_path, text)) == expected


def test_what_is_wrong_is_named_by_its_line(tmp_path):
    path = write(tmp_path, "a,one\na,two\nb,three\nb,four\nc\n,five\n")
    with pytest.warns(UserWarning) as said:
        assert read_captions(path) == {"a": "one", "b": "three"}
    faults = ["2: a again", "4: b again", "5: not uid,caption", "6: not uid,caption"]
    assert [str(each.message) for each in said] == [f"{path}:{fault}; ignored" for fault in faults]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "has no captions"),
        (b"\xff\xfe\x00", "is not a CSV"),
        (b"a" * 200_000 + b",b", "is not a CSV"),
    ],
)
def test_what_is_no_caption_file(tmp_path, content, what):
    (tmp_path / "c.csv").write_bytes(content)
    with pytest.raises(ValueError, match=what):
        read_captions(tmp_path / "c.csv")
    with pytest.raises(FileNotFoundError, match="no captions file at"):
        read_captions(tmp_path / "absent.csv")


SWALLOWING = {
    "never closed": 'uid0,a cat\nuid1,"a dog\nuid2,a cow\nuid3,a pig\n',
    "closed by a later row's": 'uid0,a cat\nuid1,"a dog\nuid2,a cow\nuid3,"a pig, pink"\n',
    "closed by an inch": 'uid0,a cat\nuid1,"a dog\nuid2,a 5" disk\nuid3,a pig\n',
    "closed by two inches": 'uid0,a cat\nuid1,"a dog\nuid2,a "cow\nuid3,a 5"" "disk\n',
}


@pytest.mark.parametrize("known", [None, {"uid1", "uid2", "uid3"}])
@pytest.mark.parametrize("kind", SWALLOWING)
def test_a_quote_that_swallows_rows_is_named_by_its_line(tmp_path, kind, known):
    path = write(tmp_path, SWALLOWING[kind])
    with pytest.raises(ValueError, match=":2: a quote opens here .* close it") as error:
        read_captions(path, known)
    assert "\n" not in str(error.value)


def test_a_caption_of_several_lines_between_quotes_is_one(tmp_path):
    text = 'uid1,"a dog,\nstriped, and ""old"",\nin all"\nuid2,a 5" disk\n'
    expected = {"uid1": 'a dog,\nstriped, and "old",\nin all', "uid2": 'a 5" disk'}
    assert read_captions(write(tmp_path, text)) == expected
    assert read_captions(write(tmp_path, text), {"uid1", "uid2"}) == expected


def test_an_asset_without_a_caption_keeps_the_stores(tmp_path):
    assets = [Asset(uid, "old") for uid in "abcdef"]
    with pytest.warns(UserWarning, match="no caption for b, c, d and 2 more; the store's is used"):
        captioned = with_captions(assets, {"a": "new", "z": "of another"})
    assert [asset.caption for asset in captioned] == ["new", *["old"] * 5]
    with pytest.raises(ValueError, match="none of the captions is of an asset: they are of z, and"):
        with_captions(assets, {"z": "of another"})
