"""Rows of a mapped matrix: the same numbers, not the memory around them, and no killed process."""

import subprocess
import sys

import numpy as np
import pytest

from redream.retrieval.rows import Rows


def numbers_of(source, folder):
    """What a process of its own prints of 4096 rows of a kilobyte."""
    np.save(folder / "a.npy", np.ones((4096, 512), np.float16))
    done = subprocess.run(
        [sys.executable, "-c", source, str(folder / "a.npy")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return map(int, done.stdout.split())


@pytest.mark.parametrize("rows", [[], [0], [3, 1, 3], [999, 0, 500]])
def test_they_are_the_mappings_own(rows, tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((1000, 7)).astype(np.float16))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    chosen = np.array(rows, dtype=np.int64)
    found = Rows(mapped)[chosen]
    assert found.dtype == np.float16 and np.array_equal(found, mapped[chosen])
    assert np.array_equal(Rows(np.asarray(mapped).copy())[chosen], found)  # nothing is mapped
    np.save(tmp_path / "b.npy", np.asfortranarray(mapped))
    turned = np.load(tmp_path / "b.npy", mmap_mode="r")
    assert np.array_equal(Rows(turned)[chosen], found)
    single = Rows(mapped, np.float32)[chosen]
    assert single.dtype == np.float32 and np.array_equal(single, found)


@pytest.mark.parametrize(
    "part", [slice(None), slice(3, 3), slice(500, 1400), slice(-7, None), slice(9, 0, -2)]
)
def test_a_range_is_the_mappings_own(part, tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((1300, 3)).astype(np.float16))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert np.array_equal(Rows(mapped, np.float32)[part], mapped[part])


@pytest.mark.parametrize("rows", [[10], [0, -1]])
def test_a_row_that_is_not_there_is_no_other_one(rows, tmp_path):
    np.save(tmp_path / "a.npy", np.ones((10, 4)))
    with pytest.raises(IndexError):
        Rows(np.load(tmp_path / "a.npy", mmap_mode="r"))[np.array(rows)]


def test_systems_without_reads_at_a_place_seek_it(tmp_path, monkeypatch):
    monkeypatch.delattr("os.pread")
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((1300, 3)))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    for rows in (np.array([3, 1, 999]), slice(500, 1200)):
        assert np.array_equal(Rows(mapped)[rows], mapped[rows])


READ = """
import sys
import numpy as np
from redream.retrieval.rows import Rows

mapped = np.load(sys.argv[1], mmap_mode="r")
rows = Rows(mapped)
def bytes_read():
    with open("/proc/self/io") as file:
        return int(dict(line.split(": ") for line in file.read().splitlines())["rchar"])
before = bytes_read()
rows[np.arange(0, 4096, 64)]
print(bytes_read() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_a_row_is_read_without_its_neighbourhood(tmp_path):
    (read,) = numbers_of(READ, tmp_path)
    assert 64 * 1024 <= read < 64 * 1024 + 2048  # and what /proc itself says


@pytest.mark.parametrize("rows", [np.array([9]), slice(5, 10)])
def test_a_file_that_becomes_shorter_is_said_in_a_line(rows, tmp_path):
    """Whoever touches the mapping itself there is killed by SIGBUS."""
    np.save(tmp_path / "a.npy", np.ones((10, 4096), np.float32))
    read = Rows(np.load(tmp_path / "a.npy", mmap_mode="r"))
    assert read[rows].all()
    with (tmp_path / "a.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(OSError, match=r"a\.npy was cut short .*build the index again"):
        read[rows]


def test_a_file_that_is_replaced_meanwhile_stays_what_it_was(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((10, 4096), np.float32))
    read = Rows(np.load(tmp_path / "a.npy", mmap_mode="r"))
    np.save(tmp_path / "b.npy", np.zeros((1, 1), np.float32))
    (tmp_path / "b.npy").replace(tmp_path / "a.npy")
    assert read[np.array([0, 9])].all()


MEASURED = """
import sys
import numpy as np
from redream.retrieval.rows import Rows

def resident():
    # KB of all mappings of the file that this process has touched
    with open("/proc/self/smaps") as file:
        lines = file.read().splitlines()
    starts = [i for i, line in enumerate(lines) if line.endswith("a.npy")]
    sizes = [next(each for each in lines[at:] if each.startswith("Rss:")) for at in starts]
    return sum(int(each.split()[1]) for each in sizes)

mapped = np.load(sys.argv[1], mmap_mode="r")
some = np.arange(0, len(mapped), 16)
one = Rows(mapped)[some]
before = resident()
two = mapped[some]
assert np.array_equal(one, two)
print(before, resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_what_is_read_is_no_memory_of_this_process(tmp_path):
    by_file, by_mapping = numbers_of(MEASURED, tmp_path)
    assert by_file < 100 and by_mapping > 1000  # KB of 4096
