"""The queue's clock: a night's queue goes on, whatever a tick runs into."""

import errno
from itertools import count

import pytest
from ui_runs import asks, wait_until

from redream.ui import clock, jobs
from redream.ui.clock import ticking
from redream.ui.runs import read_run

_FULL = OSError(errno.ENOSPC, "no space left on device")


def state(folder):
    return read_run(folder.parent, folder).state


@pytest.fixture
def ticked(make_queue, monkeypatch):
    """A queue, and how many of its ticks have begun."""
    queue, numbers = make_queue(), count(1)
    queue.ticks, tick = 0, queue.tick

    def counted():
        queue.ticks = next(numbers)
        return tick()

    monkeypatch.setattr(queue, "tick", counted)
    return queue


def let_tick(queue, num=5):
    end = queue.ticks + num
    wait_until(lambda: queue.ticks >= end)


def test_an_output_folder_that_was_away_for_a_while(ticked, monkeypatch, capsys):
    folder, aside = ticked.add(asks()), ticked.out.with_name("aside")
    ticked.out.rename(aside)
    with ticking(ticked, 0.01):
        let_tick(ticked)
        assert ticked.places() == {}  # the page is shown all the same
        aside.rename(ticked.out)
        wait_until(lambda: state(folder) == "finished")
        said = capsys.readouterr().err
        assert said.startswith("redream: the queue: ") and str(ticked.out) in said
        assert said.count("\n") == 1
        monkeypatch.setattr(clock, "_AGAIN_S", 0.0)  # the next night
        ticked.out.rename(aside)
        let_tick(ticked)
        aside.rename(ticked.out)
    lines = capsys.readouterr().err.splitlines()
    assert lines and all(each.startswith("redream: the queue: ") for each in lines)
    assert all(str(ticked.out) in each for each in lines)


def test_a_job_is_written_where_it_is_and_makes_no_folder(ticked):
    """An output folder on a disk that is away would be made anew, and its own hidden for ever."""
    folder = ticked.add(asks())
    job, aside = jobs.read_job(folder), ticked.out.with_name("aside")
    ticked.out.rename(aside)
    with pytest.raises(FileNotFoundError):
        jobs.write_job(job, folder)
    assert not ticked.out.exists()


def test_a_folder_that_cannot_be_written_stops_no_other(ticked, monkeypatch, capsys):
    first, second, third = (ticked.add(asks()) for _ in range(3))
    full = {first, second}

    def write_job(job, folder):
        if folder in full:
            raise _FULL
        jobs.write_job(job, folder)

    monkeypatch.setattr("redream.ui.queue.write_job", write_job)
    with ticking(ticked, 0.01):
        wait_until(lambda: state(third) == "finished")
        let_tick(ticked)
        assert capsys.readouterr().err == (
            "redream: the queue: [Errno 28] no space left on device\n"
        )
        assert (state(first), state(second)) == ("queued", "queued")
        full.clear()
        wait_until(lambda: state(first) == state(second) == "finished")


def test_a_run_whose_number_could_not_be_kept_has_its_device(make_queue, monkeypatch):
    queue = make_queue()
    first, second = queue.add(asks("a long dog")), queue.add(asks())

    def write_job(job, folder):
        if job.process:
            raise _FULL
        jobs.write_job(job, folder)

    monkeypatch.setattr("redream.ui.queue.write_job", write_job)
    assert queue.tick() == [_FULL]
    queue.tick()
    wait_until(lambda: state(first) == "training")
    assert state(second) == "queued"


def test_a_fault_of_ours_ends_no_clock(ticked, monkeypatch, capsys):
    folder = ticked.add(asks())
    faulty = ["no key"]

    def jobs_of(queue):
        if faulty:
            raise KeyError(faulty[0])
        return found(queue)

    found = type(ticked)._jobs
    monkeypatch.setattr(type(ticked), "_jobs", jobs_of)
    with ticking(ticked, 0.01):
        let_tick(ticked)
        assert capsys.readouterr().err == "redream: the queue: KeyError: 'no key'\n"
        faulty.clear()
        wait_until(lambda: state(folder) == "finished")
