"""A job: what was asked for and what became of it, kept in the run's folder as ``job.json``.

The command is no part of it: it is made anew of what was asked for, which is checked whenever it is
read. So a folder from somebody else, with whatever in it, can have no other command run.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from redream.files import whole_file
from redream.plain_data import read_json
from redream.ui.asked import Asked, asked_of

JOB = "job.json"
STATES = ("queued", "started", "ended", "withdrawn")


@dataclass(frozen=True)
class Job:
    """A run of the page.

    Attributes:
        asked: What was asked for.
        state: ``queued``; ``started``; ``ended``, whatever became of it; or ``withdrawn`` from the
            queue.
        verb: What is run: ``fit``, or ``predict`` where only the export is missing.
        resumes: Whether it goes on from its last checkpoint.
        queued: When it was queued, in seconds since 1970.
        began: When its process was started; 0 before.
        device: The device that it was given; empty before.
        process: The number of its process, or of one that took it up and was stopped; 0 before.
        born: When that process began, in seconds since 1970; 0 before.
        asked_to_stop: When somebody asked it to stop, in seconds since 1970; 0 before.
    """

    asked: Asked
    state: str = "queued"
    verb: str = "fit"
    resumes: bool = False
    queued: float = 0.0
    began: float = 0.0
    device: str = ""
    process: int = 0
    born: float = 0.0
    asked_to_stop: float = 0.0

    def changed(self, **fields: Any) -> "Job":  # noqa: ANN401
        """The job with other fields."""
        return replace(self, **fields)


def write_job(job: Job, folder: Path) -> None:
    """Keeps a job, whole or not at all."""
    with whole_file(folder / JOB, makes_folder=False) as temporary:  # a disk may be away
        temporary.write_text(json.dumps(asdict(job), indent=2) + "\n", "utf-8")


def read_job(folder: Path) -> Job | None:
    """The job of a folder; None where there is none, or one that is damaged.

    The queue's clock looks at all jobs each second, so what has not changed is not read again.
    """
    path = folder / JOB
    try:
        seen = path.stat()
    except OSError:
        _READ.pop(path, None)
        return None
    version = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
    if path not in _READ or _READ[path][0] != version:
        _READ[path] = (version, _read(path))
    return _READ[path][1]


_READ: dict[Path, tuple[tuple[int, int, int], Job | None]] = {}


def _read(path: Path) -> Job | None:
    try:
        kept = read_json(path)
        job = Job(asked_of(kept.pop("asked")), **kept)
        sound = job.state in STATES and job.verb in ("fit", "predict")
        numbers = (job.queued, job.began, job.born, job.asked_to_stop)
        sound = sound and all(isinstance(each, int | float) for each in numbers)
        sound = sound and isinstance(job.process, int)
        return job if sound and isinstance(job.device, str) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
