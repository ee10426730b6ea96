"""Configs, command lines and checkpoints of a stranger: nothing is imported, nothing is called."""

import os
import pickle
import sys
import zipfile

import pytest
import torch
import yaml
from jsonargparse import ArgumentError
from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from redream import cli
from redream.data import RetrievalDataModule
from redream.method.module import ReDream
from redream.representations.checkpoint import load_particle, read_checkpoint
from redream.tools.parser import prepare_parser

DEFAULT = "configs/default.yaml"


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module whose import leaves a file, and what each attack below would leave."""
    (tmp_path / "trap_module.py").write_text(
        f"open({str(tmp_path / 'sprung')!r}, 'w').close()\nclass Trap: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("REDREAM_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "sprung"
    sys.modules.pop("trap_module", None)


def refused(capsys, *arguments):
    """Runs a verb that must be refused in one line, and returns the line."""
    assert cli.main([str(each) for each in arguments]) == cli.USER_ERROR
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("redream: error: ")
    return line


def fit(capsys, tmp_path, *arguments):
    small = ("--data.references.init_args.num_views=10", "--data.num_assets=1")
    root = ("--trainer.default_root_dir", tmp_path / "out")
    return refused(capsys, "fit", "--config", DEFAULT, *small, *root, *arguments)


def attacks(sprung):
    """What a stranger would have called, in jsonargparse's words."""
    touch = ["touch", str(sprung)]
    yield {"class_path": "os.system", "init_args": {"command": " ".join(touch)}}
    yield {"class_path": "subprocess.Popen", "init_args": {"args": touch}}
    yield {"class_path": "builtins.eval", "init_args": {"source": f"open('{sprung}', 'w')"}}
    yield {"class_path": "builtins.exec", "dict_kwargs": {"source": f"open('{sprung}', 'w')"}}
    yield {"class_path": "functools.partial", "init_args": {"func": "os.system"}}
    yield {"class_path": "redream.export.turntable.subprocess.Popen", "init_args": {"a": touch}}
    yield {"class_path": "lightning.pytorch.cli.os.system"}
    yield {"class_path": "torch.optim.optimizer.torch.load", "init_args": {"f": "evil.pt"}}
    yield {"class_path": "trap_module.Trap"}
    yield "trap_module.Trap"


PLACES = {
    "a component": lambda evil: {"data": {"retriever": evil}},
    "an element of a list": lambda evil: {"trainer": {"callbacks": [evil]}},
    "an argument of a component": lambda evil: {
        "trainer": {
            "callbacks": [
                {"class_path": "redream.callbacks.Export", "init_args": {"metrics": [evil]}}
            ]
        }
    },
    "a callable": lambda evil: {
        "trainer": {
            "callbacks": [
                {
                    "class_path": "lightning.pytorch.callbacks.LambdaCallback",
                    "init_args": {"setup": evil},
                }
            ]
        }
    },
}


@pytest.fixture(scope="module")
def parser():
    """The parser of the four verbs, made once; it does not look for the nearest right word."""
    prepare_parser({"trainer": Trainer, "model": ReDream, "data": RetrievalDataModule})
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_lightning_class_args(ReDream, "model")
    parser.add_lightning_class_args(RetrievalDataModule, "data")
    return parser


@pytest.mark.parametrize("place", PLACES)
def test_a_config_calls_nothing_from_outside(place, parser, trap, tmp_path):
    for number, evil in enumerate(attacks(trap)):
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(PLACES[place](evil)))
        with pytest.raises(ArgumentError, match="is not allowed"):
            parser.parse_args(["--config", str(path)])
        assert not trap.exists(), evil
    assert "trap_module" not in sys.modules


def test_the_command_line_refuses_such_a_config(trap, tmp_path, capsys):
    path = tmp_path / "evil.yaml"
    path.write_text(yaml.safe_dump(PLACES["a component"]({"class_path": "trap_module.Trap"})))
    assert "may not be named" in fit(capsys, tmp_path, "--config", path)
    assert not trap.exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--data.retriever", "--data.retriever.help", "--model.prior"])
def test_an_option_imports_nothing_from_outside(option, parser, trap):
    with pytest.raises(ArgumentError, match="is not allowed"):
        parser.parse_args([option, "trap_module.Trap"])
    assert not trap.exists()


def test_a_plugin_that_is_none_opens_no_door(tmp_path, monkeypatch):
    info = tmp_path / "evil-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[redream.retrievers]\nsystem = os:system\n")
    monkeypatch.syspath_prepend(tmp_path)
    prepare_parser({"data": RetrievalDataModule})
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_lightning_class_args(RetrievalDataModule, "data")
    with pytest.raises(ArgumentError, match="is not allowed"):
        parser.parse_args(["--data.retriever", "os.system"])


@pytest.mark.parametrize("verb", ["build", "import"])
def test_nor_do_the_tools(verb, trap, tmp_path, capsys):
    out = ("--out", tmp_path / "index")
    line = refused(capsys, "index", verb, *out, "--store", "trap_module.Trap")
    assert "may not be named" in line and not trap.exists()


