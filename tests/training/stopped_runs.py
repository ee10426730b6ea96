"""Tiny runs of the command line that are told to stop, go on, and share folders.

Usage: python stopped_runs.py PRIOR FOLDER

One process imports everything and forks the runs; how each ended is in FOLDER/ended.json.
"""

import fcntl
import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch
import trimesh
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from killed_runs import config, imported_once  # noqa: E402

ENDED = {}


def command(name, root, *arguments, before=None, cwd=None):
    """Forks a run; its exit code and what it said are kept under a name."""
    log = root / f"{name}.log"
    process = os.fork()
    if not process:
        code = 1
        try:
            os.environ["REDREAM_CACHE"] = str(root / "cache")
            os.chdir(cwd or root)
            with log.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            from redream.cli import main

            if before is not None:
                before()
            code = main([str(each) for each in arguments])
        except SystemExit as leaving:
            code = leaving.code
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    _, status = os.waitpid(process, 0)
    ENDED[name] = {"status": os.waitstatus_to_exitcode(status), "said": log.read_text()}


def keep(name, root, out):
    """Notes what lies in a run's folder, and of which step and run its last checkpoint is."""
    last = out / "checkpoints" / "last.ckpt"
    state = torch.load(last, weights_only=True) if last.is_file() else {}
    files = [str(each.relative_to(out)) for each in sorted(out.rglob("*")) if each.is_file()]
    ENDED[name] |= {"files": files, "step": state.get("global_step"), "of": state.get("redream")}


def in_step(step, *numbers):
    """Sends signals to this process in the middle of a step."""

    def prepare():
        from redream.method.module import ReDream

        plain = ReDream.on_before_optimizer_step

        def guarded(module, optimizer):
            plain(module, optimizer)
            if module.global_step == step:
                for number in numbers:
                    os.kill(os.getpid(), number)

        ReDream.on_before_optimizer_step = guarded

    return prepare


def in_the_export():
    """Sends SIGTERM as the second model is about to take its name."""
    plain = os.replace

    def replace(source, target):
        if Path(target).name == "particle_1.glb":
            os.kill(os.getpid(), signal.SIGTERM)
        plain(source, target)

    os.replace = replace


def main():
    prior, root = map(Path, sys.argv[1:])
    trimesh.creation.box((0.8, 1.0, 1.4)).export(root / "box.glb")
    small = config(prior, Path("box.glb"))  # relative to where the runs start
    small["trainer"] |= {"max_steps": 4}
    small["data"]["references"]["init_args"]["num_views"] = 4  # fewer than are held out of ten
    (root / "tiny.yaml").write_text(yaml.safe_dump(small))
    imported_once()
    fit = ["fit", "--config=tiny.yaml", "--trainer.accelerator=cpu"]

    def into(name, *more):
        return [*fit, f"--trainer.default_root_dir=out/{name}", *more]

    out = root / "out" / "a"
    command("term", root, *into("a"), before=in_step(2, signal.SIGTERM))
    keep("term", root, out)
    command("on", root, *into("a", "--ckpt_path=last"), before=in_the_export)
    keep("on", root, out)
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    checkpoint = out / "checkpoints" / "last.ckpt"
    command("predict", root, "predict", "--ckpt_path", checkpoint, cwd=elsewhere)
    keep("predict", root, out)
    ENDED["predict"]["elsewhere"] = [each.name for each in elsewhere.iterdir()]
    command("other", root, *into("a", "--ckpt_path=last", "--prompt=a chair"))
    command("other predict", root, "predict", "--ckpt_path", checkpoint, "--prompt=a chair")
    victim = root / "victim.txt"
    victim.write_text("kept")
    (out / "config.yaml").unlink()
    (out / "config.yaml").symlink_to(victim)
    command("second", root, *into("a", "--prompt=a chair"), before=in_step(2, signal.SIGHUP))
    keep("second", root, out)
    ENDED["second"]["victim"] = victim.read_text()
    checkpoint.unlink()
    command("lost", root, *into("a", "--ckpt_path=last", "--prompt=a chair"))
    keep("lost", root, out)
    command("twice", root, *into("b"), before=in_step(1, signal.SIGINT, signal.SIGINT))
    keep("twice", root, root / "out" / "b")
    with (root / "out" / "b" / ".run.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command("both", root, *into("b"))
    (root / "out" / "c").mkdir()
    (root / "out" / "c" / "checkpoints").symlink_to(root / "out" / "b")
    command("linked", root, *into("c"))
    spoil(root, checkpoint)
    (root / "ended.json").write_text(json.dumps(ENDED))


def spoil(root, checkpoint):
    """Goes on from checkpoints whose state is another's, each of which must be one line."""
    good = torch.load(checkpoint, weights_only=True)
    export = next(name for name in good["callbacks"] if name.startswith("Export"))
    faults = {
        "a text for a callback": {"callbacks": good["callbacks"] | {export: "x"}},
        "callbacks as a list": {"callbacks": []},
        "loops as a list": {"loops": [1]},
        "no version": {"pytorch-lightning_version": None},
        "an old version": {"pytorch-lightning_version": "0.1.0", "loops": None},
        "a text for the optimiser": {"optimizer_states": ["x"]},
        "no tensors": {"state_dict": dict.fromkeys(good["state_dict"], 3)},
        "another origin": {"redream": ["x"]},
    }
    verbs = {"fit": ["fit", "--config=tiny.yaml", "--trainer.accelerator=cpu", "--prompt=a chair"]}
    verbs["predict"] = ["predict", "--config=tiny.yaml", "--prompt=a chair"]
    for name, fault in faults.items():
        spoilt = {key: each for key, each in (good | fault).items() if each is not None}
        path = root / "spoilt" / "last.ckpt"
        path.parent.mkdir(exist_ok=True)
        torch.save(spoilt, path)
        verb = "predict" if name in ("no tensors", "another origin") else "fit"
        more = ["--ckpt_path", path, "--trainer.default_root_dir=out/d", "--trainer.max_steps=4"]
        command(f"spoilt: {name}", root, *verbs[verb], *more)


if __name__ == "__main__":
    main()
