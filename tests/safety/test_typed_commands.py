"""A program runs because its user typed it: from a config nobody's does. Harmless programs only."""

from argparse import Namespace

import pytest
import yaml
from lightning import Trainer
from lightning.pytorch import LightningModule

from redream.data import RetrievalDataModule
from redream.mini.prepare import WEIGHTS
from redream.sources import Command
from redream.tools.parser import Parser, prepare_parser
from redream.tools.typed_commands import typed_commands, withhold_commands
from tests.sources.programs import program

ENCODER = {"model": str(WEIGHTS / "retrieval_clip"), "device": "cpu"}


def generative(line, cache, **more):
    generator = {"class_path": "Command", "init_args": {"command": line, **more}}
    arguments = {"generator": generator, "encoder": ENCODER, "num_meshes": 1}
    arguments["cache_dir"] = str(cache)
    return {"class_path": "GenerativeRetriever", "init_args": arguments}


def mixed(retriever):
    sources = {"made": {"retriever": retriever}}
    return {"class_path": "MixedRetriever", "init_args": {"sources": sources}}


@pytest.fixture(params=[False, True], ids=["alone", "in a mixture"])
def road(request, tmp_path):
    """From a retriever's config and more words to the data that ``redream`` makes of them."""

    def made(retriever, *words):
        config = tmp_path / "config.yaml"
        data = {"prompt": "a dog", "retriever": mixed(retriever) if request.param else retriever}
        config.write_text(yaml.safe_dump({"data": data}))
        core = {"trainer": Trainer, "model": LightningModule, "data": RetrievalDataModule}
        prepare_parser(core)
        parser = Parser()
        parser.add_argument("--config", action="config")
        parser.add_argument("--command", type=str | None)
        parser.add_lightning_class_args(RetrievalDataModule, "data")
        parsed = parser.parse_args(["--config", str(config), *words])
        return parser.instantiate(parsed).data.retriever

    return made


def test_a_configs_command_is_not_run(road, tmp_path):
    tool, told = program(tmp_path)
    for more in ({}, {"may_run": True}):
        retriever = road(generative(f"{tool} {{glb}}", tmp_path / "kept", **more))
        with pytest.raises(ValueError, match="stranger's"):
            retriever.retrieve("a dog", 1)
    assert not told.exists()


def test_other_words_do_not_let_it_run(road, tmp_path):
    """Neither a part of it, nor it under another name, nor a name that is a file's."""
    tool, told = program(tmp_path)
    line = f"{tool} {{glb}}"
    for words in (["--command", f"{line} --more"], ["--command", line[:-1]], ["--command=x"]):
        with pytest.raises(ValueError, match="^--command .* confirms nothing: no generator of"):
            road(generative(line, tmp_path / "kept"), *words)
    for words in (
        ["--data.prompt", line],
        [f"--data.prompt=--command={line}"],
        [f"--data.prompt=--command {line}"],
    ):
        with pytest.raises(ValueError, match="stranger's"):
            road(generative(line, tmp_path / "kept"), *words).retrieve("a dog", 1)
    assert not told.exists()


def test_the_same_words_on_the_command_line_let_it_run(road, tmp_path):
    tool, told = program(tmp_path)
    line = f"{tool} {{glb}}"
    found = road(generative(line, tmp_path / "kept"), "--command", line).retrieve("a dog", 1)
    assert told.exists() and len(found) == 1
    told.unlink()
    # what is kept needs no program: a checkpoint is exported by its own config
    again = road(generative(line, tmp_path / "kept")).retrieve("a dog", 1)
    assert again == found and not told.exists()


def test_from_python_a_command_runs(tmp_path):
    tool, told = program(tmp_path)
    Command(f"{tool} {{glb}}").generate("a dog", 0, tmp_path / "made.glb")
    assert told.exists()


def test_only_options_that_are_called_command_count():
    words = ["--command", "a", "--data.retriever.init_args.generator.init_args.command=b", "--c"]
    assert typed_commands([*words, "--my_command=c", "command", "d", "--command"]) == {"a", "b"}


class OfAPlugin(Command):
    """Brings its own command, as an installed plugin may."""

    def __init__(self, seedless=False):
        super().__init__("no-such-program {glb}")


def test_a_plugins_own_command_is_its_own(monkeypatch):
    spec = Namespace(class_path=f"{__name__}.OfAPlugin", init_args=Namespace(seedless=True))
    monkeypatch.setattr("redream.tools.typed_commands.already_imported", lambda _: OfAPlugin)
    withhold_commands(Namespace(data=[{"x": spec}]), [])
    assert not hasattr(spec.init_args, "may_run")
    spec = Namespace(class_path="x", dict_kwargs={"command": "tool {glb}"})
    with pytest.raises(ValueError, match="must be given on the command line"):
        withhold_commands(spec, [])
