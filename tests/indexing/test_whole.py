"""No asset is lost: by another build of the same index, one beside it, or a broken shard."""

import errno
import json
import pickle
import subprocess
import sys
from contextlib import contextmanager
from itertools import islice

import numpy as np
import pytest
from comparing import same, shards
from toy_encoders import ColorEncoder

from redream import locks
from redream.indexing import IndexBuild, alone, build
from redream.indexing.alone import building_alone
from redream.retrieval import EmbeddingIndex
from redream.retrieval.verifying import verify_index
from redream.retrieval.writing import write_index
from redream.types import Asset

ASSETS = [Asset(uid, f"a {'red' if uid in 'aceg' else 'blue'} box") for uid in "abcdefgh"]
KILLED = """
import os, sys
from pathlib import Path
from redream.indexing.alone import building_alone
with building_alone(Path(sys.argv[1])):
    os._exit(3)
"""


def begin(out, encoder="colours", **options):
    """A build of texts, two a shard."""
    return IndexBuild(ASSETS, ColorEncoder(encoder), out, None, shard_size=2, **options)


def work(started, num=4):
    """Keeps the next shards."""
    for batch in islice(started.batches(), num):
        started.keep(started.embed(batch))
    return started


def uids(index):
    return [index.asset(row).uid for row in range(len(index))]


def write(path, num_rows=2):
    text = np.full((num_rows, 4), 0.5, np.float16)
    return write_index(path, ASSETS[:num_rows], text, None, {"name": "x", "init_args": {}})


def test_one_build_at_a_time_and_it_ends_in_whatever_way(tmp_path):
    out = tmp_path / "made" / "index"
    first = work(begin(out), 1)
    with pytest.raises(ValueError, match="another build of .*index is at work: wait for it"):
        begin(tmp_path / "made" / ".." / "made" / "index")
    begin(tmp_path / "made" / "index2").close()  # another index is another's
    first.close()
    second = work(begin(out), 1)
    assert len(second.pending) == 6 and len(shards(out)) == 2
    del first, second  # forgotten
    for _ in range(2):  # who was refused holds nothing
        with pytest.raises(ValueError, match="another encoder"):
            begin(out, "greys")


def test_a_build_that_was_killed_holds_nothing(tmp_path):
    out = tmp_path / "index"
    assert subprocess.run([sys.executable, "-c", KILLED, str(out)]).returncode == 3
    assert len(list(tmp_path.iterdir())) == 1  # its lock, which nobody has
    assert uids(work(begin(out)).assemble()) == list("abcdefgh")
    assert list(tmp_path.iterdir()) == [out]


def test_a_lock_that_was_removed_while_it_was_taken_is_none(tmp_path, monkeypatch):
    """A build may end between another's opening of the lock and its taking it."""
    plain, taken = alone.lock_alone, []

    @contextmanager
    def late(path, waits):
        with plain(path, waits) as is_alone:
            taken.append(path)
            if len(taken) == 1:
                path.unlink()
            yield is_alone

    monkeypatch.setattr(alone, "lock_alone", late)
    with building_alone(tmp_path / "index"):
        assert len(taken) == 2 and locks.is_held(taken[1])
        with pytest.raises(ValueError, match="at work"), building_alone(tmp_path / "index"):
            pass
    assert list(tmp_path.iterdir()) == []


def test_other_processes_of_a_build_neither_hold_nor_let_go_of_it(tmp_path):
    out = tmp_path / "index"
    first = work(begin(out), 1)
    sent = pickle.loads(pickle.dumps(first))
    work(sent, 2)
    other = begin(out, is_first=False)
    assert len(other.pending) == 4
    work(other)
    for each in (sent, other):
        each.close()
    with pytest.raises(ValueError, match="at work"):
        begin(out)
    assert uids(first.assemble()) == list("abcdefgh")


def test_another_process_than_the_first_changes_no_plan(tmp_path):
    first = begin(tmp_path / "index")
    begin(tmp_path / "index", "greys", is_first=False)
    plan = json.loads((first.unfinished / "plan.json").read_text())
    assert plan["encoder"] == first.encoder.name


