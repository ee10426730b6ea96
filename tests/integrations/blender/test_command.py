"""What ``redream`` is asked: one argument each, which its own parser reads as it was meant."""

import json
from pathlib import Path, PureWindowsPath

import pytest
import yaml
from redream_blender.command import (
    Selection,
    Wish,
    fit_arguments,
    go_on_arguments,
    split_options,
    take_arguments,
)
from redream_blender.presets import read_presets

from redream.tools import run as tool

CONFIGS = Path(__file__).parents[3] / "configs"
PRESETS = {each.name: each for each in read_presets(CONFIGS)}


def parsed(capsys, wish, folder):
    with pytest.raises(SystemExit) as leaving:
        tool.main("fit", [*fit_arguments(wish, CONFIGS, folder)[1:], "--print_config"])
    assert leaving.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_the_parser_reads_what_was_wished(capsys, tmp_path):
    glb = tmp_path / "a selection, [odd].glb"
    glb.write_bytes(b"")
    selection = Selection(glb, shows="a clay dog: yes", keeps_shape=True)
    options = "--trainer.max_steps 7 --data.front_axis='mirror'  --model.warmup.steps=\"0\""
    wish = Wish('  a "golden" dog; --x=1 $HOME ', PRESETS["default"], 3, 0.25, options, selection)
    config = parsed(capsys, wish, tmp_path / "run of ä")
    assert config["prompt"] == 'a "golden" dog; --x=1 $HOME'
    assert config["trainer"]["default_root_dir"] == str(tmp_path / "run of ä")
    assert config["trainer"]["max_steps"] == 7
    assert config["model"]["num_particles"] == 3
    assert config["model"]["warmup"]["steps"] == 0
    assert config["data"]["assets"] == [str(glb)]
    assert config["data"]["captions"] == ["a clay dog: yes"]
    assert config["data"]["orient"] is False
    assert config["data"]["front_axis"] == "mirror"
    assert config["model"]["correction"]["period"] == 0  # configs/own_asset.yaml
    assert config["model"]["representation"]["class_path"].endswith(".Mesh")
    assert config["export"]["size_m"] == 0.25


def test_a_preset_that_lies_over_another_does(capsys, tmp_path):
    config = parsed(capsys, Wish("a dog", PRESETS["methods/csd"]), tmp_path)
    assert config["model"]["guidance"]["class_path"].endswith(".CSD")
    assert config["data"]["assets"] is None


def test_paths_of_windows_pass_unharmed(tmp_path):
    path = PureWindowsPath(r"C:\Users\Zoë\new objects\table.glb")
    arguments = fit_arguments(
        Wish("a dog", PRESETS["default"], selection=Selection(path)), CONFIGS, tmp_path
    )
    (assets,) = [each for each in arguments if each.startswith("--data.assets=")]
    listed = assets.removeprefix("--data.assets=")
    assert json.loads(listed) == yaml.safe_load(listed) == [str(path)]
    assert split_options(r"--data.image C:\tables\new.png --data.captions 'a \ b'") == [
        "--data.image", r"C:\tables\new.png", "--data.captions", r"a \ b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("  ", []),
        ("--a 1", ["--a", "1"]),
        ('--a "" b', ["--a", "", "b"]),
        ("--a=\"x y\" 'p q'", ["--a=x y", "p q"]),
        ("a dog's it's", ["a", "dog's", "it's"]),
    ],
)
def test_options_are_split_at_blanks(text, parts):
    assert split_options(text) == parts


def test_what_cannot_be_asked_is_said(tmp_path):
    with pytest.raises(ValueError, match="prompt is empty"):
        fit_arguments(Wish("  ", PRESETS["default"]), CONFIGS, tmp_path)
    with pytest.raises(ValueError, match="quotation mark"):
        fit_arguments(Wish("a", PRESETS["default"], options="--a 'b"), CONFIGS, tmp_path)


def test_going_on_and_taking():
    assert go_on_arguments(["fit", "--a"]) == ["fit", "--a", "--ckpt_path=last"]
    last = Path("run", "checkpoints", "last.ckpt")
    assert take_arguments(Path("run")) == ["predict", f"--ckpt_path={last}"]
