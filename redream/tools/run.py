"""``redream fit | validate | test | predict``: a run, or runs in stages."""

from collections.abc import Sequence
from pathlib import Path

from redream.representations.checkpoint import config_of
from redream.startup import uncollected
from redream.tools.lightning import run
from redream.tools.staged_run import run_stages
from redream.tools.stages import read_stages


def main(verb: str, arguments: Sequence[str]) -> None:
    """Runs one of Lightning's four verbs.

    Args:
        verb: ``fit``, ``validate``, ``test`` or ``predict``.
        arguments: The command line after the verb.

    Raises:
        ValueError: If the command line or config is wrong; one line.
    """
    with uncollected():
        from redream.data import RetrievalDataModule
        from redream.method.module import ReDream

    command = read_stages(arguments) if verb == "fit" else None
    if command is None:
        run(ReDream, RetrievalDataModule, [verb, *_with_own_config(verb, arguments)])
        return
    run_stages(command, ReDream, RetrievalDataModule)


def _with_own_config(verb: str, arguments: Sequence[str]) -> list[str]:
    """A checkpoint brings the config of its run, unless another is given."""
    given = dict(zip(arguments, arguments[1:], strict=False))  # options written apart
    given |= dict(each.split("=", 1) for each in arguments if "=" in each)
    if verb == "fit" or {"--config", "-c"} & given.keys() or "--ckpt_path" not in given:
        return list(arguments)
    config = config_of(Path(given["--ckpt_path"]))
    if config is None:
        return list(arguments)
    # the run's folder is where its config lies, wherever it was when it was made
    own = [f"--config={config}", f"--trainer.default_root_dir={config.parent.absolute()}"]
    return [*own, *arguments]
