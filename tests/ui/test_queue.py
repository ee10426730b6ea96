"""The queue, with real processes: one a device, and nothing is lost when the server is killed."""

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from ui_runs import asks, wait_until

from redream.status import LOCK
from redream.ui import pieces, processes
from redream.ui.jobs import read_job, write_job
from redream.ui.processes import is_alive, last_line
from redream.ui.runs import find_runs, read_run

# takes up the run of a folder, as `redream fit --ckpt_path last` does
TERMINAL = """
import os, sys, time
from pathlib import Path
from redream.locks import lock_alone
with lock_alone(Path(sys.argv[1]), waits=False) as is_alone:
    assert is_alone
    os.write(1, b".")
    time.sleep(60)
"""
WAITS = "import os, time; os.write(1, b'.'); time.sleep(60)"


def state(folder):
    return read_run(folder.parent, folder).state


def progress(folder):
    return pieces.progress(read_run(folder.parent, folder))


def test_runs_come_one_after_another(make_queue):
    queue = make_queue()
    first, second = queue.add(asks("a long dog")), queue.add(asks("a cat"))
    assert queue.places() == {first: 1, second: 2}
    queue.tick()
    wait_until(lambda: state(first) == "training")
    queue.tick()
    assert state(second) == "queued" and queue.places() == {second: 1}
    queue.stop(first)
    wait_until(lambda: state(first) == "stopped")
    queue.tick()
    wait_until(lambda: state(second) == "finished")
    assert "fit" in last_line(second) and "--prompt=a cat" in last_line(second)
    assert not is_alive(first) and not is_alive(second)


def test_each_device_has_a_run_of_its_own(make_queue):
    queue = make_queue(devices=("0", "1"))
    folders = [queue.add(asks("a long dog")) for _ in range(3)]
    wanted = queue.add(asks("a long cat", device="1"))
    queue.tick()
    wait_until(lambda: all(state(each) == "training" for each in folders[:2]))
    queue.tick()
    assert state(folders[2]) == state(wanted) == "queued"
    assert [last_line(each)[-4:] for each in folders[:2]] == ["on 0", "on 1"]
    queue.stop(folders[0])
    wait_until(lambda: state(folders[0]) == "stopped")
    queue.tick()
    wait_until(lambda: state(folders[2]) == "training")
    assert read_job(folders[2]).device == "0" and state(wanted) == "queued"


def test_a_run_outlives_its_server_and_the_next_server_knows_it(make_queue):
    killed = make_queue()
    first, second = killed.add(asks("a long dog")), killed.add(asks("a cat"))
    killed.tick()
    wait_until(lambda: state(first) == "training")
    server = make_queue()  # nothing is handed over but the folder
    server.tick()
    assert (state(first), state(second)) == ("training", "queued")
    server.stop(first)
    wait_until(lambda: state(first) == "stopped")
    server.tick()
    wait_until(lambda: state(second) == "finished")
    killed.tick()


def test_a_server_killed_as_it_starts_a_run_starts_it_once(make_queue):
    queue = make_queue()
    folder = queue.add(asks("a long dog"))
    queue.tick()
    wait_until(lambda: state(folder) == "training")
    path = folder / "job.json"  # as it was before the process's number was known
    path.write_text(json.dumps(json.loads(path.read_text()) | {"process": 0}))
    log = (folder / "log.txt").read_text()
    make_queue().tick()
    assert (folder / "log.txt").read_text() == log and state(folder) == "training"


def test_what_was_stopped_goes_on_or_is_finished(make_queue):
    queue = make_queue()
    folder = queue.add(asks("a long dog"))
    queue.tick()
    wait_until(lambda: state(folder) == "training")
    queue.resume(folder)  # at work: nothing happens
    queue.stop(folder)
    wait_until(lambda: state(folder) == "stopped")
    queue.resume(folder)
    assert state(folder) == "queued"
    queue.tick()
    wait_until(lambda: state(folder) == "finished")
    assert "--ckpt_path=last" in last_line(folder) and last_line(folder).startswith("fit ")
    queue.finish(folder)
    queue.tick()
    wait_until(lambda: last_line(folder).startswith("predict ") and state(folder) == "finished")


