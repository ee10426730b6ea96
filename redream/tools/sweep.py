"""``redream sweep``: many prompts on one computer or many, scheduled by Ray."""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from redream.escaping import on_one_line
from redream.files import whole_file
from redream.plain_data import read_json
from redream.signals import leave_if_asked
from redream.tools.arguments import ToolParser
from redream.tools.cluster import on_cluster, reason_of
from redream.tools.output import require_writable
from redream.tools.sweep_results import Results
from redream.tools.sweep_run import Run, make, plan, read_prompts

_REPORT_S = 15.0  # between two lines on what is running


def main(verb: str, arguments: Sequence[str]) -> None:
    """Makes every prompt with every seed, once; finished ones are kept.

    Args:
        verb: ``sweep``.
        arguments: The command line after the verb; what is not the sweep's own goes to
            ``redream fit``.

    Raises:
        ValueError: If the prompts are wrong, or some runs failed after all others were made.
        ImportError: If Ray is missing.
    """
    options, shared = _parser(verb).parse_known_args(arguments)
    if options.seeds < 1 or options.cpus < 1 or min(options.workers, options.retries) < 0:
        raise ValueError(
            "--seeds and --cpus must be at least 1, --workers and --retries not negative"
        )
    out = options.out.expanduser().absolute()
    require_writable(out)
    for config in options.config:
        if not config.is_file():
            raise FileNotFoundError(f"there is no config at {config}")
    configs = [["--config", str(config.absolute())] for config in options.config]
    everything = [*chain.from_iterable(configs), *shared]
    runs = plan(read_prompts(options.prompts), options.seeds, out, everything, Path.cwd())
    waiting = [run for run in runs if run.result is None]
    print(f"{len(runs)} runs in {out}, {len(runs) - len(waiting)} of them finished before")
    _remember(out, shared, options.config)
    results = Results(runs, out)
    if waiting:
        num_cpus = options.workers * options.cpus or None
        with on_cluster("a sweep", options.address, num_cpus) as ray:
            try:
                _drive(ray, options, waiting, results)
            finally:
                results.write()
    results.write()
    failures = results.failures
    print(f"{out / 'index.html'}")
    if failures:
        raise ValueError(
            f"{len(failures)} of {len(runs)} runs failed, see {out / 'results.md'}; the same "
            "command tries them again"
        )


def _remember(out: Path, shared: Sequence[str], configs: Sequence[Path]) -> None:
    """Keeps what a sweep is made with, so that one table does not mix what was made differently.

    Raises:
        ValueError: If the folder has a sweep of other options or other configs.
    """
    hashes = [hashlib.sha256(config.read_bytes()).hexdigest() for config in configs]
    made_with = {"options": list(shared), "configs": hashes}
    path = out / "sweep.json"
    if not path.is_file():
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(made_with, indent=2), "utf-8")
        return
    try:
        before = read_json(path)
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}): remove it, if the options and configs are the same"
        ) from error
    if before != made_with:
        raise ValueError(
            f"{out} has a sweep of other options or another config: give another --out, or remove "
            f"{path} to mix them"
        )


def _drive(
    ray: Any,  # noqa: ANN401
    options: argparse.Namespace,
    waiting: Sequence[Run],
    results: Results,
) -> None:
    """Hands all runs to Ray and tells what becomes of them.

    A process makes one run and ends, so no run inherits anything of another. Ray makes a run again
    whose process died or whose ``fit`` failed; it then goes on from its last checkpoint.
    """
    if options.gpus is None:
        options.gpus = min(1.0, ray.cluster_resources().get("GPU", 0.0))
    task = ray.remote(
        max_calls=1,
        max_retries=options.retries,
        retry_exceptions=True,
        num_cpus=options.cpus,
        num_gpus=options.gpus,
    )(make)
    pending = {task.remote(run): run for run in waiting}
    reported = time.monotonic()
    while pending:
        ready, _ = ray.wait(list(pending), timeout=1.0)
        leave_if_asked()
        for reference in ready:
            run = pending.pop(reference)
            named = f"{run.prompt!r}, seed {run.seed}"
            try:
                result = ray.get(reference)
                results.note(run)
                print(f"{results.count}: {named} made in {result['seconds']:.0f} s", flush=True)
            except Exception as error:  # whatever it died of, the others go on
                results.note(run, reason_of(error))
                print(f"{results.count}: {named} failed: {reason_of(error)}", file=sys.stderr)
            results.write_now_and_then()
        if pending and time.monotonic() - reported > _REPORT_S:
            reported = time.monotonic()
            for run in pending.values():
                if run.last_line:
                    said = on_one_line(run.last_line)
                    print(f"  {run.prompt!r}, seed {run.seed}: {said}", flush=True)


def _parser(verb: str) -> ToolParser:
    parser = ToolParser(
        prog=f"redream {verb}",
        description="Make every prompt of a file, with every seed, on Ray. Given again, the "
        "command keeps what is finished and goes on with the rest. Options that are not listed "
        "here are handed to `redream fit`.",
        allow_abbrev=False,
    )
    parser.add_argument("--prompts", metavar="FILE", type=Path, required=True, help="one a line")
    parser.add_argument(
        "--config", metavar="YAML", type=Path, action="append", required=True, help="as of `fit`"
    )
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="seeds 0 to N - 1")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("outputs/sweep"))
    parser.add_argument(
        "--address", help="of a Ray cluster to join, `auto` for a running one; else one is started"
    )
    parser.add_argument(
        "--workers", metavar="N", type=int, default=0, help="runs at once; by default what fits"
    )
    parser.add_argument("--cpus", type=int, default=1, help="of a run; default: %(default)s")
    parser.add_argument("--gpus", type=float, help="of a run; by default 1 where there are any")
    parser.add_argument(
        "--retries", metavar="N", type=int, default=2, help="of a failed run; default: %(default)s"
    )
    return parser
