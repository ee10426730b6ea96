"""Any outside generator by one line: a program in a process of its own writes a GLB."""

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path

from redream.escaping import on_one_line
from redream.signals import are_answered, signals_answered
from redream.sources.generator import Generator

PLACES = ("image", "prompt", "seed", "glb")
"""What a command may have between braces."""

_OURS = ("PYTHON", "VIRTUAL_ENV", "REDREAM_", "OMP_", "MKL_", "WARP_", "MPLCONFIGDIR")
"""Variables of this process's own Python and threads, which would mislead another program."""

_GUARD = Path(__file__).with_name("guard.py")
_LAST_WORDS = 4096  # bytes
_LARGE = 1 << 24  # bytes of a file, above which its content is not read


class Command(Generator):
    """A program that makes a mesh: ``trellis-cli --image {image} --out {glb}``.

    The line is split into words as a shell does, and then handed to the system without one: what
    is filled in stays within its word. The program runs in a session and a temporary folder of its
    own, in the user's environment without what belongs to ReDream's Python; when its time is over,
    or ReDream is told to stop, it is ended with all that it has started. On POSIX it is ended, too,
    where ReDream itself is killed.

    A command line is a program, so a configuration alone cannot have one run: ``redream`` lets it
    only if the same words were typed on its own command line. From Python, and from an installed
    plugin that brings its command, it runs.

    Args:
        command: The line. ``{glb}`` is the file that it has to write, ``{image}`` a PNG of the
            prompt, ``{prompt}`` and ``{seed}`` are themselves.
        license: Under which licence its meshes are; several generators forbid regions or trade.
        name: What to call it beside a result; the program's name by default.
        version: Its version, or that of its weights; by default a digest of the program's file, and
            of the scripts and other files that the line names by their full paths.
        timeout_s: Seconds that it may take for a mesh.
        may_run: Whether it may be run at all; else only meshes that are kept are given. The
            command line sets it.

    Raises:
        ValueError: If the line is empty, cannot be split, writes no ``{glb}`` or has other braces.
    """

    def __init__(
        self,
        command: str,
        license: str = "unknown",
        name: str | None = None,
        version: str | None = None,
        timeout_s: float = 1800.0,
        may_run: bool = True,
    ) -> None:
        self.command, self.words = command, split(command)
        if timeout_s <= 0.0:
            raise ValueError(f"timeout_s is {timeout_s}, and must be positive")
        self.license, self.timeout_s, self.may_run = license, timeout_s, may_run
        self.name = name or Path(self.words[0]).name
        self.needs_picture = any("{image}" in word for word in self.words)
        self._version = version

    @cached_property
    def version(self) -> str:
        """The stated version, or what tells the program's files from others."""
        if self._version is not None:
            return self._version
        program = shutil.which(self.words[0])
        if program is None:
            return "unknown version"
        digest = hashlib.sha256(Path(program).read_bytes())
        for word in self.words[1:]:
            if Path(word).is_absolute() and Path(word).is_file():
                digest.update(marks_of(Path(word)))
        return f"program {digest.hexdigest()[:12]}"

    @property
    def author(self) -> str:  # type: ignore[override]
        """Its name and version."""
        return f"{self.name} ({self.version})"

    def key(self) -> dict[str, object]:
        """The line and the version."""
        return {"command": self.words, "version": self.version}

    def lacks(self) -> list[str]:
        """The program, where it is not found."""
        if shutil.which(self.words[0]) is None:
            return [f"there is no program {self.words[0]} to be found: install it or give its path"]
        return []

    def generate(self, prompt: str, seed: int, path: Path, picture: Path | None = None) -> None:
        """Runs the program; see :meth:`Generator.generate`.

        Raises:
            ValueError: If it may not run, is missing, fails, takes too long or leaves no file.
        """
        if not self.may_run:
            raise ValueError(
                "its command stands in a config, which may be a stranger's: if you know it, type "
                f"it on the command line, too, and it runs: --command {shlex.quote(self.command)}"
            )
        for lacking in self.lacks():
            raise ValueError(lacking)
        stoppable = nullcontext() if are_answered() else signals_answered()
        with stoppable, tempfile.TemporaryDirectory(prefix="redream-generator-") as name:
            folder = Path(name)
            made = folder / "made.glb"
            values = {"prompt": prompt, "seed": str(seed), "glb": str(made)}
            if picture is not None:
                values["image"] = str(picture.resolve())
            self._run(fill(self.words, values), folder)
            if made.is_symlink() or not made.is_file():
                raise ValueError(f"{self.name} has ended well and left no file at {{glb}}")
            shutil.copyfile(made, path)

    def _run(self, words: list[str], folder: Path) -> None:
        """Runs words in a folder until they end, or their time does."""
        log, program = folder / "log.txt", shutil.which(words[0])
        assert program is not None  # nothing is lacking
        with log.open("wb") as output:
            process = subprocess.Popen(
                [os.path.abspath(program), *words[1:]],  # it starts in another folder than ours
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=outside_environment(),
                start_new_session=True,
            )
            try:
                with ended_with_us(process):
                    status = process.wait(self.timeout_s)
            except subprocess.TimeoutExpired:
                raise ValueError(
                    f"{self.name} took more than {self.timeout_s:g} s (timeout_s), and was ended"
                ) from None
            finally:
                end_all(process)
        if status != 0:
            how = f"failed with {status}" if status > 0 else f"was ended by {signal_name(-status)}"
            raise ValueError(f"{self.name} {how}: {last_words(log)}")


