"""Which presets this computer cannot run: the command is asked, and nothing waits for it."""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from .job import environment


class Lacking:
    """An answer on its way: what the presets lack, by their names.

    Args:
        command: The program, with what comes before a verb.
        where: The folder that relative names in configs are meant from.
        environ: The variables of this program.
    """

    def __init__(self, command: Sequence[str], where: Path, environ: Mapping[str, str]) -> None:
        self._found: dict[str, str] = {}
        self._said = tempfile.TemporaryFile()  # a pipe could be full
        try:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                [*command, "presets", "--json"],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=subprocess.DEVNULL,
                env=environment(environ),
                cwd=where,
            )
        except OSError:
            self._process = None

    @property
    def is_known(self) -> bool:
        """Whether the answer has come, or none will."""
        self.now()
        return self._process is None

    def now(self) -> dict[str, str]:
        """What is known by now; an older ReDream knows no answer, and all presets are offered."""
        if self._process is not None and self._process.poll() is not None:
            self._said.seek(0)
            self._found = read_answer(self._said.read())
            self.end()
        return self._found

    def end(self) -> None:
        """Ends the asking."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._said.close()


def read_answer(said: bytes) -> dict[str, str]:
    """What the command has said, for the presets that lack something."""
    try:
        return {
            str(each["name"]): "; ".join(map(str, each["lacks"]))
            for each in json.loads(said)
            if each["lacks"]
        }
    except (ValueError, TypeError, KeyError):
        return {}
