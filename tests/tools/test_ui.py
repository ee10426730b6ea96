"""``redream ui`` before it serves anything."""

import socket

import pytest

from redream import cli
from redream.locks import lock_alone
from redream.tools import ui


def test_without_gradio_it_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(ui, "find_spec", lambda name: None)
    assert cli.main(["ui", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "redream: error: the page needs Gradio: pip install 'redream[ui]'\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("password", [None, "short"])
def test_where_others_can_reach_it_there_must_be_a_password(
    password, monkeypatch, capsys, tmp_path
):
    pytest.importorskip("gradio")
    monkeypatch.delenv(ui.PASSWORD, raising=False)
    if password is not None:
        monkeypatch.setenv(ui.PASSWORD, password)
    assert cli.main(["ui", "--host", "0.0.0.0", "--out", str(tmp_path / "out")]) == 2
    assert f"set {ui.PASSWORD} to a password" in capsys.readouterr().err


def test_an_output_folder_has_one_server(capsys, tmp_path):
    pytest.importorskip("gradio")
    with lock_alone(tmp_path / ".page.lock", waits=False) as is_alone:
        assert is_alone
        assert cli.main(["ui", "--out", str(tmp_path)]) == 2
    assert "another `redream ui` serves" in capsys.readouterr().err


def test_a_config_that_is_not_there_is_named(capsys, tmp_path):
    pytest.importorskip("gradio")
    assert cli.main(["ui", "--config", str(tmp_path / "no.yaml"), "--out", str(tmp_path)]) == 2
    assert "no.yaml" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named():
    pytest.importorskip("gradio")
    from redream.ui.server import make_server

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port}: address already in use.*try --port 0"):
            make_server(None, "127.0.0.1", port)
