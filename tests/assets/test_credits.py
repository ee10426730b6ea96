"""Authors and licences: on the nodes, read back from there, never called yours, never fewer."""

import json

import pytest
from fabricated import make_box, stack

from redream.assets import write_glb
from redream.assets.annotations import file_facts
from redream.assets.attribution import attribution, model_extras, short_license
from redream.assets.credits import node_extras, stated_extras
from redream.assets.gltf import read_header
from redream.assets.own import OwnFiles
from redream.types import Asset

ASSETS = [
    Asset("a1", "an elephant", license="by", author="Anna", source="https://a.example/1"),
    Asset("a2", "a dog", license="by-nc", author="Zoë", source="https://a.example/2"),
    Asset("a3", "a box", license="unknown", author="Anna"),
]
EXTRAS = model_extras("a golden elephant", ASSETS)
JOINED = {
    "author": "Anna; Zoë",
    "license": "by + by-nc + unknown",
    "source": "https://a.example/1; https://a.example/2",
}


@pytest.fixture
def glb(tmp_path):
    write_glb(tmp_path / "a.glb", make_box({}), EXTRAS)
    return tmp_path / "a.glb"


def without_asset_extras(header):
    """As an editor leaves a file."""
    return {**header, "asset": {"version": "2.0", "generator": "an editor"}}


def test_every_node_says_whose_it_is_in_texts(tmp_path):
    both = stack(make_box({}), make_box({}))
    both = both._replace(nodes=("left", "right"), face_nodes=both.face_materials)
    write_glb(tmp_path / "a.glb", both, EXTRAS)
    nodes = read_header(tmp_path / "a.glb")["nodes"]
    assert len(nodes) == 2
    for node in nodes:
        assert node["extras"] == {
            **JOINED,
            "title": "a golden elephant",
            "generator": "ReDream",
            "attribution": "an elephant by Anna, licence by, https://a.example/1; "
            "a dog by Zoë, licence by-nc, https://a.example/2; a box by Anna, licence unknown",
        }


def test_without_extras_nodes_say_nothing(tmp_path):
    write_glb(tmp_path / "a.glb", make_box({}))
    assert "extras" not in read_header(tmp_path / "a.glb")["nodes"][0]


def test_nodes_speak_where_the_file_does_not(glb):
    header = read_header(glb)
    for each in (header, without_asset_extras(header)):
        assert {key: stated_extras(each)[key] for key in JOINED} == JOINED
        assert attribution(stated_extras(each)) == JOINED


def test_what_the_file_says_goes_before_its_nodes():
    header = {"asset": {"extras": {"author": "Bob"}}, "nodes": [{"extras": {"author": "Ann"}}]}
    assert stated_extras(header)["author"] == "Bob"


def test_a_scene_of_several_objects_is_of_all_who_made_them():
    extras = [node_extras(EXTRAS), {"author": "Carl", "license": "cc0"}, {"source": "a scan"}, {}]
    header = {"nodes": [{"extras": each} for each in extras], "meshes": [{"extras": "no object"}]}
    assert stated_extras(header) == {
        "author": "Anna; Zoë; Carl",
        "license": "by + by-nc + unknown + cc0",
        "source": JOINED["source"],
    }


def test_an_own_file_that_names_its_authors_is_not_yours(glb, tmp_path):
    (record,) = OwnFiles([glb], ["an elephant"]).assets()
    assert (record.author, record.license) == (JOINED["author"], JOINED["license"])
    unknown = model_extras("x", [Asset("a", "a", license="unknown", author="unknown")])
    write_glb(tmp_path / "b.glb", make_box({}), unknown)
    (record,) = OwnFiles([tmp_path / "b.glb"], ["x"]).assets()
    assert (record.author, record.license) == ("unknown", "unknown")
    write_glb(tmp_path / "c.glb", make_box({}))
    (record,) = OwnFiles([tmp_path / "c.glb"], ["x"]).assets()
    assert (record.author, record.license) == ("you", "your own")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("by + by-nc", "by + by-nc"),
        ("CC BY 4.0 + by + CC0 1.0", "by + cc0"),
        ("by + unknown", "by + unknown"),
        ("unknown + unknown", "unknown"),
        ("CC-BY-4.0 (by + more)", "by"),
    ],
)
def test_licences_of_several_assets_stay_several(text, code):
    assert short_license(text) == code


@pytest.mark.parametrize("nodes", [{"extras": 3}, 3, [3], [{"extras": [1]}], None])
def test_what_is_no_extras_states_nothing(nodes, tmp_path):
    header = {"asset": {"version": "2.0"}, "nodes": nodes}
    (tmp_path / "a.gltf").write_text(json.dumps(header))
    assert not file_facts(tmp_path / "a.gltf").keys() & JOINED.keys()
