"""What a page says is ticked: a stranger's word, of the assets that were found."""

import pytest

from redream.ui.ticks import read_ticks

FOUND = [{"uid": "a", "ticked": True}, {"uid": "b", "ticked": False}]


@pytest.mark.parametrize(
    ("sent", "ticks"),
    [
        ("", {"a": True, "b": False}),  # nothing is drawn yet
        ('{"a": false, "b": true}', {"a": False, "b": True}),
        ('{"b": true, "of an earlier prompt": true}', {"a": True, "b": True}),
    ],
)
def test_what_is_drawn_counts_and_else_what_was_found(sent, ticks):
    assert read_ticks(sent, FOUND) == ticks


def test_a_page_whose_assets_the_server_has_forgotten_is_told():
    assert read_ticks("{}", []) == {}
    with pytest.raises(ValueError, match="show what is retrieved again"):
        read_ticks('{"a": true}', [])


@pytest.mark.parametrize("sent", ["[]", '{"a": 1}', '{"a": "yes"}', "{", "[" * 500])
def test_what_is_no_tick_is_refused(sent):
    with pytest.raises(ValueError, match=r"."):
        read_ticks(sent, FOUND)
