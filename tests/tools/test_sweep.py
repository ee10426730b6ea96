"""Many prompts: planned, made once, and there whatever is killed."""

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from waiting import wait_for

from redream import cli
from redream.locks import owner_of
from redream.tools import sweep_run
from redream.tools.sweep_results import Results
from redream.tools.sweep_run import LOCK, Run, RunFailed, make, plan, read_prompts

ROOT = Path(__file__).parents[2]
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: redream[ray]"
)


def test_prompts_are_lines(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\ufeffa dog\n\n# a cat\n  a car  \na dog\n", "utf-8")
    assert read_prompts(path) == ["a dog", "a car", "a dog"]
    path.write_text("# nothing\n")
    with pytest.raises(ValueError, match="has no prompt"):
        read_prompts(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="no text in UTF-8"):
        read_prompts(path)
    with pytest.raises(FileNotFoundError, match="no file of prompts"):
        read_prompts(tmp_path / "none.txt")


def test_each_prompt_and_seed_has_a_folder_that_only_they_decide(tmp_path):
    prompts = ["a dog", "A dog!", "\U0001f9a6", "../../etc/passwd", "x" * 10_000, "a dog"]
    runs = plan(prompts, 2, tmp_path, [])
    folders = [run.folder for run in runs]
    assert len(folders) == len(set(folders)) == 10
    assert all(folder.parent == tmp_path / "runs" and len(folder.name) < 60 for folder in folders)
    again = plan(prompts[::-1], 3, tmp_path, ["--other"])
    assert set(folders) < {run.folder for run in again}


@pytest.fixture
def fits(monkeypatch):
    """The commands that a run gives; each fit leaves a metric, or fails."""
    given, status = [], {"fit": 0}

    def command(arguments):
        given.append(arguments)
        folder = Path(arguments[arguments.index("--trainer.default_root_dir") + 1])
        print("fitting\n")
        (folder / "metrics.json").write_text(json.dumps({"clip": {"mean": 0.25}, "name": "x"}))
        return status["fit"]

    monkeypatch.setattr(sweep_run.cli, "main", command)
    return given, status


def test_a_run_is_made_once(tmp_path, fits):
    (run,) = plan(["a dog"], 1, tmp_path, ["--config", "c.yaml"])
    result = make(run)
    assert make(run) == result == run.result
    assert result["metrics"] == {"clip.mean": 0.25} and result["prompt"] == "a dog"
    ((verb, *options),) = fits[0]
    assert verb == "fit" and options[:2] == ["--config", "c.yaml"]
    assert "--prompt=a dog" in options and "--seed_everything=0" in options
    assert "--ckpt_path" not in options and run.last_line == "fitting"


def test_a_run_goes_on_from_its_checkpoint_if_that_can_be_read(tmp_path, fits):
    import torch

    whole, cut, torn = plan(["a dog"], 3, tmp_path, [])
    checkpoint = {"state_dict": {}, "global_step": 1, "optimizer_states": []}
    for run in (whole, cut, torn):
        path = run.folder / sweep_run.CHECKPOINT
        path.parent.mkdir(parents=True)
        torch.save(checkpoint, path)
    for run in (cut, torn):
        (run.folder / sweep_run.CHECKPOINT).write_bytes(b"cut short")
    previous = (torn.folder / sweep_run.CHECKPOINT).with_name("previous-last.ckpt")
    torch.save(checkpoint, previous)
    make(whole), make(cut)
    with pytest.warns(RuntimeWarning, match="last.ckpt is damaged: going on from .*previous-last"):
        make(torn)
    given = [(each[0], "--ckpt_path" in each) for each in fits[0]]
    both = [("fit", True), ("predict", True)]  # nothing was exported
    assert given == [*both, ("fit", False), *both]
    assert fits[0][-1][-1] == str(previous)
    assert "starting again" in (cut.folder / "log.txt").read_text()


def test_a_failed_run_says_why_and_is_made_again(tmp_path, fits):
    (run,) = plan(["a dog"], 1, tmp_path, [])
    fits[1]["fit"] = 2
    with pytest.raises(RunFailed, match="fitting"):
        make(run)
    assert run.result is None
    fits[1]["fit"] = 0
    assert make(run)["seed"] == 0


def test_who_comes_second_waits_and_finds_it_made(tmp_path, fits):
    (run,) = plan(["a dog"], 1, tmp_path, [])
    both = [threading.Thread(target=make, args=(run,)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(fits[0]) == 1


def test_results_are_one_table_and_one_page(tmp_path, fits):
    runs = plan(["a <b>dog</b> | cat", "a car"], 2, tmp_path, [])
    for run in runs[:2]:
        make(run)
    results = Results(runs, tmp_path)
    results.note(runs[2], "out of\nmemory")
    assert results.count == "2/4"
    results.write()
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["done", "done", "failed", "unfinished"]
    assert rows[0]["clip.mean"] == "0.25" and rows[2]["reason"] == "out of memory"
    table = (tmp_path / "results.md").read_text().splitlines()
    assert len(table) == 6 and "a \\<b\\>dog\\</b\\> \\| cat" in table[2]
    page = (tmp_path / "index.html").read_text()
    assert page.count("<article") == 4 and "<b>dog" not in page


def test_what_a_run_costs_does_not_grow_with_their_number(tmp_path, fits, monkeypatch):
    looked, plain = [], Run.result.fget
    monkeypatch.setattr(Run, "result", property(lambda run: looked.append(run) or plain(run)))
    for num in (2, 50):
        runs = plan(
            [f"a dog of size {number}" for number in range(num)], 1, tmp_path / str(num), []
        )
        results = Results(runs, tmp_path / str(num))
        make(runs[1])
        looked.clear()
        results.note(runs[1])
        assert looked == [runs[1]] and results.count == f"1/{num}"
    results.write()
    written = (results.out / "results.csv").stat().st_mtime_ns
    results._next = time.monotonic() + 100.0
    results.write_now_and_then()
    assert (results.out / "results.csv").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "3", "null", "{", "[" * 5000, '{"metrics": {}}',
        '{"metrics": [], "seconds": 1}', '{"metrics": {"a": "b"}, "seconds": 1}',
        '{"metrics": {}, "seconds": "1"}', '{"metrics": {"a": 1' + "0" * 400 + '}, "seconds": 1}',
    ],
)  # fmt: skip
def test_a_damaged_result_is_no_result_and_stops_no_table(text, tmp_path, fits):
    runs = plan(["a dog", "a cat"], 1, tmp_path, [])
    for run in runs:
        make(run)
    (runs[0].folder / "done.json").write_text(text)
    results = Results(runs, tmp_path)
    results.write()
    assert results.count == "1/2" and runs[0].result is None
    make(runs[0])
    assert Results(runs, tmp_path).count == "2/2"


@pytest.mark.parametrize("text", ["", "[", "[" * 5000])
def test_a_damaged_memory_of_a_sweep_is_said_in_a_line(text, tmp_path, capsys):
    (tmp_path / "p.txt").write_text("a dog\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sweep.json").write_text(text)
    options = ["--prompts", tmp_path / "p.txt", "--config", "configs/default.yaml"]
    command = ["sweep", *options, "--out", tmp_path / "out"]
    assert cli.main([str(each) for each in command]) == 2
    error = capsys.readouterr().err
    assert "sweep.json is damaged" in error and error.count("\n") == 1


def test_what_a_prompt_or_an_error_says_stays_text_in_the_tables(tmp_path, fits):
    runs = plan(["=1+1", "@SUM(A1) <img src=x>"], 1, tmp_path, [])
    results = Results(runs, tmp_path)
    results.note(runs[0], "\x1b[31m-1 | [a](b)")
    results.write()
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["prompt"][0] for row in rows] == ["'", "'"]
    for name in ("results.csv", "results.md", "index.html"):
        assert "\x1b" not in (tmp_path / name).read_text()
    table = (tmp_path / "results.md").read_text()
    assert "\\<img" in table and "\\[a\\](b)" in table and " \\| " in table