def test_stop_pressed_twice_saves_the_step_all_the_same(make_queue):
    """A double click, a second tab: asked twice, the run itself would leave at once."""
    queue = make_queue()
    folder = queue.add(asks("a long slow dog"))
    queue.tick()
    wait_until(lambda: state(folder) == "training")
    assert "stopping" not in progress(folder)
    queue.stop(folder)
    assert "<strong>stopping ...</strong>" in progress(folder)
    assert 'data-state="training"' in progress(folder) and "once more" not in progress(folder)
    make_queue().stop(folder)  # the server was started anew
    queue.stop(folder)
    (folder / "step_has_ended").touch()
    wait_until(lambda: state(folder) == "stopped")
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert "stopping" not in progress(folder)


def test_a_run_that_does_not_end_can_be_ended(make_queue, monkeypatch):
    queue = make_queue()
    folder = queue.add(asks("a long slow dog"))
    queue.tick()
    wait_until(lambda: state(folder) == "training")
    queue.stop(folder)
    monkeypatch.setattr(processes, "PATIENCE_S", 0.0)
    monkeypatch.setattr(pieces, "PATIENCE_S", 0.0)
    assert "Stop once more ends it at once" in progress(folder)
    queue.stop(folder)
    wait_until(lambda: state(folder) == "stopped")
    assert not (folder / "checkpoints").exists()


def test_what_waits_can_be_withdrawn_and_queued_again(make_queue):
    queue = make_queue()
    folder = queue.add(asks())
    queue.stop(folder)
    queue.tick()
    assert state(folder) == "withdrawn" and not (folder / "log.txt").exists()
    with pytest.raises(ValueError, match="nothing to finish"):
        queue.finish(folder)
    queue.resume(folder)
    queue.tick()
    wait_until(lambda: state(folder) == "finished")
    assert "--ckpt_path" not in last_line(folder)  # there was none to go on from


def test_why_a_run_failed_is_its_own_last_line(make_queue):
    queue = make_queue()
    folder = queue.add(asks("a bad dog"))
    queue.tick()
    wait_until(lambda: state(folder) == "failed")
    assert read_run(folder.parent, folder).error == "it is bad"


def test_a_run_that_was_killed_says_so(make_queue):
    queue = make_queue()
    folder = queue.add(asks("a long dog"))
    queue.tick()
    wait_until(lambda: state(folder) == "training")
    queue._children[0].kill()
    wait_until(lambda: state(folder) == "failed")
    assert "killed" in read_run(folder.parent, folder).error


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"yaml": "trainer: {default_root_dir: x}"}, "command line only"),
        ({"device": "7"}, "there is no device"),
        ({"own": ("0123/gone.glb",)}, "is gone: upload it again"),
        ({"own": ("../../x.glb",)}, "nothing of the name"),
        ({"formats": ("exe",)}, "formats are"),
        ({"chosen": ("x",) * 65}, "at most 64"),
    ],
)
def test_what_is_refused_leaves_nothing(make_queue, fields, said):
    queue = make_queue()
    with pytest.raises(ValueError, match=said):
        queue.add(asks(**fields))
    assert list(queue.out.iterdir()) == []


def test_settings_that_are_looked_at_too_long_are_refused_and_leave_nothing(
    make_queue, monkeypatch
):
    queue = make_queue()
    monkeypatch.setattr(processes, "PROGRAM", (sys.executable, "-c", "import time; time.sleep(60)"))
    monkeypatch.setattr("redream.ui.queue._CHECK_S", 0.05)
    with pytest.raises(ValueError, match="could not be looked at in 0.05 seconds: try again"):
        queue.add(asks(yaml="seed_everything: 1"))
    assert list(queue.out.iterdir()) == []


def test_a_preset_that_cannot_run_is_refused(make_queue):
    queue = make_queue()
    for name, said in (("poor", "needs a GPU"), ("none", "no preset 'none'")):
        with pytest.raises(ValueError, match=said):
            queue.add(asks().__class__("a dog", name, {}))


def test_a_stranger_s_job_runs_no_command_of_its_own(make_queue):
    """A folder from somebody else may say what it likes: commands are made, never read."""
    queue = make_queue()
    folder = queue.add(asks())
    kept = json.loads((folder / "job.json").read_text())
    for change in (
        {"options": ["--command=touch x"]},
        {"asked": kept["asked"] | {"yaml": "command: touch x"}},
        {"asked": kept["asked"] | {"settings": {"command": 1}}},
        {"asked": kept["asked"] | {"prompt": "a\x1bdog"}},
        {"verb": "sweep"},
        {"process": "1"},
        {"process": 1.5},
    ):
        (folder / "job.json").write_text(json.dumps(kept | change))
        queue.tick()
        assert read_job(folder) is None and not (folder / "log.txt").exists()


