"""What a page may ask for: a configuration from there is a stranger's, and a name is only a name.

The command line already keeps a stranger's configuration from running anything. Two things that it
leaves to whoever reads the file first are refused here, since a page has no such reader: to say
where something is written, and to name a place outside of the folder that is worked in.
"""

import hashlib
import re
import secrets
from pathlib import Path
from typing import Any

from redream.plain_data import read_yaml

MAX_PROMPT = 400
"""Characters of a prompt."""
MAX_YAML = 20_000
"""Characters of the settings that are typed."""
MAX_UPLOAD = 128 << 20
"""Bytes of an uploaded file."""
UPLOADS = (".glb", ".obj", ".ply")
"""What may be uploaded as an asset."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""What may be uploaded as a picture of the object."""

REFUSED = {
    "add_file_policy", "base_url", "cache_dir", "ckpt_path", "command", "config_filename",
    "default_root_dir", "dir", "dirpath", "exclude_batches_path", "filename", "folder", "logger",
    "nvme_path", "profiler", "save_dir", "sub_dir", "tracking_uri",
}  # fmt: skip
"""Keys that say where something is written or sent, what is run, or what is gone on from."""

_OUTSIDE = re.compile(
    r"\s*(?:[/\\~]|[A-Za-z]:[/\\]|file:)|(?:^|.*[/\\])\.\.(?:[/\\].*|\s*)$", re.DOTALL
)


def require_prompt(text: str) -> str:
    """A prompt as it is handed on.

    Raises:
        ValueError: If there is none, it is too long or has characters that cannot be seen.
    """
    prompt = " ".join(text.split())
    if not prompt:
        raise ValueError('the prompt is empty: say what to make, as in "a striped dog"')
    if len(prompt) > MAX_PROMPT:
        raise ValueError(f"the prompt has {len(prompt)} characters; {MAX_PROMPT} are the most")
    if not prompt.isprintable():
        raise ValueError("the prompt has characters that cannot be seen: type it anew")
    return prompt


def require_settings(text: str) -> dict[str, Any]:
    """Settings that were typed on the page, as YAML.

    Returns:
        What they say; empty where they say nothing.

    Raises:
        ValueError: If they are no YAML, or ask for more than a stranger's may; one line.
    """
    if len(text) > MAX_YAML:
        raise ValueError(f"the settings have {len(text)} characters; {MAX_YAML} are the most")
    tree = read_yaml(text)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ValueError(
            "the settings are no keys with values: write as in `model: {num_particles: 1}`"
        )
    _require_inside("", tree)
    return tree


def _require_inside(where: str, value: Any) -> None:  # noqa: ANN401
    """Refuses keys and values that reach outside, at any depth, which has been bounded."""
    if isinstance(value, dict):
        for key, each in value.items():
            place = f"{where}.{key}" if where else str(key)
            for part in str(key).split("."):
                if part in REFUSED:
                    raise ValueError(
                        f"{place}: the page keeps a run's files in its own folder and sends "
                        "nothing anywhere, so this can be set on the command line only"
                    )
            _require_inside(place, each)
    elif isinstance(value, list | tuple | set):
        for number, each in enumerate(value):
            _require_inside(f"{where}[{number}]", each)
    elif isinstance(value, str) and _OUTSIDE.match(value):
        raise ValueError(
            f"{where}: {value[:60]!r} names a place outside of the folder that is worked in: start "
            "`redream ui` with a config of your own (--config) that names it"
        )


def inside(root: Path, name: str) -> Path:
    """The file or folder of a name below a folder, links followed.

    Args:
        root: The folder.
        name: Names apart by ``/``, from a stranger.

    Raises:
        ValueError: If it would lie outside, or begins with a dot.
    """
    parts = name.split("/")
    if any(not part or part.startswith(".") or "\\" in part or "\0" in part for part in parts):
        raise ValueError(f"there is nothing of the name {name[:80]!r}")
    place = root.joinpath(*parts).resolve()
    if not place.is_relative_to(root.resolve()):
        raise ValueError(f"there is nothing of the name {name[:80]!r}")
    return place


def slug(text: str) -> str:
    """A short name of plain letters for a folder; never empty, never hidden."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "run"


def keep_upload(source: Path, name: str, folder: Path, kinds: tuple[str, ...] = UPLOADS) -> Path:
    """Copies an uploaded file to where it stays, under a plain name.

    Args:
        source: Where the page's server has put it.
        name: What its owner calls it.
        folder: Where uploads are kept; one of the same content is there once.
        kinds: Endings that are taken.

    Raises:
        ValueError: If it is of another kind, empty or too large.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in kinds:
        raise ValueError(f"cannot take {Path(name).name[:80]!r}: use one of {', '.join(kinds)}")
    size = source.stat().st_size
    if not 0 < size <= MAX_UPLOAD:
        raise ValueError(f"the file has {size:,} bytes: 1 to {MAX_UPLOAD:,} are taken")
    content = source.read_bytes()
    place = folder / hashlib.sha256(content).hexdigest()[:16] / f"{slug(Path(name).stem)}{suffix}"
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{secrets.token_hex(4)}.part")
        part.write_bytes(content)
        part.replace(place)
    return place
