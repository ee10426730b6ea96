"""What tests take of the processor, with the processes that they start, by file and by test.

``python benchmarks/tests.py tests/training`` runs these tests one after the other in this process,
passes on what pytest is given, and prints a table: the seconds, user and system, of each file and
of the tests that take most. What a fixture takes counts for the test that needs it first. Linux
only: the seconds are read from ``/proc``.
"""

import argparse
import os
import sys
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

PROC = Path("/proc")


def seconds_of(process: int) -> float:
    """What a process, those that it has waited for, and those that are there now have taken."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            children.setdefault(int(words[1]), []).append(int(folder.name))
            ticks[int(folder.name)] = sum(map(int, words[11:15]))
    total, waiting = 0, [process]
    while waiting:
        each = waiting.pop()
        total += ticks.get(each, 0)
        waiting += children.get(each, [])
    return total / os.sysconf("SC_CLK_TCK")


class Seconds:
    """A pytest plugin that notes what each test takes."""

    def __init__(self) -> None:
        self.taken: dict[str, float] = {}
        self._last = seconds_of(os.getpid())

    def pytest_collection_finish(self) -> None:
        """Notes what importing and collecting took."""
        self._note("collection")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Notes what a test took, its fixtures included."""
        done = yield
        self._note(item.nodeid)
        return done

    def _note(self, name: str) -> None:
        now = seconds_of(os.getpid())
        self.taken[name] = now - self._last
        self._last = now


def dearest_first(taken: Mapping[str, float]) -> list[tuple[str, float]]:
    """Names and seconds."""
    return sorted(taken.items(), key=lambda each: -each[1])


def table(taken: Mapping[str, float], num_tests: int) -> str:
    """Files and the tests that take most, the dearest first."""
    files: dict[str, float] = {}
    for name, seconds in taken.items():
        file = name.partition("::")[0]
        files[file] = files.get(file, 0.0) + seconds
    lines = ["| file | CPU s |", "|---|---|", f"| all | {sum(files.values()):.1f} |"]
    lines += [f"| `{name}` | {seconds:.1f} |" for name, seconds in dearest_first(files)]
    lines += ["", "| test | CPU s |", "|---|---|"]
    tests = dearest_first({name: each for name, each in taken.items() if "::" in name})
    lines += [f"| `{name}` | {seconds:.1f} |" for name, seconds in tests[:num_tests]]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=20, help="how many to list")
    options, given = parser.parse_known_args()
    if not (PROC / "self" / "stat").is_file():
        raise SystemExit("there is no /proc here: it takes Linux")
    plugin = Seconds()
    code = pytest.main(["-q", "-p", "no:xdist", *given], plugins=[plugin])
    print(table(plugin.taken, options.tests))
    sys.exit(code)


if __name__ == "__main__":
    main()
