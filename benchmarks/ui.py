"""What `redream ui` costs: CPU seconds until it answers, and its share of a core afterwards.

The first stand beside those of a bare `import gradio`; the second is while a page watches a run.

python -m benchmarks.ui
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from chromium import Browser, find_browser  # noqa: E402

from redream.locks import take  # noqa: E402

_ASKED = {
    "prompt": "a dog", "preset": "default", "settings": {}, "yaml": "", "chosen": [], "own": [],
    "formats": [], "device": "auto",
}  # fmt: skip


def main() -> None:
    """Starts a server, lets a page watch a run that says something each second, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=50, help="finished runs beside the one at work")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        for number in range(options.runs):
            make_run(out / f"run-{number}")
        make_run(out / "watched")
        began = time.time()
        command = [sys.executable, "-m", "redream", "ui", "--port", "0", "--out", str(out)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        answers = cpu_of(server.pid)
        print(f"it answers after {time.time() - began:.1f} s, {answers:.1f} s of CPU")
        before = os.times()
        subprocess.run([sys.executable, "-c", "import gradio"], check=True)
        after = os.times()
        gradio = sum(after[2:4]) - sum(before[2:4])
        print(f"of these {gradio:.1f} s are Gradio's import, and {answers - gradio:.1f} s are ours")
        browser = Browser(find_browser(), Path(folder) / "profile")
        try:
            browser.open(f"{url}?run=watched")
            browser.wait("document.body?.dataset.ready == 'yes'")
            watch(browser, out / "watched", server.pid, options.seconds)
        finally:
            browser.close()
            server.terminate()
            server.wait()


def watch(browser: Browser, run: Path, server: int, seconds: float) -> None:
    """Holds the run's log as a process of its own would, and counts."""
    with (run / "log.txt").open("w") as log:
        take(log.fileno(), waits=True)
        say(run, 0)
        browser.wait("!!document.querySelector('.rd-progress[data-state=training]')")
        before, began, step = cpu_of(server), time.monotonic(), 0
        while (gone := time.monotonic() - began) < seconds:
            step += 1
            say(run, step)
            if step % 10 == 0:
                Image.new("RGB", (768, 96)).save(run / "previews" / f"step_{step:06d}.png")
            browser.evaluate("1")
            time.sleep(1.0)
        used = cpu_of(server) - before
        print(f"{used:.2f} s of CPU in {gone:.0f} s: {100 * used / gone:.2f} % of a core")


def make_run(folder: Path) -> None:
    """A run's folder as the page leaves it."""
    (folder / "previews").mkdir(parents=True)
    job = {"asked": _ASKED, "state": "started", "queued": time.time(), "device": "cpu"}
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    say(folder, 100, "finished")


def say(folder: Path, step: int, state: str = "training") -> None:
    """Writes a status, as a run does."""
    losses = {"guidance": 1.0 / (1 + step), "warmup": 2.0, "sparsity": 0.5}
    now = {"state": state, "stage": "warm-up", "step": step, "steps": 350, "losses": losses}
    (folder / "status.part").write_text(json.dumps({**now, "time": time.time()}), "utf-8")
    (folder / "status.part").replace(folder / "status.json")


def cpu_of(process: int) -> float:
    """User and system seconds of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