def test_two_builds_at_once_without_locks_lose_nothing(tmp_path, monkeypatch):
    """Where the file system has no locks, both work; none writes an index with holes."""

    def none(*_, **__):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(locks, "lock_descriptor", none)
    out = tmp_path / "index"
    one = work(begin(out), 1)
    other = begin(out)
    assert len(other.pending) == 6
    batches = list(other.batches())
    other.keep(other.embed(batches[0]))
    truth = work(one).assemble()
    assert uids(truth) == list("abcdefgh")
    with pytest.raises(ValueError, match=r"\.index\.building is gone.*give the same command again"):
        other.keep(other.embed(batches[1]))
    with pytest.raises(ValueError, match="8 of 8 assets are in no finished shard"):
        other.assemble()
    third = begin(out)
    third.keep(third.embed(batches[1]))
    with pytest.raises(ValueError, match="6 of 8 assets are in no finished shard .*again"):
        third.assemble()
    assert uids(EmbeddingIndex.open(out)) == list("abcdefgh")  # the index before
    last = begin(out)
    assert len(last.pending) == 6
    np.testing.assert_array_equal(work(last).assemble().text, truth.text)


@pytest.mark.parametrize(
    ("name", "beside"),
    [("lib", "lib.v2"), ("lib", "lib.abcd1234"), ("lib.v2", "lib"), ("lib", "lib.writing")],
)
def test_an_index_leaves_the_unfinished_build_beside_it(tmp_path, name, beside):
    unfinished = work(begin(tmp_path / beside), 3)
    finished = shards(tmp_path / beside)
    write(tmp_path / name)
    assert shards(tmp_path / beside) == finished and len(finished) == 3
    work(unfinished)
    write(tmp_path / name, 3)
    assert uids(unfinished.assemble()) == list("abcdefgh")
    for each in (name, beside):
        verify_index(EmbeddingIndex.open(tmp_path / each))
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / name, tmp_path / beside])


@pytest.mark.parametrize("num_broken", [1, 4])
def test_a_shard_that_breaks_before_the_end_is_made_again(tmp_path, num_broken):
    truth = work(begin(tmp_path / "truth")).assemble()
    built = work(begin(tmp_path / "index"))
    for path in list(shards(tmp_path / "index"))[:num_broken]:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="is broken .* embedded again"):
        index = built.assemble()
    assert uids(index) == uids(truth) and index.manifest["left_out"] == {}
    np.testing.assert_array_equal(index.text, truth.text)
    verify_index(index)


def test_a_shard_that_breaks_is_made_again_with_its_pictures(boxes, tmp_path):
    from test_build import finish, render

    truth = finish(render(boxes, tmp_path / "truth"))
    built = render(boxes, tmp_path / "index")
    for batch in built.batches():
        built.keep(built.embed(batch))
    next(iter(shards(tmp_path / "index"))).write_bytes(b"cut")
    with pytest.warns(UserWarning, match="is broken"):
        same(built.assemble(), truth)


def test_a_shard_that_breaks_while_the_index_is_made_is_for_the_next_start(tmp_path, monkeypatch):
    out = tmp_path / "index"
    before = write(out)
    built = work(begin(out))
    plain = build.find_finished

    def and_cut(*arguments):
        found = plain(*arguments)
        next(iter(shards(out))).write_bytes(b"")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(build, "find_finished", and_cut)
        with (
            pytest.warns(UserWarning, match="is broken"),
            pytest.raises(ValueError, match="2 of 8 assets are in no finished shard"),
        ):
            built.assemble()
    assert uids(EmbeddingIndex.open(out)) == uids(before)
    again = begin(out)
    assert len(again.pending) == 2
    assert uids(work(again).assemble()) == list("abcdefgh")


def test_shards_without_a_plan_are_not_taken_for_another_encoders(tmp_path):
    """As a removal leaves them that was killed: nobody knows what made them."""
    out = tmp_path / "index"
    work(begin(out)).close()
    (tmp_path / ".index.building" / "plan.json").unlink()
    assert len(begin(out, "greys").pending) == 8
