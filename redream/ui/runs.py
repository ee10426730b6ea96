"""The runs below an output folder, those of command lines, too: what each made, where it is."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from redream.plain_data import read_json
from redream.status import RunStatus, read_status
from redream.ui import processes
from redream.ui.jobs import JOB, Job, read_job

MARKS = (JOB, "config.yaml", "report.html", "metrics.json", "status.json")
"""What makes a folder a run's."""
_DEPTH, _MOST = 4, 2000
_MODEL = re.compile(r"(particle|splats)_(\d+)\.(glb|obj|mtl|png|ply|usdz|spz)")
_SHEET = re.compile(r"step_\d+\.png")
_FILM = re.compile(r"turntable_(\d+)\.mp4")
SERVED = re.compile(
    r"(?:(?:particle|splats)_\d+(?:_\d+)?\.(?:glb|obj|mtl|png|ply|usdz|spz)|turntable_\d+\.mp4|"
    r"report\.html|attribution\.md|metrics\.json|config\.yaml|log\.txt|image_prompt\.png|"
    r"previews/step_\d+\.png|retrieval/asset_\d+\.png)"
)
"""What of a run may be looked at through the page: nothing else is ever sent."""

NAMES = {
    "queued": "waiting", "withdrawn": "withdrawn", "starting": "starting",
    "preparing": "preparing", "training": "working", "exporting": "writing the results",
    "finished": "finished", "stopped": "stopped", "failed": "failed",
}  # fmt: skip
"""States, and what people call them."""
ACTIVE = {"starting", "preparing", "training", "exporting"}


class Run(NamedTuple):
    """A run as the page shows it.

    Attributes:
        name: Its folder below the output folder, the parts apart by ``/``.
        folder: Its folder.
        prompt: What was asked for.
        state: One of :data:`NAMES`.
        status: What it last said; None where it has said nothing yet.
        error: Why it failed; empty where it did not.
        job: What was asked for on the page; None for a run of a command line.
        time: When it began, in seconds since 1970.
    """

    name: str
    folder: Path
    prompt: str
    state: str
    status: RunStatus | None
    error: str
    job: Job | None
    time: float

    @property
    def is_active(self) -> bool:
        """Whether its process is at work."""
        return self.state in ACTIVE

    @property
    def asked(self) -> float:
        """When whoever is at work was asked to leave, in seconds since 1970; 0 if it was not."""
        job = self.job
        if job is None or not (job.asked_to_stop and self.is_active):
            return 0.0
        return job.asked_to_stop if processes.is_the_same(job.process, job.born) else 0.0

    @property
    def sheet(self) -> str:
        """The newest contact sheet that is whole; empty where there is none."""
        names = [each for each in _names(self.folder / "previews") if _SHEET.fullmatch(each)]
        return f"previews/{max(names, key=step_of)}" if names else ""

    @property
    def models(self) -> list[str]:
        """The files of the models."""
        return sorted(each for each in _names(self.folder) if _MODEL.fullmatch(each))

    @property
    def films(self) -> list[str]:
        """The films, particle by particle."""
        return sorted(each for each in _names(self.folder) if _FILM.fullmatch(each))

    @property
    def glbs(self) -> list[str]:
        """The models that can be turned in the page, particle by particle."""
        return [each for each in self.models if re.fullmatch(r"particle_\d+\.glb", each)]

    @property
    def num_objects(self) -> int:
        """How many objects can be looked at: the numbers of models and films are theirs."""
        numbers = [re.search(r"_(\d+)", each) for each in (*self.glbs, *self.films)]
        return max((1 + int(each[1]) for each in numbers if each), default=0)

    @property
    def made(self) -> float:
        """When the newest of its models and films was written; 0 where there is none."""
        return max(
            (_changed(self.folder / each) for each in (*self.models, *self.films)), default=0.0
        )

    @property
    def address(self) -> str:
        """Its name in an address."""
        return quote(self.name)

    @property
    def measures(self) -> dict[str, Any]:
        """What it measured; empty where there is nothing that makes sense."""
        try:
            found = read_json(self.folder / "metrics.json")
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def credits(self) -> list[dict[str, str]]:
        """Whose assets it was made from, best first: caption, author, license, source, uid."""
        listed = self.measures.get("assets")
        names = ("uid", "caption", "author", "license", "source")
        return [
            {name: str(each.get(name, ""))[:300] for name in names}
            for each in (listed if isinstance(listed, list) else [])
            if isinstance(each, dict)
        ]

    def has(self, name: str) -> bool:
        """Whether it has made a file."""
        return (self.folder / name).is_file()


