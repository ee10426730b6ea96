"""Checkpoints as authors publish them: one file with all networks, read without running code."""

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from redream.errors import first_line

_EMA = "model_ema."
_CHUNK = 1 << 24


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.pt``, ``.ckpt`` or ``.safetensors``; nothing in the file is run.

    Args:
        path: The file.

    Returns:
        The tensors by their names, mapped from the file and not copied where that can be. Averaged
        weights (EMA) are in the place of those that they are averages of.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or not without running what is in it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: give the checkpoint that its authors published")
    try:
        if path.suffix == ".safetensors":
            read: object = load_file(path)
        else:
            mapped = zipfile.is_zipfile(path)  # torch.save before 2020 wrote none
            read = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        if not _may_be_pickled(path):  # a page that a server sent, a pointer of Git LFS
            raise ValueError(f"{path} is no checkpoint: download it again") from error
        raise ValueError(
            f"{path} holds more than tensors, which may run code when it is read: save its "
            "state_dict alone with the tool that made it"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        said = first_line(error).partition(". ")[0].rstrip(".")
        raise ValueError(
            f"{path} is damaged or no checkpoint ({said}): download it again"
        ) from error
    while isinstance(read, Mapping) and isinstance(read.get("state_dict"), Mapping):
        read = read["state_dict"]
    named = read.items() if isinstance(read, Mapping) else ()
    tensors = {str(name): each for name, each in named if isinstance(each, Tensor)}
    if not tensors:
        raise ValueError(f"{path} holds no tensors by name: give a checkpoint of a whole model")
    return with_averages(tensors)


def _may_be_pickled(path: Path) -> bool:
    """Whether a file begins as ``torch.save``'s do: a zip archive, or a pickle since protocol 2."""
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def with_averages(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Takes the averaged weights that latent-diffusion keeps beside those that it trains."""
    averaged = {
        name: tensors[key]
        for name in tensors
        if (key := _EMA + "".join(name.split(".")[1:])) in tensors and name.startswith("model.")
    }
    kept = {name: each for name, each in tensors.items() if not name.startswith(_EMA)}
    return kept | averaged


def part_of(tensors: Mapping[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    """The tensors of one network, without the prefix that it has in the file."""
    return {
        name.removeprefix(prefix): each
        for prefix in prefixes
        for name, each in tensors.items()
        if name.startswith(prefix)
    }


def digest_of(path: Path) -> str:
    """SHA-256 of a file, by which one can tell which checkpoint a folder was made of."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