def test_yaml_makes_no_objects(parser, trap, tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text(f"trainer: !!python/object/apply:os.system ['touch {trap}']")
    with pytest.raises(ArgumentError, match="could not determine a constructor"):
        parser.parse_args(["--config", str(path)])
    assert not trap.exists()


def laughs(generations):
    """Few lines that stand for 9 ** generations values."""
    names = [f"n{number}" for number in range(generations)]
    lines = ["  - &n0 [" + ", ".join("x" * 9) + "]"]
    for old, new in zip(names, names[1:], strict=False):
        lines.append(f"  - &{new} [" + ", ".join([f"*{old}"] * 9) + "]")
    return "trainer:\n  callbacks:\n" + "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (laughs(30), "stand for more than 100000 values"),
        ("trainer: &a {callbacks: [*a]}", "stand for more than 100000 values"),
        (f"a: &a {{class_path: A}}\nb: [{'*a, ' * 1000}]", "names more than 200 classes"),
        ("trainer: " + "[" * 5000 + "]" * 5000, "nest"),
        (f"model: {{sigma: -1{'0' * 400}}}", "a whole number above 1.79769e.308"),
    ],
)
def test_a_few_lines_cannot_stand_for_more_than_memory(text, said, parser, tmp_path):
    path = tmp_path / "laughs.yaml"
    path.write_text(text)
    with pytest.raises(ArgumentError, match=said):
        parser.parse_args(["--config", str(path)])


class Touch:
    """A pickle that touches a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def checkpoints(trap, tmp_path):
    """Checkpoints that a stranger made, by their names."""
    torch.save({"state_dict": {}, "more": Touch(trap)}, tmp_path / "object.ckpt")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps({"state_dict": Touch(trap)}))
    torch.save(
        {"state_dict": {"a": torch.ones(1)}, "more": Touch(trap)},
        tmp_path / "old.ckpt",
        _use_new_zipfile_serialization=False,
    )
    with zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 50_000_000)
    torch.save([1, 2], tmp_path / "list.ckpt")
    torch.save({"state_dict": 3}, tmp_path / "number.ckpt")
    (tmp_path / "empty.ckpt").write_bytes(b"")
    (tmp_path / "folder.ckpt").mkdir()
    return sorted(path for path in tmp_path.glob("*.ckpt"))


def test_a_checkpoint_executes_nothing(checkpoints, trap, capsys, tmp_path):
    for path in checkpoints:
        with pytest.raises((ValueError, FileNotFoundError), match=path.name):
            read_checkpoint(path)
        with pytest.raises((ValueError, FileNotFoundError), match=path.name):
            load_particle(path, 0)
        assert not trap.exists(), path
    assert "object.ckpt" in fit(capsys, tmp_path, "--ckpt_path", tmp_path / "object.ckpt")
    assert not trap.exists()
    assert not (tmp_path / "out").exists()


def test_no_switch_lets_a_checkpoint_execute(checkpoints, trap, capsys, tmp_path):
    evil = ("--ckpt_path", tmp_path / "object.ckpt")
    (tmp_path / "switch.yaml").write_text("weights_only: false")
    assert "weights_only" in fit(capsys, tmp_path, *evil, "--config", tmp_path / "switch.yaml")
    assert not trap.exists()


def test_a_checkpoint_is_not_fetched_from_the_network(capsys, tmp_path):
    line = fit(capsys, tmp_path, "--ckpt_path", "http://127.0.0.1:9/evil.ckpt")
    assert "there is no checkpoint at" in line


@pytest.mark.parametrize(
    "parameters",
    [
        {"prior": {"class_path": "trap_module.Trap"}},
        {"_class_path": "trap_module.Trap", "_instantiator": "trap_module.Trap"},
    ],
)
def test_hyperparameters_of_a_checkpoint_are_not_looked_at(parameters, trap, capsys, tmp_path):
    run = {"state_dict": {}, "global_step": 1, "optimizer_states": []}
    torch.save(run | {"hyper_parameters": parameters}, tmp_path / "evil.ckpt")
    line = fit(capsys, tmp_path, "--ckpt_path", tmp_path / "evil.ckpt")
    assert "evil.ckpt" in line and "trap_module" not in line
    assert not trap.exists()


def test_the_config_beside_a_checkpoint_imports_nothing(trap, tmp_path):
    torch.save({"state_dict": {"particles.0.x": torch.ones(1)}}, tmp_path / "evil.ckpt")
    config = {"model": {"representation": {"class_path": "trap_module.Trap"}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match="Trap, which is not installed"):
        load_particle(tmp_path / "evil.ckpt", 0)
    assert not trap.exists()


@pytest.mark.parametrize(
    "arguments", [{"num_levels": "2"}, {"no_such": 1}, {"hidden": [1]}, {"radius": float("nan")}]
)
def test_a_config_whose_arguments_are_none_is_named(arguments, tmp_path):
    torch.save({"state_dict": {"particles.0.x": torch.ones(1)}}, tmp_path / "a.ckpt")
    config = {"model": {"representation": {"class_path": "NeRF", "init_args": arguments}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=f"{tmp_path}/config.yaml describes no NeRF"):
        load_particle(tmp_path / "a.ckpt", 0)
