"""A few hundred spoilt inputs in each run of the tests; `make fuzz` reads ten thousand."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fuzzing
import targets
import verbs  # noqa: F401  (adds its targets)
from fuzzing import fuzz
from mutations import spoil_bytes, spoil_text, spoil_values
from targets import TARGETS, Target

NUM = {"captions": 80, "prompt": 20, "checkpoint": 80, "index": 60, "config": 6, "mesh": 60}
NUM |= {"verb": 8, "stages": 30, "sweep": 30}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("kind", NUM)
def test_spoilt_inputs_are_read_or_refused_in_one_line(kind, work, tmp_path):
    outcomes = list(fuzz(kind, range(NUM[kind]), work, tmp_path / "kept"))
    assert [each for each in outcomes if each.is_broken] == []
    assert len(outcomes) == NUM[kind]
    seen = {each.what for each in outcomes}
    assert seen == {"read", "refused"} or (
        kind in ("config", "verb") and seen <= {"read", "refused"}
    )


class Broken(Target):
    """Breaks every promise, one for each seed."""

    def spoil(self, chance, folder):
        (folder / "number").write_text(str(chance.random()))

    def read(self, folder):
        number = self.seeds[(folder / "number").read_text()]
        if number == 1:
            raise KeyError("a bug")
        if number == 2:
            raise ValueError("two\nlines")
        if number == 3:
            sys.exit(3)
        if number == 4:
            import os

            os.abort()
        if number == 5:
            raise OSError("refused")


def test_the_fuzzer_sees_what_is_broken_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setitem(TARGETS, "broken", Broken)
    Broken.seeds = {str(random.Random(f"broken-{n}").random()): n for n in range(7)}
    outcomes = list(fuzz("broken", range(7), tmp_path, tmp_path / "kept"))
    assert [each.what for each in outcomes] == [
        "read", "error", "lines", "error", "crash", "refused", "read",
    ]  # fmt: skip
    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert kept == {"broken-1", "broken-2", "broken-3", "broken-4"}
    assert "KeyError: 'a bug'" in (tmp_path / "kept/broken-1/WHAT_HAPPENED.txt").read_text()
    assert (tmp_path / "kept/broken-1/number").is_file()


def test_the_fuzzer_sees_memory_and_time(tmp_path, monkeypatch):
    monkeypatch.setitem(TARGETS, "broken", Broken)
    Broken.seeds = {str(random.Random(f"broken-{n}").random()): n for n in range(7)}
    monkeypatch.setattr(fuzzing, "MAX_BYTES", 1)
    assert [each.what for each in fuzz("broken", [0], tmp_path, tmp_path / "kept")] == ["memory"]
    monkeypatch.setattr(fuzzing, "MAX_BYTES", 1 << 40)
    monkeypatch.setattr(fuzzing, "MAX_SECONDS", -1.0)
    assert [each.what for each in fuzz("broken", [6], tmp_path, tmp_path / "kept")] == ["hang"]


def test_an_input_follows_from_its_seed():
    for spoil, good in (
        (spoil_bytes, bytes(range(256))),
        (spoil_text, "a golden elephant"),
        (spoil_values, {"a": [1, 2, {"b": "c"}]}),
    ):
        made = [repr(spoil(good, random.Random(seed))) for seed in (1, 1, 2, 3, 4, 5)]
        assert made[0] == made[1] and len(set(made)) > 3


def test_objaverse_is_started_from_where_it_is(work):
    start = targets.Meshes(work).files
    assert start and (not targets.OBJAVERSE.is_dir() or targets.OBJAVERSE in start[0].parents)
