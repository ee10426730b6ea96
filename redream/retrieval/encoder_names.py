"""What tells one CLIP's vectors from another's: a digest of all the files that make them."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from redream.errors import first_line
from redream.plain_data import read_json

CONFIG = "open_clip_config.json"
_WEIGHTS = ("*.safetensors", "*.bin", "*.pth")  # open_clip takes the best-named of them
_TOKENIZER = ("*token*.json", "vocab*", "merges.txt", "*.model")


def name_of_folder(folder: Path) -> str:
    """Name of a local model: its folder's, and a digest of config, weights and tokenizer.

    Args:
        folder: A folder in open_clip's format.
    """
    config = folder / CONFIG
    patterns = _WEIGHTS + (_TOKENIZER if _has_tokenizer(config) else ())
    files = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    return f"{folder.resolve().name}@{_digest([config, *files])}"


def name_of_file(model: str, weights: Path) -> str:
    """Name of one of open_clip's models with a file of weights: both, and the file's digest.

    Args:
        model: The model's bare name.
        weights: The file.
    """
    return f"{model}/{weights.name}@{_digest([weights])}"


def name_of_repository(model: str, repository: str) -> str:
    """Name of a model of the hub: its id, and a digest of config and weights as they are there.

    They are downloaded first where they are not in the hub's cache.

    Args:
        model: What open_clip is told.
        repository: The id alone.

    Raises:
        ValueError: If the hub does not give them.
    """
    from open_clip.pretrained import download_pretrained_from_hf

    try:
        config = Path(download_pretrained_from_hf(repository, CONFIG))
        weights = Path(download_pretrained_from_hf(repository))
    except Exception as error:  # open_clip and the hub raise whatever they like
        raise ValueError(f"cannot load encoder {model}: {first_line(error)}") from error
    digest = hashlib.sha256(config.read_bytes() + _sha256(weights).encode())
    return f"{model}@{digest.hexdigest()[:12]}"


def _has_tokenizer(config: Path) -> bool:
    try:
        text = read_json(config.read_text("utf-8"))["model_cfg"]["text_cfg"]
        return bool(text.get("hf_tokenizer_name"))
    except (ValueError, KeyError, TypeError, AttributeError):  # open_clip will say what is wrong
        return False


def _sha256(path: Path) -> str:
    """A file's SHA-256; in the hub's cache a large file's own name is that."""
    stored = path.resolve().name
    return stored if re.fullmatch(r"[0-9a-f]{64}", stored) else _full_digest([path])


def _digest(paths: Iterable[Path]) -> str:
    return _full_digest(paths)[:12]


def _full_digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
