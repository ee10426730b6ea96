"""Looks for assets by the ordinary command, ``redream retrieve``, in a process of its own."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import redream
from redream.plain_data import read_json, read_yaml
from redream.ui import processes
from redream.ui.configs import Config, every_value
from redream.ui.safety import inside

LOOKS, SAID = ".looks", "said.txt"
_MANIFEST = "manifest.json"  # written last, with the hashes of an index's other files
_MOST_S = 300
_KEPT = 40  # looks whose pictures are kept


class Found(NamedTuple):
    """An asset that was found.

    Attributes:
        uid: Its name in its store; of an uploaded file its name below the folder of uploads.
        caption: What it shows.
        origin: ``library``, ``own`` or the name of a source.
        scores: How near it is to the prompt.
        license: A short code.
        author: Who made it.
        source: Where it is from.
        picture: Its picture below the output folder; empty where it cannot be shown.
    """

    uid: str
    caption: str
    origin: str
    scores: dict[str, float]
    license: str
    author: str
    source: str
    picture: str


class Looking:
    """Finds assets for a prompt, and remembers what it found as long as it is still so.

    Args:
        out: The output folder.
        started_in: Where the server was started.
    """

    def __init__(self, out: Path, started_in: Path) -> None:
        self.out, self.started_in = out, started_in
        self._one_at_a_time = threading.Lock()

    def look(self, prompt: str, config: Config, yaml: str, num: int) -> list[Found]:
        """The nearest assets of a prompt, best first.

        Args:
            prompt: What is looked for, checked.
            config: The preset's config, which says where assets come from.
            yaml: What was typed over it, checked.
            num: How many.

        Raises:
            ValueError: If the command line refuses; its own line.
        """
        key = json.dumps([prompt, self._content(config.files, yaml), yaml, num])
        return self._found(key, prompt, config.files, yaml, num)

    def look_at(self, name: str, uploads: Path, caption: str) -> Found:
        """An uploaded file as the ordinary loader sees it.

        Args:
            name: Its name below the folder of uploads.
            uploads: That folder.
            caption: What it shows.

        Raises:
            ValueError: If the loader refuses it; its own line.
        """
        file = inside(uploads, name)
        data = {"data": {"assets": [str(file)], "captions": [caption]}}
        (found,) = self._found(name + caption, caption, [], json.dumps(data), 1)
        if not found.picture:
            raise ValueError(f"{file.name} cannot be used: {self._why_not_shown(name + caption)}")
        return found._replace(uid=name)

    def _found(
        self, key: str, prompt: str, files: Sequence[Path], yaml: str, num: int
    ) -> list[Found]:
        folder = self._folder(key)
        with self._one_at_a_time:
            if not (folder / "found.json").is_file():
                self._retrieve(folder, prompt, files, yaml, num)
        found = read_json(folder / "found.json")
        return [_found_of(each, folder, place) for place, each in enumerate(found)]

    def _content(self, files: Sequence[Path], yaml: str) -> list[Any]:
        """What tells that configs, or what they name, have another content under the same names.

        An index is known by its manifest, any other file by itself, the embedded world by ReDream.
        """
        trees: list[Any] = [read_yaml(yaml)]
        for file in files:
            with suppress(OSError, ValueError):  # the command line says what is wrong
                trees.append(read_yaml(file))
        names = dict.fromkeys(value for _, value in every_value(trees) if isinstance(value, str))
        places = [self.started_in / os.path.expanduser(each) for each in names]
        named = [each for place in places for each in (place, place / _MANIFEST)]
        return [redream.__version__, *filter(None, map(_version, [*files, *named]))]

    def _folder(self, key: str) -> Path:
        return self.out / LOOKS / hashlib.sha256(key.encode()).hexdigest()[:16]

    def _why_not_shown(self, key: str) -> str:
        """What the loader said of the one asset of a look."""
        said = (self._folder(key) / SAID).read_text("utf-8", errors="replace").splitlines()
        lines = [each for each in said if each.startswith("no picture of ")]
        return lines[0].partition(": ")[2] if lines else "it cannot be shown"

    def _retrieve(
        self, folder: Path, prompt: str, files: Sequence[Path], yaml: str, num: int
    ) -> None:
        self._forget()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        typed = folder / "page.yaml"
        typed.write_text(yaml or "{}", "utf-8")
        configs = [f"--config={each}" for each in (*files, typed)]
        command = [*processes.PROGRAM, "retrieve", f"-k{num}", "--json", *configs]
        command += [f"--pictures={folder}", f"--out={folder / 'sheet.png'}", "--", prompt]
        try:
            done = subprocess.run(
                command,
                cwd=self.started_in,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},  # a GPU is a run's
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=_MOST_S,
            )
        except subprocess.TimeoutExpired:
            raise ValueError(f"nothing was found in {_MOST_S} seconds: try again") from None
        if done.returncode != 0:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it failed"]
            raise ValueError(lines[-1].removeprefix("redream: error: "))
        (folder / SAID).write_bytes(done.stderr)
        (folder / "found.part").write_bytes(done.stdout)
        (folder / "found.part").replace(folder / "found.json")

    def _forget(self) -> None:
        """Removes the pictures of all but the newest looks."""
        folder = self.out / LOOKS
        folder.mkdir(parents=True, exist_ok=True)
        looks = sorted(folder.iterdir(), key=lambda each: each.stat().st_mtime)
        for each in looks[: max(0, len(looks) - _KEPT)]:
            shutil.rmtree(each, ignore_errors=True)


def _version(path: Path) -> tuple[str, int, int] | None:
    """Name, time and size of a file; None where there is none."""
    try:
        seen = path.stat()
    except (OSError, ValueError):  # most values of a config are no names of files
        return None
    is_file = stat.S_ISREG(seen.st_mode)
    return (str(path), seen.st_mtime_ns, seen.st_size) if is_file else None


def _found_of(record: Any, folder: Path, place: int) -> Found:  # noqa: ANN401
    """What the command printed of an asset, and its picture where it could be shown."""
    texts = {name: str(record[name]) for name in Found._fields if name not in ("scores", "picture")}
    scores = {str(name): float(value) for name, value in record["scores"].items()}
    picture = folder / f"asset_{place}.png"
    shown = f"{LOOKS}/{folder.name}/{picture.name}" if picture.is_file() else ""
    return Found(**texts, scores=scores, picture=shown)