def split(command: str) -> list[str]:
    """The words of a command line, checked."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"the command {command!r} cannot be split into words: {error}") from error
    if not words:
        raise ValueError("the command is empty: name a program and what it is told")
    plain = list(words)
    for place in PLACES:
        plain = [word.replace(f"{{{place}}}", "") for word in plain]
    known = ", ".join(f"{{{place}}}" for place in PLACES)
    if any("{" in word or "}" in word for word in plain):
        raise ValueError(f"the command {command!r} has other braces than {known}")
    if not any("{glb}" in word for word in words):
        raise ValueError(f"the command {command!r} does not say where the mesh goes: write {{glb}}")
    if "{" in words[0]:
        raise ValueError(f"the command {command!r} must begin with a program")
    return words


def fill(words: list[str], values: dict[str, str]) -> list[str]:
    """Puts values into words, once: what a value says between braces stays as it is.

    Raises:
        ValueError: If a value would be a whole word that looks like an option, or has a NUL.
    """
    filled = []
    for word in words:
        parts, rest = [], word
        while rest:
            starts = {rest.find(f"{{{name}}}"): name for name in values}
            first = min((start for start in starts if start >= 0), default=-1)
            if first < 0:
                break
            name = starts[first]
            parts += [rest[:first], values[name]]
            rest = rest[first + len(name) + 2 :]
        done = "".join([*parts, rest])
        if "\0" in done or (done.startswith("-") and not word.startswith("-")):
            raise ValueError(f"the prompt {done!r} would be an option of the program: reword it")
        filled.append(done)
    return filled


def outside_environment() -> dict[str, str]:
    """The user's environment without what belongs to this process's Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def marks_of(path: Path) -> bytes:
    """What tells a file from another: its content, or of a large one, such as weights, its age."""
    facts = path.stat()
    if facts.st_size > _LARGE:
        return f"{facts.st_size} {facts.st_mtime_ns}".encode()
    return hashlib.sha256(path.read_bytes()).digest()


def signal_name(number: int) -> str:
    """``SIGKILL`` of 9, with what that often means."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} (too little memory?)" if name == "SIGKILL" else name


def end_all(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process and all that it has started in its session."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # all of them are gone
    elif process.poll() is None:
        process.kill()
    process.wait()


@contextmanager
def ended_with_us(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Has a process and its session ended should this process be killed meanwhile (POSIX)."""
    if not hasattr(os, "killpg"):
        yield
        return
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_GUARD), str(process.pid)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    with guard:  # which closes its pipe, and waits
        try:
            yield
        finally:
            guard.kill()  # before the pipe is closed, which would set it off


def last_words(log: Path) -> str:
    """The last line that a program has said."""
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _LAST_WORDS))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    return on_one_line(said[-1]) if said else "it said nothing"