def read_run(out: Path, folder: Path) -> Run:
    """Looks at a run.

    Args:
        out: The output folder.
        folder: The run's, below it.
    """
    job, status = read_job(folder), read_status(folder)
    if job is not None and status is not None and status.time < job.began - 1.0:
        status = None  # of the time before
    state, error = _state(folder, job, status)
    prompt = job.asked.prompt if job else _prompt(folder)
    when = job.queued if job else _time(folder)
    name = folder.relative_to(out).as_posix()
    return Run(name, folder, prompt or name, state, status, error, job, when)


def find_runs(out: Path) -> list[Run]:
    """All runs below an output folder, the newest first; what lies within a run is its own."""
    found: list[Run] = []
    waiting = [(out, 0)]
    while waiting and len(found) < _MOST:
        folder, depth = waiting.pop()
        if folder != out and any((folder / mark).is_file() for mark in MARKS):
            found.append(read_run(out, folder))
        elif depth < _DEPTH:
            waiting += [(each, depth + 1) for each in _folders(folder)]
    return sorted(found, key=lambda run: -run.time)


def step_of(sheet: str) -> int:
    """After which step a contact sheet was made, by its name."""
    return int(sheet.rpartition("_")[2].removesuffix(".png"))


def _state(folder: Path, job: Job | None, status: RunStatus | None) -> tuple[str, str]:
    """Where a run is, and why it failed."""
    if job is not None and job.state in ("queued", "withdrawn"):
        return job.state, ""
    if processes.is_alive(folder, *((job.process, job.born) if job else ())):
        return (status.state, "") if status and status.state in ACTIVE else ("starting", "")
    if status is not None and status.state not in ACTIVE:
        return status.state, status.error
    if job is None and (folder / "report.html").is_file():
        return "finished", ""
    if job is None and status is None:
        return "stopped", ""
    line = processes.last_line(folder)
    if job is not None and job.asked_to_stop:
        return "stopped", ""
    if status is None and line.startswith("redream: error: "):
        return "failed", line.removeprefix("redream: error: ")
    return "failed", "it ended without a word: killed, or the computer was shut down"


def _prompt(folder: Path) -> str:
    """The prompt of a run that was not asked for on the page."""
    try:
        found = read_json(folder / "metrics.json")
    except (OSError, ValueError):
        found = None
    if isinstance(found, Mapping) and isinstance(found.get("prompt"), str):
        return str(found["prompt"])[:400]
    try:
        with (folder / "config.yaml").open(encoding="utf-8", errors="replace") as config:
            line = next((each for each in config if each.startswith("prompt: ")), "")
    except OSError:
        return ""
    return line.removeprefix("prompt: ").strip().strip("'\"")[:400]


def _time(folder: Path) -> float:
    return _changed(folder / "config.yaml") or _changed(folder)


def _changed(path: Path) -> float:
    """When a file was written; 0 where somebody has removed it meanwhile."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _names(folder: Path) -> list[str]:
    """What is in a folder of a run that is at work; of a file that is being written also a part."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [
                Path(each.path)
                for each in entries
                if each.is_dir(follow_symlinks=False) and not each.name.startswith(".")
            ]
    except OSError:
        return []
