import json
import os
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
import yaml
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser

import redream.method.module
from redream import cli
from redream.plugins import Component
from redream.retrieval import Retriever
from redream.schedules import Ramp
from redream.tools.embedded import resolve
from redream.tools.output import require_writable
from redream.tools.parser_errors import explain
from redream.tools.vocabulary import Vocabulary, gather


class OneNumber(LightningModule):
    """A module small enough to test the command line with."""

    stage = "training"  # with the losses, what callbacks see
    interrupt = False

    def __init__(self, num_particles: int = 2, weights: str | None = None):
        super().__init__()
        if num_particles < 1:
            raise ValueError(f"num_particles is {num_particles},\nand must be at least 1")
        self.number = torch.nn.Parameter(torch.ones(()))
        self.weights = weights
        self.losses = {}

    def training_step(self, batch):
        if self.interrupt:
            raise KeyboardInterrupt
        return self.number * batch.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class OneBatch(LightningDataModule):
    seen = None

    def __init__(self, prompt: str, retriever: Retriever | None = None):
        super().__init__()
        type(self).seen = prompt

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(8, 1), batch_size=1)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config file for a tiny module and data in the places of the real ones."""
    monkeypatch.setattr("redream.method.module.ReDream", OneNumber)
    monkeypatch.setattr("redream.data.RetrievalDataModule", OneBatch)
    path = tmp_path / "config.yaml"
    trainer = {
        "default_root_dir": str(tmp_path / "out"),
        "max_steps": 2,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
    }
    path.write_text(yaml.safe_dump({"prompt": "a striped dog", "trainer": trainer}))
    return path


def fails(capsys, *arguments):
    """Runs a command that must fail, and returns its one line."""
    assert cli.main([str(each) for each in arguments]) == cli.USER_ERROR
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("redream: error: ") and captured.err.count("\n") == 1
    return captured.err


HEAVY = ("torch", "lightning", "diffusers", "transformers", "numpy", "jsonargparse", "warp")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"], ["--version"], ["fitt"], []])
def test_help_and_mistyped_verbs_import_nothing_heavy(arguments):
    code = (
        "import sys, redream.cli\n"
        f"status = redream.cli.main({arguments!r})\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert done.returncode == (2 if arguments in ([], ["fitt"]) else 0)


def test_help_names_every_verb(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {verb} " in text and entry.help in text for verb, entry in cli.VERBS.items())


def test_the_installed_command_and_the_module_are_the_same():
    command = [str(Path(sys.executable).parent / "redream"), "--version"]
    module = [sys.executable, "-m", "redream", "--version"]
    outputs = [subprocess.check_output(each, text=True) for each in (command, module)]
    assert outputs[0] == outputs[1] == f"redream {redream.__version__}\n"


def test_threads_leave_room_unless_the_user_says_otherwise():
    passive = {"OMP_WAIT_POLICY": "PASSIVE"}
    assert cli.threading({}, 1) == cli.threading({}, 2) == passive | {"OMP_NUM_THREADS": "1"}
    assert cli.threading({}, 16) == passive | {"OMP_NUM_THREADS": "8"}
    assert cli.threading({"MKL_NUM_THREADS": "3"}, 16) == passive
    assert cli.threading({"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "ACTIVE"}, 16) == {}


def test_threads_are_set_before_pytorch_is_loaded():
    """In a real process: afterwards OpenMP would not notice."""
    program = """
import sys
from redream import cli
cli.VERBS["here"] = cli.Verb("here", "")
class Here:
    def main(self, verb, arguments):
        import os, torch
        print(torch.get_num_threads(), os.environ["OMP_WAIT_POLICY"])
