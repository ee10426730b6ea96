"""Where ``redream`` and its configs are found, and what is said where they are not."""

import os
import sys
from pathlib import Path

import pytest
from redream_blender.finding import Missing, find_command, find_configs, find_home

ROOT = Path(__file__).parents[3]


def program(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "work" / "configs").mkdir(parents=True)
    (tmp_path / "work" / "configs" / "default.yaml").write_text("prompt: a dog\n")
    program(tmp_path / "work" / ".venv" / "bin" / "redream")
    return tmp_path / "work"


@pytest.mark.parametrize("chosen", ["", ".venv", ".venv/bin", ".venv/bin/redream"])
def test_a_choice_may_be_the_checkout_its_environment_or_the_program(checkout, tmp_path, chosen):
    home = find_home(str(checkout / chosen), "", {}, tmp_path)
    assert home.command == (str(checkout / ".venv" / "bin" / "redream"),)
    assert home.configs == checkout / "configs"


def test_windows_names_are_known(tmp_path):
    exe = program(tmp_path / "env" / "Scripts" / "redream.exe")
    assert find_command(str(tmp_path / "env"), {}, tmp_path) == (str(exe),)


def test_a_python_is_asked_for_its_module(tmp_path):
    for name in ("python3.11", "python.exe", "Python"):
        python = program(tmp_path / name)
        assert find_command(f" {python} ", {}, tmp_path) == (str(python), "-m", "redream")


def test_it_is_found_on_the_path_and_in_usual_places(checkout, tmp_path):
    found = checkout / ".venv" / "bin" / "redream"
    on_path = {"PATH": f"{tmp_path}{os.pathsep}{found.parent}"}
    assert find_command("", on_path, tmp_path) == (str(found),)
    checkout.rename(tmp_path / "redream")
    usual = find_home("", "", {"PATH": ""}, tmp_path)
    assert usual.command == (str(tmp_path / "redream" / ".venv" / "bin" / "redream"),)


def test_what_is_missing_is_one_line_that_says_what_to_do(checkout, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Missing, match=r"^redream was not found: choose .* preferences$"):
        find_command("", {"PATH": ""}, tmp_path)
    with pytest.raises(Missing, match=r"there is no redream in .*empty: choose the program"):
        find_command(str(tmp_path / "empty"), {}, tmp_path)
    alone = program(tmp_path / "bin" / "redream")
    with pytest.raises(Missing, match=r"^no configs beside .*redream: choose"):
        find_home(str(alone), "", {}, tmp_path)
    with pytest.raises(Missing, match=r"no default.yaml in .*empty: choose"):
        find_configs(alone, str(tmp_path / "empty"))
    assert find_home(str(alone), str(checkout), {}, tmp_path).configs == checkout / "configs"


def test_the_running_environment_is_found_with_this_repositorys_configs():
    home = find_home(sys.executable, str(ROOT), {})
    assert home.configs == ROOT / "configs"
