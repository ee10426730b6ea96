"""The queue: one run at a time per device. It is what the folders say, so it survives a restart."""

import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from redream.plugins import one_line
from redream.ui import processes
from redream.ui.asked import Asked, checked, options_of
from redream.ui.configs import value_at
from redream.ui.jobs import Job, read_job, write_job
from redream.ui.presets import Device, Preset
from redream.ui.safety import require_settings, slug

UPLOADS = ".uploads"
_CHECK_S = 120  # at most, for the command line to say whether a config is right


class Queue:
    """The jobs of an output folder.

    Args:
        out: The output folder; a run is a folder in it.
        started_in: Where the server was started, which relative names in configs are relative to.
        presets: What can be chosen.
        devices: What can run a job.
    """

    def __init__(
        self, out: Path, started_in: Path, presets: Sequence[Preset], devices: Sequence[Device]
    ) -> None:
        self.out, self.started_in = out, started_in
        self.presets = {each.config.name: each for each in presets}
        self.devices = list(devices)
        self.uploads = out / UPLOADS
        self._changing = threading.Lock()
        self._children: list[subprocess.Popen[bytes]] = []

    def add(self, asked: Asked) -> Path:
        """Queues a run; where settings were typed, after the command line has found them right.

        Args:
            asked: What to make.

        Returns:
            The run's folder.

        Raises:
            ValueError: If it is wrong; the command line's own line.
            OSError: If its folder cannot be made.
        """
        asked = checked(asked)
        if asked.device not in ("auto", *(each.name for each in self.devices)):
            raise ValueError(f"there is no device {asked.device[:20]!r}")
        folder = self._new_folder(asked.prompt)
        try:
            options = self.options(asked, folder)
            if asked.yaml.strip():
                self.require_right(options)
            write_job(Job(asked, queued=time.time()), folder)
        except BaseException:  # whatever it was, nothing is left of it
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def options(self, asked: Asked, folder: Path) -> list[str]:
        """The options of ``redream fit`` for what is asked; what is typed is written down.

        Raises:
            ValueError: If its preset is not there, or cannot run here.
        """
        preset = self.presets.get(asked.preset)
        if preset is None:
            raise ValueError(f"there is no preset {asked.preset[:40]!r}")
        if preset.lacks:
            raise ValueError(f"{asked.preset} cannot run here: it {preset.lacks[0]}")
        has_picture = asked.picture or value_at(require_settings(asked.yaml), "data.image")
        if preset.picture == "needed" and not has_picture:
            raise ValueError(f"{asked.preset} needs a picture of the object: hand one in")
        if preset.picture == "none":
            asked = replace(asked, picture="")
        return options_of(asked, preset.config, folder, self.uploads)

    def require_right(self, options: Sequence[str]) -> None:
        """Asks the command line itself whether options are right; nothing is made or run.

        Raises:
            ValueError: If they are not: its own line.
        """
        command = [*processes.PROGRAM, "fit", *options, "--print_config"]
        try:
            done = subprocess.run(
                command,
                cwd=self.started_in,
                env=self._environment("cpu"),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=_CHECK_S,
            )
        except subprocess.TimeoutExpired:
            raise ValueError(
                f"the settings could not be looked at in {_CHECK_S} seconds: try again"
            ) from None
        if done.returncode != 0:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            said = [each for each in lines if each.startswith("redream: error: ")] or lines[-1:]
            raise ValueError(said[-1].removeprefix("redream: error: ") if said else "it is refused")

    def tick(self) -> list[OSError]:
        """Starts what is next on each device that is free; called now and then.

        Returns:
            What it ran into, such as a full disk; a folder's trouble is no other folder's.
        """
        with self._changing:
            self._children = [each for each in self._children if each.poll() is None]
            try:
                jobs = self._jobs()
            except OSError as error:  # the output folder is gone, or nobody may read it
                return [error]
            busy, met = set[str](), list[OSError]()
            for folder, job in jobs:
                try:
                    if job.state == "started" and self._is_alive(folder, job):
                        busy.add(job.device)
                    elif job.state == "started":
                        write_job(job.changed(state="ended"), folder)
                except OSError as error:
                    met.append(error)
            for folder, job in jobs:
                free = [each.name for each in self.devices if each.name not in busy]
                if job.state == "queued" and job.asked.device != "auto":
                    free = [each for each in free if each == job.asked.device]
                if job.state == "queued" and free:
                    try:
                        self._start(folder, job, free[0])
                    except OSError as error:
                        met.append(error)
                        if not processes.is_alive(folder):  # the device is the next one's
                            continue
                    busy.add(free[0])
            return met

    def stop(self, folder: Path) -> None:
        """Takes a run out of the queue, or asks it to save its step and leave.

        It is asked once: asked again, it leaves at once and saves nothing, so that is passed on
        only where it has been at it for a minute.

        Raises:
            ValueError: If it is at work and cannot be asked.
        """
        with self._changing:
            job = read_job(folder)
            if job is None:
                return
            if job.state == "queued":
                write_job(job.changed(state="withdrawn"), folder)
            elif self._is_alive(folder, job):
                self._ask_to_leave(folder, job)

    def resume(self, folder: Path) -> None:
        """Queues a run again, which then goes on from its last checkpoint."""
        self._again(folder, "fit")

    def finish(self, folder: Path) -> None:
        """Queues the export of what a run has made so far."""
        self._again(folder, "predict")

    def places(self) -> dict[Path, int]:
        """The queued runs with their places, 1 the next; none where the output folder is gone."""
        try:
            queued = [folder for folder, job in self._jobs() if job.state == "queued"]
        except OSError:
            return {}
        return {folder: place for place, folder in enumerate(queued, 1)}

    def _again(self, folder: Path, verb: str) -> None:
        with self._changing:
            job = read_job(folder)
            if job is None or job.state == "queued" or self._is_alive(folder, job):
                return
            has_begun = (folder / "checkpoints" / "last.ckpt").is_file()
            if verb == "predict" and not has_begun:
                raise ValueError("there is nothing to finish: no checkpoint was made")
            again = job.changed(state="queued", verb=verb, resumes=has_begun, queued=time.time())
            write_job(again.changed(asked_to_stop=0.0), folder)

    def _start(self, folder: Path, job: Job, device: str) -> None:
        """Starts a run; that it is started is kept first, so that nobody starts it twice."""
        started = job.changed(
            state="started", began=time.time(), device=device, process=0, born=0.0
        )
        write_job(started, folder)
        try:
            going_on = ["--ckpt_path=last"] if job.resumes or job.verb == "predict" else []
            command = [job.verb, *self.options(job.asked, folder), *going_on]
            child = processes.start(command, folder, self.started_in, self._environment(device))
        except BlockingIOError:  # somebody is at work there
            write_job(job, folder)
            return
        except (ValueError, OSError) as error:
            processes.write_log(folder, f"redream: error: {one_line(error)}")
            return
        self._children.append(child)
        born = processes.birth_of(child.pid)
        write_job(started.changed(process=child.pid, born=born), folder)

    @staticmethod
    def _ask_to_leave(folder: Path, job: Job) -> None:
        """Asks whoever is at work in a folder, the page's own process or one that took it up."""
        was_asked = job.asked_to_stop and processes.is_the_same(job.process, job.born)
        if was_asked and time.time() - job.asked_to_stop < processes.PATIENCE_S:
            return
        number = processes.process_of(folder, job.process, job.born)
        born = processes.birth_of(number)
        if number and processes.stop(number):
            asked = job.changed(process=number, born=born, asked_to_stop=time.time())
            write_job(asked, folder)
        elif processes.is_alive(folder, job.process, job.born):  # it has not ended meanwhile
            raise ValueError("it cannot be stopped from here: end it where it was started")

    @staticmethod
    def _is_alive(folder: Path, job: Job) -> bool:
        return processes.is_alive(folder, job.process, job.born)

    def _jobs(self) -> list[tuple[Path, Job]]:
        """All jobs, the first queued first."""
        folders = [each for each in self.out.iterdir() if each.is_dir() and not each.is_symlink()]
        found = [(folder, job) for folder in folders if (job := read_job(folder)) is not None]
        return sorted(found, key=lambda each: each[1].queued)

    def _environment(self, device: str) -> Mapping[str, str]:
        """A run's variables: it sees the device that it was given."""
        return {**os.environ, "CUDA_VISIBLE_DEVICES": "" if device == "cpu" else device}

    def _new_folder(self, prompt: str) -> Path:
        """A folder of its own for a run, named after the time and its prompt."""
        while True:
            stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
            folder = self.out / f"{slug(prompt)}-{stamp}-{secrets.token_hex(2)}"
            with suppress(FileExistsError):
                folder.mkdir(parents=True)
                return folder