def test_where_no_lock_is_handed_on_a_run_is_known_by_its_process(make_queue, monkeypatch):
    """As on Windows: by its number and its birth, of which a later process has another."""
    monkeypatch.setattr(processes, "is_held", lambda path: False)
    queue = make_queue()
    first, second = queue.add(asks("a long dog")), queue.add(asks("a cat"))
    queue.tick()
    wait_until(lambda: state(first) == "training")
    other = make_queue()
    other.tick()
    assert (state(first), state(second)) == ("training", "queued")
    job = read_job(first)
    assert not is_alive(first, job.process, job.born - 1.0) and not is_alive(first, job.process)
    other.stop(first)
    wait_until(lambda: state(first) == "stopped")
    assert processes.birth_of(job.process) == 0.0  # though its server has not been told yet


def test_no_process_is_asked_to_leave_where_none_is_at_work(make_queue, monkeypatch):
    queue = make_queue()
    folder = queue.add(asks())
    queue.tick()
    wait_until(lambda: state(folder) == "finished")
    monkeypatch.setattr(processes.os, "kill", lambda *_: pytest.fail("a number of someone else's"))
    queue.stop(folder)


@contextmanager
def running(*words):
    """Another process; it has begun once it says a dot."""
    with subprocess.Popen([sys.executable, "-c", *words], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.read(1) == b"."
            yield process
        finally:
            process.kill()


def ended(queue):
    """A run of the page that has ended, whose number another process has got again."""
    folder = queue.add(asks())
    queue.tick()
    wait_until(lambda: state(folder) == "finished")
    queue.tick()
    return folder


@pytest.mark.parametrize("is_given_again", [True, False])
def test_a_run_that_a_terminal_took_up_is_asked_itself(make_queue, is_given_again):
    """The number that the page has kept is another's by now, or nobody's."""
    queue = make_queue()
    folder = ended(queue)
    job = read_job(folder)
    with running(TERMINAL, str(folder / LOCK)) as run, running(WAITS) as another:
        if is_given_again:
            write_job(job.changed(process=another.pid), folder)
        write_job(read_job(folder).changed(asked_to_stop=time.time()), folder)  # the one before
        assert "stopping" not in progress(folder)
        queue.stop(folder)
        assert run.wait(10) == -signal.SIGTERM
        assert another.poll() is None and read_job(folder).process == run.pid


def test_a_run_that_nobody_knows_the_process_of_is_not_said_to_be_stopped(make_queue):
    queue = make_queue()
    folder = ended(queue)
    nameless = TERMINAL.replace("os.write(1", "open(sys.argv[1], 'w').close(); os.write(1")
    with running(nameless, str(folder / LOCK)) as run, running(WAITS) as another:
        write_job(read_job(folder).changed(process=another.pid), folder)
        with pytest.raises(ValueError, match="cannot be stopped from here: end it where it was"):
            queue.stop(folder)
        assert run.poll() is None and another.poll() is None
        assert not read_job(folder).asked_to_stop


def test_runs_of_command_lines_are_listed_and_what_lies_inside_of_one_is_its_own(make_queue):
    out = make_queue().out
    made = out / "sweep" / "runs" / "a-dog-0"
    (made / "earlier" / "1").mkdir(parents=True)
    (made / "earlier" / "1" / "config.yaml").write_text("prompt: an older dog\n")
    (made / "config.yaml").write_text("seed: 1\nprompt: 'a <b>dog</b>'\n")
    (made / "report.html").write_text("")
    (made / "previews").mkdir()
    for step in (20, 100, 1_000_000, 999_999):
        (made / "previews" / f"step_{step:06d}.png").write_text("")
    for name in (".step_9999999.1-ab.part.png", "mine.png"):  # being written, and another's
        (made / "previews" / name).write_text("")
    for name in ("particle_0.glb", "particle_1.glb", "particle_0.obj", "turntable_0.mp4", "x.glb"):
        (made / name).write_text("")
    (out / ".looks" / "x").mkdir(parents=True)
    (out / ".looks" / "x" / "config.yaml").write_text("")
    (out / "link").symlink_to(made)
    (run,) = find_runs(out)
    assert (run.name, run.prompt, run.state) == ("sweep/runs/a-dog-0", "a <b>dog</b>", "finished")
    assert run.sheet == "previews/step_1000000.png" and "step 1,000,000<" in pieces.sheet(run)
    assert run.films == ["turntable_0.mp4"]
    assert run.glbs == ["particle_0.glb", "particle_1.glb"] and len(run.models) == 3
    assert run.job is None and run.measures == {}
