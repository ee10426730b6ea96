"""Spoils inputs and watches how they are read: no crash, no hang, no gigabytes, one-line errors.

    python tests/fuzz/fuzzing.py --inputs 10000        # make fuzz
    python tests/fuzz/fuzzing.py --target mesh --seed 12345 --inputs 1

Every input follows from its kind and seed. One that breaks a promise is written to a folder that
is named after both, with what happened; the inputs are read in processes of their own.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import verbs  # noqa: F401  (adds its targets)
from targets import TARGETS

MAX_SECONDS = 10.0  # of processor time
MAX_BYTES = 2 << 30
_PATIENCE_S = 600.0  # on the clock, where other programs have the processor
KEPT = Path("outputs/fuzz")


@dataclass(frozen=True)
class Outcome:
    """How an input was taken.

    Attributes:
        kind: Its target.
        seed: Its seed.
        what: ``read``, ``refused``, or how a promise was broken: ``crash``, ``hang``, ``memory``,
            ``error`` (neither ValueError nor OSError) or ``lines`` (an error of several).
        said: The error.
        seconds: Processor time.
    """

    kind: str
    seed: int
    what: str
    said: str = ""
    seconds: float = 0.0

    @property
    def is_broken(self) -> bool:
        """Whether a promise was broken."""
        return self.what not in ("read", "refused")


def fuzz(kind: str, seeds: Sequence[int], work: Path, kept: Path = KEPT) -> Iterator[Outcome]:
    """Reads one spoilt input for each seed.

    Args:
        kind: Name of a target.
        seeds: The seeds.
        work: A folder for the good inputs.
        kept: Where inputs that break a promise go.

    Yields:
        The outcomes, in the order of the seeds.
    """
    context = multiprocessing.get_context("fork")
    work.mkdir(parents=True, exist_ok=True)
    target = TARGETS[kind](work)
    waiting = list(seeds)
    while waiting:
        ours, theirs = context.Pipe()
        reader = context.Process(target=_read_all, args=(kind, target, waiting, theirs))
        reader.start()
        theirs.close()
        for outcome in _outcomes(kind, list(waiting), ours, reader):
            waiting.remove(outcome.seed)
            if outcome.is_broken:
                _keep(target, outcome, kept)
            yield outcome
        reader.join()


def _outcomes(
    kind: str, seeds: Sequence[int], ours: Connection, reader: multiprocessing.Process
) -> Iterator[Outcome]:
    """What a reading process reports, until it ends in any way."""
    for seed in seeds:
        if not _answers(ours, reader):
            reader.kill()
            yield Outcome(kind, seed, "hang", "no answer")
            return
        try:
            outcome: Outcome = ours.recv()
        except EOFError:
            reader.join()
            yield Outcome(kind, seed, "crash", f"the process ended with {reader.exitcode}")
            return
        yield outcome
        if outcome.what == "memory":  # the peak of a process never falls
            reader.kill()
            return


def _answers(ours: Connection, reader: multiprocessing.Process) -> bool:
    """Whether an answer comes before the process has used up its time."""
    start, used = time.monotonic(), _processor_time(reader.pid)
    while not ours.poll(1.0):
        if _processor_time(reader.pid) - used > MAX_SECONDS + 1.0:
            return False
        if time.monotonic() - start > _PATIENCE_S:
            return False
    return True


def _processor_time(pid: int | None) -> float:
    """Seconds of processor time of a process; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read_all(kind: str, target, seeds: Sequence[int], answers: Connection) -> None:
    """The life of a reading process."""
    torch.set_num_threads(1)  # a fork has none of its parent's threads, and would wait for them
    warnings.simplefilter("ignore")
    sys.stdout = sys.stderr = open("/dev/null", "w")  # noqa: SIM115
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            target.spoil(random.Random(f"{kind}-{seed}"), Path(folder))
            answers.send(_read(kind, target, seed, Path(folder)))


def _read(kind: str, target, seed: int, folder: Path) -> Outcome:
    what, said, start = "read", "", time.process_time()
    try:
        target.read(folder)
    except (ValueError, OSError) as error:
        said = str(error)
        what = "refused" if len(said.splitlines()) == 1 else "lines"
    except BaseException:
        what, said = "error", traceback.format_exc()
    seconds = time.process_time() - start
    if what in ("read", "refused") and seconds > MAX_SECONDS:
        what = "hang"
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10 > MAX_BYTES:
        what = "memory"
    return Outcome(kind, seed, what, said, seconds)


def _keep(target, outcome: Outcome, kept: Path) -> None:
    folder = kept / f"{outcome.kind}-{outcome.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    target.spoil(random.Random(f"{outcome.kind}-{outcome.seed}"), folder)
    (folder / "WHAT_HAPPENED.txt").write_text(
        f"{outcome.what} after {outcome.seconds:.1f} s\n{outcome.said}\n", errors="replace"
    )


def shares(num: int, kinds: Sequence[str]) -> dict[str, int]:
    """How many of at least ``num`` inputs each kind gets."""
    total = sum(TARGETS[kind].share for kind in kinds)
    return {kind: -(-num * TARGETS[kind].share // total) for kind in kinds}


def main() -> None:
    """Prints a table of outcomes; ends with 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--target", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--kept", type=Path, default=KEPT)
    parser.add_argument("--json", type=Path, help="also write the table there")
    options = parser.parse_args()
    kinds = list(TARGETS) if options.target == "all" else [options.target]
    rows, num_broken = [], 0
    with tempfile.TemporaryDirectory(prefix="fuzz-work-") as work:
        for kind, num in shares(options.inputs, kinds).items():
            counts, slowest = Counter(), 0.0
            seeds = range(options.seed, options.seed + num)
            for outcome in fuzz(kind, seeds, Path(work), options.kept):
                counts[outcome.what] += 1
                slowest = max(slowest, outcome.seconds)
                if outcome.is_broken:
                    last = (outcome.said.strip().splitlines() or [""])[-1][:160]
                    print(f"{kind}-{outcome.seed}: {outcome.what}: {last}", file=sys.stderr)
            good = counts["read"] + counts["refused"]
            num_broken += num - good
            row = {"input": kind, "tried": num, "read": counts["read"]}
            row |= {"refused": counts["refused"], "broken": num - good}
            rows.append(row | {"slowest_s": round(slowest, 2)})
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    print(f"{sum(row['tried'] for row in rows)} inputs, {num_broken} broke a promise")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(1 if num_broken else 0)


if __name__ == "__main__":
    main()
