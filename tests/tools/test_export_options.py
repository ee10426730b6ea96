"""``--export.NAME`` finds the Export callback in the config's list of callbacks."""

from pathlib import Path

import pytest
import yaml
from jsonargparse import Namespace

from redream.tools import run as tool
from redream.tools.export_options import hand_to_export

DEFAULT = Path(__file__).parents[2] / "configs" / "default.yaml"


def config(*callbacks, **export):
    given = {"export": Namespace(**export)} if export else {}
    return Namespace(trainer=Namespace(callbacks=list(callbacks) or None), **given)


def callback(name, **arguments):
    return Namespace(class_path=f"redream.callbacks.{name}", init_args=Namespace(**arguments))


def test_what_is_given_goes_to_the_callback_and_the_rest_stays():
    own = callback("Export", num_frames=8, formats=["glb"])
    made = config(callback("Progress"), own, formats=["ply"], num_faces=500)
    hand_to_export(made)
    assert own.init_args == Namespace(num_frames=8, formats=["ply"], num_faces=500)
    assert len(made.trainer.callbacks) == 2 and "export" not in made


def test_nothing_given_changes_nothing():
    made = config(callback("Progress"))
    hand_to_export(made)
    assert len(made.trainer.callbacks) == 1


def test_a_config_without_the_callback_gets_one():
    made = config(formats=["ply"])
    hand_to_export(made)
    (added,) = made.trainer.callbacks
    assert added.class_path == "redream.callbacks.Export"
    assert added.init_args == Namespace(formats=["ply"])


def test_only_what_is_given_is_in_the_config(capsys):
    options = ["--export.formats=[glb,ply]", "--export.num_faces=500", "--print_config"]
    with pytest.raises(SystemExit):
        tool.main("predict", [f"--config={DEFAULT}", *options])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["export"] == {"formats": ["glb", "ply"], "num_faces": 500}


def test_an_unknown_format_is_one_line():
    with pytest.raises(ValueError, match="fbx"):
        tool.main("predict", [f"--config={DEFAULT}", "--export.formats=[fbx]", "--print_config"])


def test_a_checkpoint_brings_its_runs_config(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").write_text("prompt: a dog\n")
    own = [f"--config={tmp_path / 'config.yaml'}", f"--trainer.default_root_dir={tmp_path}"]
    checkpoint = str(tmp_path / "checkpoints" / "last.ckpt")
    for given in (["--ckpt_path", checkpoint], [f"--ckpt_path={checkpoint}"]):
        assert tool._with_own_config("predict", given) == [*own, *given]
        assert tool._with_own_config("fit", given) == given
        assert tool._with_own_config("predict", ["-c", "my.yaml", *given]) == [
            "-c", "my.yaml", *given,
        ]  # fmt: skip
    assert tool._with_own_config("predict", ["--prompt=a dog"]) == ["--prompt=a dog"]
