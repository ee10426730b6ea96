"""The verbs themselves as targets: whole commands on spoilt checkpoints, stages and sweeps."""

import contextlib
import io
import json
import random
import shutil
from pathlib import Path
from unittest.mock import patch

import torch
import yaml
from mutations import spoil_bytes, spoil_values
from targets import REPOSITORY, TARGETS, Target


class Verbs(Target):
    """`fit`, `validate`, `test` and `predict` from a checkpoint, with a module of one number.

    The module is small so that what is tried is the road: the command line, the config beside a
    checkpoint, and Lightning's reading of all that a checkpoint holds.
    """

    share = 1

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.run = work / "verbs"
        if not (self.run / "checkpoints" / "last.ckpt").is_file():
            config = work / "number.yaml"
            config.write_text(yaml.safe_dump(_CONFIG))
            code, said = command("fit", f"--config={config}", *_into(self.run))
            assert code == 0, said

    def spoil(self, chance: random.Random, folder: Path) -> None:
        shutil.copytree(self.run, folder, dirs_exist_ok=True)
        (folder / "verb").write_text(chance.choice(("fit", "validate", "test", "predict")))
        config, checkpoint = folder / "config.yaml", folder / "checkpoints" / "last.ckpt"
        if chance.random() < 0.3:
            spoilt = spoil_values(yaml.safe_load(config.read_text()), chance)
            config.write_text(yaml.safe_dump(spoilt))
        elif chance.random() < 0.3:
            checkpoint.write_bytes(spoil_bytes(checkpoint.read_bytes(), chance))
        else:
            state = torch.load(checkpoint, weights_only=True)
            with contextlib.suppress(Exception):  # not everything odd can be saved
                torch.save(spoil_values(state, chance), checkpoint)

    def read(self, folder: Path) -> None:
        verb, last = (folder / "verb").read_text(), folder / "checkpoints" / "last.ckpt"
        more = [f"--ckpt_path={last}", "--trainer.max_steps=4"]
        if verb == "fit":
            more = [f"--config={folder / 'config.yaml'}", *more]
        code, said = command(verb, *more, *_into(folder / "out"))
        if code == 2:
            raise ValueError(said.strip().splitlines()[-1])
        assert code == 0, said


class Stages(Target):
    """Configs of several stages, as far as the command lines of each."""

    share = 1

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.text = (REPOSITORY / "configs" / "stages.yaml").read_text("utf-8")

    def spoil(self, chance: random.Random, folder: Path) -> None:
        if chance.random() < 0.7:
            text = yaml.dump(spoil_values(yaml.safe_load(self.text), chance)).encode()
        else:
            text = spoil_bytes(self.text.encode(), chance)
        (folder / "stages.yaml").write_bytes(text)

    def read(self, folder: Path) -> None:
        from redream.tools.stages import read_stages

        command = read_stages(["--config", str(folder / "stages.yaml")])
        before = {}
        for stage in () if command is None else command.stages:
            command.arguments(stage, before)
            before[stage.name] = folder / stage.name


class Sweeps(Target):
    """Folders of sweeps that were made in part."""

    share = 1

    def spoil(self, chance: random.Random, folder: Path) -> None:
        from redream.tools.sweep_run import plan

        files = {folder / "sweep.json": {"options": [], "configs": []}}
        for run in plan(["a dog", "a <b>cat</b>"], 1, folder, []):
            run.folder.mkdir(parents=True)
            made = {"prompt": run.prompt, "seed": 0, "seconds": 2.5, "metrics": {"clip": 0.25}}
            files |= {run.folder / "done.json": made, run.folder / "metrics.json": {"a": [1, 2.0]}}
        for path, value in files.items():
            text = json.dumps(value)
            if chance.random() < 0.6:
                text = json.dumps(spoil_values(value, chance))
            data = text.encode()
            path.write_bytes(spoil_bytes(data, chance) if chance.random() < 0.3 else data)

    def read(self, folder: Path) -> None:
        from redream.tools.sweep import _remember
        from redream.tools.sweep_results import Results
        from redream.tools.sweep_run import _metrics, plan

        runs = plan(["a dog", "a <b>cat</b>"], 1, folder, [])
        for run in runs:
            _metrics(run.folder)
        results = Results(runs, folder)
        results.write()
        assert (folder / "results.md").read_text().count("\n") == 4
        _remember(folder, [], [])


def command(*arguments: str) -> tuple[int, str]:
    """Runs the command line with a module of one number: its exit code and what it said."""
    from number import Nothing, Number

    from redream import cli

    said = io.StringIO()
    with (
        patch("redream.method.module.ReDream", Number),
        patch("redream.data.RetrievalDataModule", Nothing),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(said),
    ):
        code = cli.main(list(arguments))
    return code, said.getvalue()


def _into(folder: Path) -> list[str]:
    return [f"--trainer.default_root_dir={folder}"]


_STOPPING = {"monitor": "loss", "strict": False, "verbose": False}
_CONFIG = {
    "prompt": "a dog",
    "trainer": {
        "max_steps": 2,
        "logger": False,
        "accelerator": "cpu",
        "num_sanity_val_steps": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "callbacks": [
            {
                "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
                "init_args": {"save_last": True, "save_top_k": 0, "every_n_train_steps": 1},
            },
            {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": _STOPPING},
        ],
    },
}

TARGETS |= {"verb": Verbs, "stages": Stages, "sweep": Sweeps}