@pytest.mark.parametrize("name", ["log.txt", LOCK])
def test_a_link_is_not_followed_by_what_a_run_writes(name, tmp_path, fits):
    (run,) = plan(["a dog"], 1, tmp_path / "out", [])
    run.folder.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (run.folder / name).symlink_to(victim)
    with pytest.raises(OSError, match=name.replace(".", r"\.")):
        make(run)
    assert victim.read_text() == "kept"


def test_a_sweep_of_finished_runs_starts_nothing(tmp_path, fits, capsys):
    (tmp_path / "p.txt").write_text("a dog\n")
    (tmp_path / "c.yaml").write_text("")
    for run in plan(["a dog"], 2, tmp_path / "out", []):
        make(run)
    from redream.tools.sweep import main

    options = ["--prompts", tmp_path / "p.txt", "--config", tmp_path / "c.yaml", "--seeds", 2]
    command = [str(each) for each in [*options, "--out", tmp_path / "out"]]
    main("sweep", command)
    assert "2 runs in" in capsys.readouterr().out and (tmp_path / "out/index.html").is_file()
    main("sweep", command)
    with pytest.raises(ValueError, match="has a sweep of other options"):
        main("sweep", [*command, "--trainer.max_steps", "3"])
    (tmp_path / "c.yaml").write_text("prompt: a cat")
    with pytest.raises(ValueError, match="or another config"):
        main("sweep", command)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--prompts": "none.txt"}, "no file of prompts"),
        ({"--config": "none.yaml"}, "no config at"),
        ({"--seeds": "0"}, "--seeds and --cpus must be at least 1"),
    ],
)
def test_a_wrong_sweep_is_answered_in_one_line(change, said, tmp_path, capsys):
    (tmp_path / "p.txt").write_text("a dog\n")
    options = {"--prompts": tmp_path / "p.txt", "--config": "configs/default.yaml"} | change
    pairs = [str(each) for pair in options.items() for each in pair]
    assert cli.main(["sweep", *pairs, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


SMALL = """
trainer:
  max_steps: 6
  callbacks:
    - class_path: redream.callbacks.Progress
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args: {save_last: true, save_top_k: 0, every_n_train_steps: 1}
    - class_path: redream.callbacks.Export
      init_args: {num_frames: 8, frame_size: 32, surface_resolution: 16, texture_size: 32}
model: {num_particles: 1}
"""
PROMPTS = ("a golden elephant", "a striped dog", "a wooden chair")


def alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


STAND_IN = """
import os, time
from pathlib import Path
from redream.tools import sweep_run

def fit(arguments):
    "Twenty steps of a tenth of a second, each kept; goes on after the last one."
    prompt = next(each for each in arguments if each.startswith("--prompt="))
    folder = Path(arguments[arguments.index("--trainer.default_root_dir") + 1])
    with (folder / "starts").open("a") as file:
        file.write(f"{os.getpid()}\\n")
    steps = folder / "steps"
    while not steps.exists() or steps.stat().st_size < 20:
        with steps.open("a") as file:
            file.write(".")
        time.sleep(0.1)
        if "fails" in prompt:
            print("it is broken")
            return 2
    return 0

sweep_run.cli.main = fit
"""
"""Takes the place of ``redream fit`` in every process, the workers included."""


@pytest.fixture
def launch():
    """Starts a process that does not outlive the test."""
    started = []

    def _launch(command, **where):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([*map(str, command)], **pipes, **where))
        return started[-1]

    yield _launch
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def sweep(tmp_path, launch):
    """Starts sweeps whose runs take two seconds."""
    (tmp_path / "sitecustomize.py").write_text(STAND_IN)
    (tmp_path / "c.yaml").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    code = "import sys; from redream.tools.sweep import main; main('sweep', sys.argv[1:])"
    command = [sys.executable, "-c", code, "--prompts", tmp_path / "prompts.txt"]
    command += ["--config", tmp_path / "c.yaml", "--out", tmp_path / "out", "--workers", 2]

    def start(*prompts):
        (tmp_path / "prompts.txt").write_text("\n".join(prompts))
        return launch(command, env=environment, cwd=tmp_path)

    return start


def in_the_middle(out):
    """Process and folder of the runs that have begun and are not made."""
    found = []
    for folder in out.glob("runs/*"):
        steps, lock = folder / "steps", folder / LOCK
        if steps.exists() and not (folder / "done.json").exists():
            pid = owner_of(lock)
            if alive(pid) and 2 <= steps.stat().st_size < 15:
                found.append((pid, folder))
    return found


@needs_ray
def test_whatever_is_killed_every_prompt_is_there_once(sweep, tmp_path):
    prompts = [f"a dog of size {number}" for number in range(6)]
    out = tmp_path / "out"
    driver = sweep(*prompts)
    pid, folder = wait_for(lambda: in_the_middle(out), driver)[0]
    os.kill(pid, signal.SIGKILL)  # a worker in the middle: its run goes on in another
    wait_for(lambda: list(out.glob("runs/*/done.json")), driver)
    wait_for(lambda: in_the_middle(out), driver)
    driver.send_signal(signal.SIGTERM)  # the driver, by a scheduler
    errors = driver.communicate(timeout=300)[1]
    assert driver.returncode == 143, errors
    assert (out / "results.csv").read_text().count("a dog of size") == 6
    made = {each: each.stat().st_mtime_ns for each in out.glob("runs/*/done.json")}
    assert 1 <= len(made) < 6

    driver = sweep(*prompts)
    said, errors = driver.communicate(timeout=900)
    assert driver.returncode == 0, errors
    assert f"6 runs in {out}" in said
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["prompt"], row["state"]) for row in rows] == [(each, "done") for each in prompts]
    assert len(list(out.glob("runs/*"))) == 6
    assert len((folder / "starts").read_text().split()) >= 2
    for path in out.glob("runs/*/steps"):
        assert path.stat().st_size == 20  # nobody began again, and no two were at work at once
    for path, when in made.items():
        assert path.stat().st_mtime_ns == when  # what was made stays


