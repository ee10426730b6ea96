"""Makes a study: blind pairs of turntables in a static page, and the key that opens them."""

import json
import random
import secrets
import shutil
from collections import defaultdict
from collections.abc import Mapping
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from string import Template

from redream.files import whole_file
from redream.plain_data import read_json

KEY = "key.json"


def find_objects(folder: Path) -> dict[str, list[Path]]:
    """Finds the turntables below a folder, by prompt.

    Args:
        folder: Holds run folders at any depth: what has a ``metrics.json`` and a
            ``turntable_0.mp4``.

    Returns:
        For each prompt its films, in the order of their folders' names.

    Raises:
        FileNotFoundError: If there is none.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for metrics in sorted(folder.rglob("metrics.json")):
        film = metrics.with_name("turntable_0.mp4")
        if film.is_file():
            found[read_json(metrics.read_text("utf-8"))["prompt"]].append(film)
    if not found:
        raise FileNotFoundError(f"{folder} has no run with metrics.json and turntable_0.mp4")
    return dict(found)


def make_study(
    objects: Mapping[str, Mapping[str, list[Path]]],
    out: Path,
    question: str,
    repeats: int = 4,
    seed: int = 0,
) -> int:
    """Writes ``page/`` to be shown, and ``key.json`` to be kept.

    Every two methods are paired on every prompt that both have made, object by object. Films get
    random names; whose they are stands in the key alone. Who is left is drawn, each method equally
    often as far as that goes; each rater's page shuffles pairs and swaps half of them again.

    Args:
        objects: Each method's films by prompt.
        out: The study's folder, new or empty.
        question: What raters are asked.
        repeats: Pairs that each rater is asked again at the end, with sides swapped.
        seed: Draws the sides. Films' names are not drawn from it: they could be guessed.

    Returns:
        The number of pairs.

    Raises:
        ValueError: With fewer than two methods, or without a prompt in common.
        FileExistsError: If the folder is not empty: its answers would belong to another study.
    """
    if len(objects) < 2:
        raise ValueError("a study compares two methods or more: name each as METHOD=FOLDER")
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty: a study needs a new folder")
    names: dict[Path, str] = {}
    films: dict[str, dict[str, str]] = {}
    pairs, key_pairs = [], {}
    rng = random.Random(seed)
    for one, other in combinations(sorted(objects), 2):
        shared = [
            (prompt, *both)
            for prompt in objects[one]
            if prompt in objects[other]
            for both in zip(objects[one][prompt], objects[other][prompt], strict=False)
        ]
        swaps = [i % 2 == 1 for i in range(len(shared))]
        rng.shuffle(swaps)
        for (prompt, *both), swap in zip(shared, swaps, strict=True):
            for method, film in zip((one, other), both, strict=True):
                if film not in names:
                    names[film] = secrets.token_hex(8)
                    films[names[film]] = {"method": method, "prompt": prompt, "film": str(film)}
            left, right = (names[film] for film in (reversed(both) if swap else both))
            pair = f"pair-{secrets.token_hex(4)}"
            pairs.append({"pair": pair, "prompt": prompt, "left": left, "right": right})
            key_pairs[pair] = {"prompt": prompt, "films": sorted((left, right))}
    if not pairs:
        raise ValueError("the methods have no prompt in common")
    rng.shuffle(pairs)
    page = out / "page"
    (page / "films").mkdir(parents=True, exist_ok=True)
    for film, name in names.items():
        shutil.copyfile(film, page / "films" / f"{name}.mp4")
    study = {"question": question, "repeats": min(repeats, len(pairs)), "pairs": pairs}
    _write(page / "index.html", _html(study))
    key = {"question": question, "films": films, "pairs": key_pairs}
    _write(out / KEY, json.dumps(key, indent=2) + "\n")
    return len(pairs)


def _html(study: Mapping[str, object]) -> str:
    source = files("redream.tools") / "page"
    text = json.dumps(study).replace("<", "\\u003c")  # no prompt can close the script
    template = Template((source / "study.html").read_text("utf-8"))
    return template.substitute(study=text, script=(source / "study.js").read_text("utf-8"))


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
