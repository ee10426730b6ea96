"""A configuration names classes, and nothing else that could be called.

Where an argument is typed as a function, jsonargparse takes any function that it may import, calls
it with the arguments that stand beside it, or hands it on to be called. A class runs its
constructor, whose arguments are its documented configuration; a function may do anything. So what
was parsed is walked before anything is made of it, without exceptions: no configuration needs one.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Collection, Iterable, Iterator
from inspect import isclass
from typing import Any, get_args, get_type_hints, is_typeddict

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import CheckpointIO, LayerSync, Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from redream.plugins import Component, class_of

OF_LIGHTNING: tuple[type[Any], ...] = (
    Callback, Logger, Profiler, Strategy, Accelerator, Precision, CheckpointIO, ClusterEnvironment,
    LayerSync, LightningModule, LightningDataModule, Trainer, Optimizer, LRScheduler,
)  # fmt: skip
"""What Lightning's Trainer is made of, and PyTorch's optimisers."""


def require_classes(config: Any, bases: Collection[type]) -> None:  # noqa: ANN401
    """Refuses what was parsed where it names anything else than classes of expected kinds.

    Nothing is imported: jsonargparse has imported what the allowed names mean.

    Args:
        config: Namespaces, dictionaries, lists and plain values.
        bases: The kinds of classes that may be made.

    Raises:
        ValueError: If a ``class_path`` is no class of these kinds, or a value is a function, or
            anything else that can be called; one line that says where.
    """
    kinds = tuple(bases)
    for where, value in _values(config):
        if isinstance(value, _ClassPath):
            found = already_imported(value)
            if not (isclass(found) and issubclass(found, kinds)):
                raise ValueError(
                    f"{where}: {str(value)!r} may not be named in a config: it is no class of a "
                    "kind that a run is made of"
                )
        elif isinstance(value, os.PathLike):  # jsonargparse's own can be called, to be read
            continue
        elif callable(value) and not (isclass(value) and issubclass(value, kinds)):
            name = getattr(value, "__qualname__", type(value).__name__)
            raise ValueError(
                f"{where}: {name} may not be named in a config: it can be called, and a config "
                "names classes only (give functions from Python)"
            )


def expected_bases(core: Iterable[type], components: Iterable[Component]) -> set[type]:
    """The kinds of classes that a configuration makes.

    Args:
        core: The classes behind the parser's top-level keys.
        components: What is installed.

    Returns:
        Lightning's, and every class that is named in the signature of a constructor which can be
        reached: of the core, of the components, and of their and of Lightning's descendants here.
    """
    usable = [each for each in components if each.reason is None]
    ours = [class_of(each) for each in usable]
    packages = {"redream", *(each.__module__.split(".")[0] for each in [*ours, *core])}
    found, waiting = set(OF_LIGHTNING), [*core, *ours, *OF_LIGHTNING]
    seen = set[type]()
    while waiting:
        each = waiting.pop()
        if each in seen or is_typeddict(each):  # a dictionary is a plain value
            continue
        seen.add(each)
        is_ours = each.__module__.split(".")[0] in packages - {"lightning", "torch"}
        if is_ours:
            found.add(each)
            hints = get_type_hints(each.__init__)  # type: ignore[misc]
            named = [found for hint in hints.values() for found in _classes_in(hint)]
            waiting += [each for each in named if each.__module__.split(".")[0] in packages]
        waiting += each.__subclasses__()
    return found


class _ClassPath(str):
    """A text that jsonargparse will take for the name of what to call."""


def _values(config: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Every plain value with its place, and every ``class_path``; each container once."""
    waiting, seen = [("", config)], set[int]()
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, Namespace):
            value = vars(value)
        if not isinstance(value, dict | list | tuple | set | frozenset):
            yield where, value
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        if not isinstance(value, dict):
            waiting += [(f"{where}[{number}]", each) for number, each in enumerate(value)]
            continue
        for key, each in value.items():
            place = f"{where}.{key}" if where else str(key)
            if key == "class_path" and isinstance(each, str):
                yield where or place, _ClassPath(each)
            else:
                waiting.append((place, each))


def already_imported(path: str) -> Any:  # noqa: ANN401
    """What a dotted path means among the modules that are imported; None where it means nothing."""
    parts = path.split(".")
    for num in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:num]))
        if found is None:
            continue
        for name in parts[num:]:
            found = getattr(found, name, None)
        return found
    return None


def _classes_in(annotation: Any) -> Iterator[type]:  # noqa: ANN401
    """The classes that an annotation names, at any depth."""
    if isclass(annotation):
        yield annotation
    for argument in get_args(annotation):
        inside: Iterable[Any] = argument if isinstance(argument, list) else (argument,)
        for each in inside:
            yield from _classes_in(each)