@needs_ray
def test_a_failed_run_is_retried_and_reported_and_stops_no_other(sweep, tmp_path):
    driver = sweep("a cat that fails", "a dog")

    def dog():
        return [each for each in in_the_middle(tmp_path / "out") if "dog" in each[1].name]

    pid, folder = wait_for(dog, driver)[0]
    os.kill(pid, signal.SIGTERM)  # as a failure, Ray makes it again
    said, errors = driver.communicate(timeout=900)
    assert driver.returncode != 0
    assert "1 of 2 runs failed" in errors and "it is broken" in errors
    with (tmp_path / "out/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["failed", "done"]
    assert len((folder / "starts").read_text().split()) == 2
    assert (folder / "steps").stat().st_size == 20
    assert rows[0]["reason"] == "it is broken"
    (failed,) = (each.parent for each in tmp_path.glob("out/runs/a-cat*/starts"))
    assert len((failed / "starts").read_text().split()) == 3  # 1 + --retries


@needs_ray
@pytest.mark.slow
def test_real_runs_go_on_from_their_checkpoints(tmp_path, launch):
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    out = tmp_path / "out"
    cache = os.environ.get("REDREAM_CACHE", str(tmp_path / "cache"))
    environment = {**os.environ, "REDREAM_CACHE": cache}
    command = [sys.executable, "-m", "redream", "sweep", "--prompts", tmp_path / "prompts.txt"]
    command += ["--config", "configs/default.yaml", "--config", tmp_path / "small.yaml"]
    command += ["--out", out, "--workers", "2"]

    def at_work():
        """Process and folder of the runs that have a checkpoint and are not made."""
        folders = [each.parent.parent for each in out.glob("runs/*/checkpoints/last.ckpt")]
        owners = [(owner_of(each / LOCK), each) for each in folders]
        unmade = [found for found in owners if not (found[1] / "done.json").exists()]
        return [(pid, each) for pid, each in unmade if alive(pid)]

    driver = launch(command, env=environment, cwd=ROOT)
    pid, folder = wait_for(at_work, driver)[0]
    os.kill(pid, signal.SIGKILL)  # a worker in the middle: its run is made by another
    wait_for((folder / "done.json").is_file, driver)
    made = {each: each.stat().st_mtime_ns for each in out.glob("runs/*/done.json")}
    workers = [pid for pid, _ in at_work()]
    driver.kill()
    driver.communicate()
    end = time.monotonic() + 60
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.1)  # Ray lets nobody outlive the driver

    driver = launch(command, env=environment, cwd=ROOT)
    said, errors = driver.communicate(timeout=900)
    assert driver.returncode == 0, errors
    assert f"3 runs in {out}" in said
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["prompt"] for row in rows] == list(PROMPTS)
    assert {row["state"] for row in rows} == {"done"}
    assert len(list(out.glob("runs/*"))) == 3
    assert len(list(out.glob("runs/*/particle_0.glb"))) == 3
    for path, when in made.items():
        assert path.stat().st_mtime_ns == when  # what was made stays
