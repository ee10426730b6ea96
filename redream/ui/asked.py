"""What somebody asks for on the page, and the ordinary command that makes it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from redream.ui.configs import Config
from redream.ui.safety import inside, require_prompt, require_settings

FORMATS = ("glb", "obj", "ply", "usd")


@dataclass(frozen=True)
class Setting:
    """One of the few settings that people change.

    Attributes:
        key: Its key in a config, and its option.
        title: What people call it.
        hint: What it does.
        low: The least value.
        high: The greatest that a page takes.
    """

    key: str
    title: str
    hint: str
    low: int
    high: int


SETTINGS = (
    Setting("trainer.max_steps", "Steps", "More take longer", 1, 100_000),
    Setting("model.num_particles", "Objects", "How many are made side by side", 1, 16),
    Setting("data.num_assets", "Assets", "How many are taken, unless you tick them", 1, 24),
    Setting("seed_everything", "Seed", "Another seed, another object", 0, 2**31 - 1),
)
"""The few settings that people change."""


@dataclass(frozen=True)
class Asked:
    """What is to be made; from a page, so that everything is checked.

    Attributes:
        prompt: What to make.
        preset: The name of a preset.
        settings: Of :data:`SETTINGS` those that are not the preset's, by key.
        yaml: Everything else.
        chosen: Uids of retrieved assets; none takes the nearest.
        own: Uploaded files, by their names below the folder of uploads.
        formats: What the models are written as; none leaves it to the preset.
        device: ``auto``, or the name of a device.
        picture: An uploaded picture of the object, by its name below the folder of uploads; empty
            where there is none.
    """

    prompt: str
    preset: str
    settings: Mapping[str, int]
    yaml: str = ""
    chosen: Sequence[str] = ()
    own: Sequence[str] = ()
    formats: Sequence[str] = ()
    device: str = "auto"
    picture: str = ""

    def as_json(self) -> str:
        """What is kept beside a run."""
        return json.dumps(asdict(self), indent=2) + "\n"


def asked_of(kept: Any) -> Asked:  # noqa: ANN401
    """What was kept, checked as if it were asked anew.

    Raises:
        ValueError: If it is not what :meth:`Asked.as_json` wrote.
    """
    if not isinstance(kept, dict):
        raise ValueError("there is nothing that was asked for")
    names = {"prompt": str, "preset": str, "settings": dict, "yaml": str, "device": str}
    names |= {"chosen": list, "own": list, "formats": list, "picture": str}
    kept = {"picture": ""} | kept  # which an older page did not know
    if set(kept) != set(names) or not all(
        isinstance(kept[key], kind) for key, kind in names.items()
    ):
        raise ValueError("what was asked for is damaged")
    return checked(Asked(**kept))


def checked(asked: Asked) -> Asked:
    """What is asked for, if a page may ask for it.

    Raises:
        ValueError: If it may not; one line.
    """
    require_settings(asked.yaml)
    known = {each.key: each for each in SETTINGS}
    for key, value in asked.settings.items():
        if key not in known:
            raise ValueError(f"there is no setting {key[:40]!r} on the page: write it as YAML")
        low, high = known[key].low, known[key].high
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{known[key].title} must be a whole number from {low} to {high:,}")
    if any(each not in FORMATS for each in asked.formats):
        raise ValueError(f"formats are {', '.join(FORMATS)}")
    assets = [*asked.chosen, *asked.own]
    words = [*assets, asked.picture]
    if len(assets) > 64 or any(not isinstance(each, str) or len(each) > 400 for each in words):
        raise ValueError("at most 64 assets can be chosen")
    if not isinstance(asked.device, str) or not asked.device.isalnum():
        raise ValueError("there is no such device")
    return Asked(
        require_prompt(asked.prompt),
        asked.preset,
        dict(asked.settings),
        asked.yaml,
        tuple(asked.chosen),
        tuple(asked.own),
        tuple(asked.formats),
        asked.device,
        asked.picture,
    )


def options_of(asked: Asked, config: Config, folder: Path, uploads: Path) -> list[str]:
    """The options of ``redream fit`` that make what is asked for.

    Args:
        asked: What is asked for, checked.
        config: Its preset's config.
        folder: The run's folder; the typed settings are written there.
        uploads: Where uploaded files are kept.

    Raises:
        ValueError: If an uploaded file is gone.
        OSError: If the settings cannot be written.
    """
    options = [f"--config={each}" for each in config.files]
    if asked.yaml.strip():
        typed = folder / "page.yaml"
        typed.write_text(asked.yaml, "utf-8")
        options.append(f"--config={typed}")
    options.append(f"--prompt={asked.prompt}")
    options += [f"--{key}={value}" for key, value in asked.settings.items()]
    if asked.own:
        files = [_uploaded(each, uploads) for each in asked.own]
        options.append(f"--data.assets={json.dumps([str(each) for each in files])}")
        options.append(f"--data.captions={json.dumps([asked.prompt] * len(files))}")
    if asked.chosen:
        options.append(f"--data.chosen={json.dumps(list(asked.chosen))}")
    if asked.picture:
        options.append(f"--data.image={_uploaded(asked.picture, uploads)}")
    if asked.formats:
        options.append(f"--export.formats={json.dumps(list(asked.formats))}")
    return [*options, f"--trainer.default_root_dir={folder}"]


def _uploaded(name: str, uploads: Path) -> Path:
    file = inside(uploads, name)
    if not file.is_file():
        raise ValueError(f"the uploaded file {file.name} is gone: upload it again")
    return file
