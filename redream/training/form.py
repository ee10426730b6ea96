"""State that is read back has the form of the state that is written: checkpoints may hold anything.

What a checkpoint says is used long after it was read: a text where a count belongs would end a
run in the middle of a step, in a line about Python. So whatever takes state up compares it with
its own first.
"""

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

ADVICE = "take the config.yaml of its run, or the checkpoint before it (previous-...)"


def require_form(
    found: Any,  # noqa: ANN401
    own: Any,  # noqa: ANN401
    where: str,
    optional: Collection[str] = (),
) -> None:
    """Refuses state that could not have been written by what takes it up.

    Args:
        found: What a checkpoint holds.
        own: What would be written here and now. Tensors must have its shapes and kinds of numbers,
            and be finite; of plain values the type counts, and of lists the length.
        where: What it is, for the error: ``poses.marginals``.
        optional: Keys that may be missing, at any depth, and that may be there without being known.

    Raises:
        ValueError: If it is of another form; one line that names the entry.
    """
    fault = _fault(found, own)
    if fault is not None:
        raise ValueError(f"the checkpoint does not fit: {where} {fault}; {ADVICE}")
    if isinstance(own, dict):
        for key in sorted((own.keys() ^ found.keys()) - set(optional), key=str):
            fault = "is missing" if key in own else "is not known here"
            raise ValueError(f"the checkpoint does not fit: {where}.{key} {fault}; {ADVICE}")
        for key in own:
            if key in found:
                require_form(found[key], own[key], f"{where}.{key}", optional)
    elif isinstance(own, list | tuple):
        for index, (there, here) in enumerate(zip(found, own, strict=True)):
            require_form(there, here, f"{where}[{index}]", optional)


def require_tensors(found: Any, where: str) -> None:  # noqa: ANN401
    """Refuses state that is no table of named tensors, all of them finite.

    Raises:
        ValueError: If it is something else; one line that names the entry.
    """
    require_form(found, {}, where, found if isinstance(found, dict) else ())
    for name, tensor in found.items():
        like = tensor if isinstance(tensor, Tensor) else torch.ones(())
        fault = _fault_of_tensor(tensor, like)
        if not isinstance(name, str):
            fault = "has a name that is no text"
        if fault is not None:
            raise ValueError(f"the checkpoint does not fit: {where}.{name!s:.80} {fault}; {ADVICE}")


def _fault(found: Any, own: Any) -> str | None:  # noqa: ANN401
    """What is wrong with a value itself, without what it contains."""
    if isinstance(own, Tensor):
        return _fault_of_tensor(found, own)
    if own is None:
        return None if found is None or isinstance(found, bool) else "is no value that is left out"
    if isinstance(own, bool):
        return None if isinstance(found, bool) else "is neither true nor false"
    if isinstance(own, int | float):
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        return None if is_number and not math.isnan(found) else "is no number"
    if isinstance(own, dict):
        return None if isinstance(found, dict) else "is no table of entries"
    if isinstance(own, list | tuple):
        if not isinstance(found, list | tuple):
            return "is no list"
        return None if len(found) == len(own) else f"has {len(found)} parts and not {len(own)}"
    return None if isinstance(found, type(own)) else f"is no {type(own).__name__}"


def _fault_of_tensor(found: Any, own: Tensor) -> str | None:  # noqa: ANN401
    if not isinstance(found, Tensor):
        return "is no tensor there"
    if found.shape != own.shape:
        return f"has the shape {tuple(found.shape)} there and {tuple(own.shape)} here"
    if _kind(found) != _kind(own):
        return f"has numbers of the type {found.dtype} there and {own.dtype} here"
    if found.is_floating_point() and not torch.isfinite(found).all():
        return "is not finite there"
    return None


def _kind(tensor: Tensor) -> str:
    """Which numbers a tensor has, whatever their precision."""
    if tensor.dtype == torch.bool:
        return "bool"
    if tensor.is_complex():
        return "complex"
    return "float" if tensor.is_floating_point() else "integer"
