"""Who works alone: with processes that hold, wait, look and die."""

import errno
import os
import subprocess
import sys

import pytest

from redream import files, locks
from redream.locks import alone_in, is_held, lock_alone, owner_of, take

HOLDS = """
import sys, time
from pathlib import Path
from redream.locks import alone_in, lock_alone
place = Path(sys.argv[1])
with (alone_in(place) if place.is_dir() else lock_alone(place, False)) as held:
    print(held, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Starts processes that hold a file or a folder until they are killed."""
    started = []

    def start(place):
        command = [sys.executable, "-c", HOLDS, str(place)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline().strip() in ("True", "None")
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_file_is_held_by_one_and_says_by_whom(tmp_path, holder):
    path = tmp_path / ".lock"
    assert not is_held(path) and owner_of(path) == 0 and not path.exists()
    other = holder(path)
    assert is_held(path) and owner_of(path) == other.pid
    with lock_alone(path, waits=False) as is_alone:
        assert not is_alone
    assert owner_of(path) == other.pid  # who was refused has written nothing
    other.kill()
    other.wait()
    assert not is_held(path)
    with lock_alone(path, waits=True) as is_alone:
        assert is_alone and owner_of(path) == os.getpid() and is_held(path)
    assert not is_held(path)


def test_a_folder_is_held_without_a_file(tmp_path, holder):
    other = holder(tmp_path)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    assert not take(descriptor, waits=False)
    other.kill()
    with alone_in(tmp_path):  # it waits for a process that dies
        assert not take(descriptor, waits=False)
    assert take(descriptor, waits=False) and list(tmp_path.iterdir()) == []
    os.close(descriptor)


def test_where_folders_cannot_be_opened_a_file_in_it_is_held(tmp_path, monkeypatch):
    opened = os.open

    def as_windows(path, *flags):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "a folder", str(path))
        return opened(path, *flags)

    monkeypatch.setattr(locks.os, "open", as_windows)
    with alone_in(tmp_path):
        (beside,) = tmp_path.iterdir()
        assert beside.name.startswith(".") and is_held(beside)
    assert not is_held(beside)


def test_a_file_system_without_locks_lets_everybody_work(tmp_path, monkeypatch):
    def none(*_, **__):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(locks, "lock_descriptor", none)
    with (
        lock_alone(tmp_path / "a", waits=False) as first,
        lock_alone(tmp_path / "a", False) as other,
    ):
        assert first and other
    with alone_in(tmp_path):
        pass

    def broken(*_, **__):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(locks, "lock_descriptor", broken)
    with pytest.raises(OSError, match="broken"), lock_alone(tmp_path / "a", waits=True):
        pass


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "a").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(OSError), lock_alone(tmp_path / "link", waits=False):
        pass
    assert (tmp_path / "a").read_text() == "kept" and not is_held(tmp_path / "link")


def test_whoever_only_looks_hinders_nobody(tmp_path, monkeypatch):
    """A look has the lock for a moment; who wants it then asks once more."""
    path = tmp_path / "a"
    path.touch()
    looking = os.open(path, os.O_RDWR)
    assert take(looking, waits=False)
    monkeypatch.setattr(locks.time, "sleep", lambda _: os.close(looking))
    with lock_alone(path, waits=False) as is_alone:
        assert is_alone


def test_what_is_read_is_replaced_a_moment_later(tmp_path, monkeypatch):
    """Windows refuses to replace a file that somebody has open."""
    replace, refused = os.replace, []

    def as_windows(*names):
        if len(refused) < 3:
            refused.append(names)
            raise PermissionError(errno.EACCES, "in use")
        replace(*names)

    monkeypatch.setattr(files, "_IS_WINDOWS", True)
    monkeypatch.setattr(files.os, "replace", as_windows)
    monkeypatch.setattr(files.time, "sleep", lambda _: None)
    with files.whole_file(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a").read_text() == "new" and len(refused) == 3
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