sys.modules["here"] = Here()
sys.exit(cli.main(["here"]))
"""
    own = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY"}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(max(1, cli.num_cores() // 2)), "PASSIVE"]


def test_an_unknown_verb_is_answered_with_the_nearest(capsys):
    assert "did you mean fit?" in fails(capsys, "fitt")


def test_fit_runs_and_saves_its_config(config, tmp_path):
    assert cli.main(["fit", "--config", str(config), "--prompt", "a golden duck"]) == 0
    assert OneBatch.seen == "a golden duck"
    saved = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert saved["prompt"] == "a golden duck"
    assert cli.main(["fit", "--config", str(tmp_path / "out" / "config.yaml")]) == 0
    assert OneBatch.seen == "a golden duck"


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_what_shows_a_checkpoint_is_refused_without_one(config, capsys, verb):
    line = fails(capsys, verb, "--config", config)
    assert f"`redream {verb}` takes a checkpoint" in line and "give --ckpt_path" in line


@pytest.mark.parametrize("verb", ["fit", "test", "predict"])
def test_a_missing_configuration_is_asked_for_by_the_verbs_own_name(monkeypatch, capsys, verb):
    class NeedsPrior(OneNumber):
        def __init__(self, prior: str):
            super().__init__()

    monkeypatch.setattr("redream.method.module.ReDream", NeedsPrior)
    monkeypatch.setattr("redream.data.RetrievalDataModule", OneBatch)
    line = fails(capsys, verb, "--prompt", "a dog")
    assert "model.prior missing" in line and "as in --config " in line
    assert (f"`redream {verb}` takes the config and the checkpoint" in line) == (verb != "fit")


def test_a_parser_is_made_of_the_verb_that_is_called_alone(config, monkeypatch):
    made, plain = [], LightningArgumentParser.add_lightning_class_args

    def add(parser, one, key, **named):
        made.append(key)
        return plain(parser, one, key, **named)

    monkeypatch.setattr(LightningArgumentParser, "add_lightning_class_args", add)
    with pytest.raises(SystemExit) as leaving:
        cli.main(["predict", "--config", str(config), "--print_config"])
    assert leaving.value.code == 0 and made == ["trainer", "model", "data"]


def test_ctrl_c_ends_with_130(config, monkeypatch):
    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(OneNumber, "interrupt", True)
    try:
        assert cli.main(["fit", "--config", str(config)]) == cli.INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores it from its shutdown on


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--prompt", " "], 'the prompt is empty; give one, as in --prompt "a striped dog"'),
        (["--model.num_particlez", "3"], "'model.num_particlez'; did you mean model.num_particles"),
        (["--trainer.max_stepz=3"], "did you mean trainer.max_steps"),
        (["--promt", "a dog"], "unknown key 'promt'; did you mean prompt"),
        (["--zzz"], "unknown key 'zzz'; see `redream fit --help`"),
        (["--model.num_particles", "many"], "model.num_particles: 'many' is not of type int"),
        (["--model.num_particles", "0"], "num_particles is 0, and must be at least 1"),
        (["--data.retriever", "ExactRetreiver"], "no class 'ExactRetreiver'; did you mean Exact"),
        (
            ["--data.retriever", "ExactRetriever", "--data.retriever.indx", "here"],
            "unknown key 'indx'; did you mean index",
        ),
        (["--trainer.callbacks+=ModelChekpoint"], "did you mean ModelCheckpoint"),
        (
            ["--data.retriever", "redream.priors.GaussianPrior"],
            "'redream.priors.GaussianPrior' is not of type redream.retrieval.base.Retriever",
        ),
        (["--data.retriever", "os.system"], "'os.system' may not be named in a config"),
        (["--config", "missing.yaml"], "File does not exist"),
        (["--config", "configs/defualt.yaml"], "defualt.yaml'; did you mean default.yaml"),
        (["--config", "/nowhere/x.yaml"], "x.yaml'; start from configs/default.yaml"),
    ],
)
def test_a_wrong_command_line_is_answered_in_one_line(config, capsys, arguments, expected):
    assert expected in fails(capsys, "fit", "--config", config, *arguments)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model: {num_particlez: 3}", "did you mean model.num_particles"),
        ("modle: {num_particles: 3}", "did you mean model"),
        ("data: {retriever: {class_path: ExactRetreiver}}", "did you mean ExactRetriever"),
        ("data: {retriever: {class_path: os.system, init_args: {command: x}}}", "'os.system'"),
        ("data: {retriever: {class_path: subprocess.Popen, init_args: {args: x}}}", "'subprocess"),
        ("data: {retriever: {class_path: antigravity.x}}", "'antigravity.x' may not"),
        ("model: [", "Problems parsing config"),
        ("just words", "Unexpected config"),
    ],
)
def test_a_wrong_config_is_answered_in_one_line(config, capsys, tmp_path, text, expected):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text)
    assert expected in fails(capsys, "fit", "--config", config, "--config", wrong)
    assert not (tmp_path / "out").exists()


def test_what_a_callback_refuses_is_said_in_its_own_words_alone(config, capsys, tmp_path):
    callback = {"class_path": "redream.callbacks.Export", "init_args": {"num_frames": 4}}
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump({"trainer": {"callbacks": [callback]}}))
    line = fails(capsys, "fit", "--config", config, "--config", wrong)
    assert line == "redream: error: num_frames must be a multiple of 8, got 4.\n"


def test_a_config_cannot_run_a_command(config, tmp_path, capsys):
    evil = {"class_path": "os.system", "init_args": {"command": f"touch {tmp_path}/pwned"}}
    for key in ("data.retriever", "trainer.callbacks", "trainer.strategy", "model.weights"):
        first, second = key.split(".")
        path = tmp_path / "evil.yaml"
        path.write_text(yaml.safe_dump({first: {second: evil}}))
        fails(capsys, "fit", "--config", config, "--config", path)
        assert not (tmp_path / "pwned").exists()


def test_unwritable_output_is_found_before_the_work(config, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    OneBatch.seen = None
    where = tmp_path / "file" / "out"
    error = fails(capsys, "fit", "--config", config, "--trainer.default_root_dir", where)
    assert f"cannot write to {where}: {tmp_path / 'file'} is not a folder" in error
    assert OneBatch.seen is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_not_writable(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="no permission"):
        require_writable(tmp_path / "out")


def test_debugging_shows_where_an_error_came_from(config, monkeypatch):
    monkeypatch.setenv("REDREAM_DEBUG", "1")
    with pytest.raises(ValueError, match="at least 1"):
        cli.main(["fit", "--config", str(config), "--model.num_particles", "0"])


def test_a_bug_is_not_dressed_up_as_the_users_error(config, monkeypatch):
    def broken(self, batch):
        raise RuntimeError("a bug")

    monkeypatch.setattr(OneNumber, "training_step", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["fit", "--config", str(config)])


def test_names_of_the_embedded_world_become_paths_anywhere():
    def find(name):
        return Path("/world") / name

    value = Namespace(
        index="embedded:index",
        folder=Path("embedded:prior"),
        encoder={"model": "embedded:retrieval_clip", "rank": 4},
        stores=[Namespace(path="embedded:library")],
        sizes=(1, 2),
        prompt="a chip embedded:in amber",
    )
    assert resolve(value, find) == Namespace(
        index="/world/index",
        folder=Path("/world/prior"),
        encoder={"model": "/world/retrieval_clip", "rank": 4},
        stores=[Namespace(path="/world/library")],
        sizes=(1, 2),
        prompt="a chip embedded:in amber",
    )
    assert value.index == "embedded:index"  # what is saved keeps the names


def test_preparing_the_embedded_world_does_not_disturb_an_answer(tmp_path, monkeypatch, capsys):
    def make(folder):
        print("Making assets ...")
        folder.mkdir()

    monkeypatch.setenv("REDREAM_CACHE", str(tmp_path))
    monkeypatch.setattr("redream.mini.prepare._write_library", make)
    assert Path(resolve("embedded:library")).parent == tmp_path
    assert capsys.readouterr() == ("", "Making assets ...\n")
    with pytest.raises(ValueError, match="embedded:indx does not exist; did you mean index"):
        resolve("embedded:indx")


def test_the_saved_config_keeps_the_names_of_the_embedded_world(config, tmp_path, monkeypatch):
    monkeypatch.setattr("redream.tools.embedded._find", lambda name: tmp_path / name)
    built = []
    monkeypatch.setattr(OneNumber, "setup", lambda self, stage: built.append(self.weights))
    assert cli.main(["fit", "--config", str(config), "--model.weights=embedded:prior"]) == 0
    assert built == [str(tmp_path / "prior")]
    saved = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert saved["model"]["weights"] == "embedded:prior"


def test_a_broken_plugin_named_in_a_config_repeats_the_reason():
    broken = Component("redream.priors", "Lost", "acme", "1.2", "acme:Lost", "import failed: no")
    message = 'Parser key "model.prior":\n\n  - Expected a dot import path string: Lost'
    line = explain(message, Vocabulary([], ["Last"], [], broken=[broken]))
    assert line == (
        "model.prior: plugin Lost of acme 1.2 (redream.priors) cannot be used: import failed: no"
    )


def test_the_arguments_of_nested_classes_are_known():
    class Module:
        def __init__(self, penalties: dict[str, Ramp] | None = None):
            pass

    known = gather({"model": Module}, [])
    assert "model.penalties" in known.keys
    message = "Option 'strat' is not accepted"
    assert explain(message, known) == "unknown key 'strat'; did you mean start or stage?"
    assert "did you mean dirpath" in explain("Option 'dirpth' is not accepted", known)
    elsewhere = explain(
        "Parser key \"model.penalties\":\n\n  - Option 'dirpath' is not accepted", known
    )
    assert "did you mean" not in elsewhere  # a key of another class is not meant by itself
    assert "it takes no 'dirpath'; see `redream fit --model.penalties.help CLASS`" in elsewhere


@pytest.mark.parametrize(
    ("old", "said"),
    [
        ("sigma", "is now model.warmup.sigma, the square root of C h w"),
        ("random_background", "is now model.pictures.random_background"),
        ("timesteps.high.end", "is now model.guidance.init_args.timesteps"),
    ],
)
def test_a_key_of_an_earlier_configuration_says_where_it_went(old, said):
    line = explain(f"Option 'model.{old}' is not accepted", Vocabulary([], [], []))
    assert said in line and "\n" not in line


def test_an_error_of_an_unknown_kind_is_only_put_into_one_line():
    assert explain("some\n  thing\nnew", Vocabulary([], [], [])) == "some thing new"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["retrieve"], "PROMPT"),
        (["retrieve", "a dog", "-k", "x"], "invalid int value: 'x'"),
        (["retrieve", "a dog", "--retriever", "ExactRetreiver"], "did you mean"),
        (["retrieve", "a dog", "--index", "/nowhere"], "there is no index at /nowhere"),
        (["index"], "build|import|info|verify"),
        (["index", "info", "/nowhere"], "there is no index at /nowhere"),
        (["index", "verify", "/nowhere"], "there is no index at /nowhere"),
        (["index", "bild"], "invalid choice: 'bild'"),
        (["plugins", "--jsn"], "unrecognized arguments: --jsn"),
    ],
)
def test_a_wrong_use_of_a_tool_is_answered_in_one_line(capsys, arguments, expected):
    assert expected in fails(capsys, *arguments)


@pytest.mark.parametrize("said", ["--version", "plugins"])
def test_a_closed_output_is_no_error(said):
    command = f"{sys.executable} -m redream {said} >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("said", ["--help", "plugins --help", "plugins"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_into_a_closed_pipe_is_no_error(said, unbuffered):
    command = f"{sys.executable} -m redream {said} | true; exit ${{PIPESTATUS[0]}}"
    known = {**os.environ, "PYTHONUNBUFFERED": unbuffered}  # Python takes "" for unset
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=known)
    assert (done.stderr, done.returncode) == ("", 0)


def test_plugins_json_is_json(capsys):
    assert cli.main(["plugins", "--json"]) == 0
    assert {"name": "NeRF", "group": "redream.representations"}.items() <= next(
        each for each in json.loads(capsys.readouterr().out) if each["name"] == "NeRF"
    ).items()
