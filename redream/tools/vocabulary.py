"""What a config may say: its keys, the classes it may name, and their constructor arguments."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints, is_typeddict

from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

from redream.plugins import Component, class_of


@dataclass(frozen=True)
class Vocabulary:
    """The right words, from which a misspelt one is answered.

    Attributes:
        keys: Dotted keys, such as ``model.num_particles``.
        classes: Names of classes: the components', then Lightning's callbacks and loggers.
        parameters: Constructor arguments of the components and of what they are made of.
        distant: Constructor arguments of Lightning's callbacks and loggers.
        broken: Components that cannot be used.
    """

    keys: Sequence[str]
    classes: Sequence[str]
    parameters: Sequence[str]
    distant: Sequence[str] = ()
    broken: Sequence[Component] = ()


def gather(core: Mapping[str, type], components: Sequence[Component]) -> Vocabulary:
    """Gathers the words from the signatures of the classes.

    Args:
        core: The classes behind the top-level keys ``trainer``, ``model`` and ``data``.
        components: What is installed.

    Returns:
        The vocabulary.
    """
    usable = [each for each in components if each.reason is None]
    ours = [class_of(each) for each in usable]
    lightning = [*_descendants(Callback), *_descendants(Logger)]
    roots = [each for key, each in core.items() if key != "trainer"]
    top_level = ["prompt", "config", "ckpt_path", "seed_everything", "stages", "stage", "command"]
    top_level += core
    keys = [f"{key}.{name}" for key, each in core.items() for name in _parameters(each)]
    return Vocabulary(
        keys=[*top_level, *keys],
        classes=[each.__name__ for each in [*ours, *lightning]],
        parameters=sorted(_reachable_parameters([*roots, *ours])),
        distant=sorted({name for each in lightning for name in _parameters(each)}),
        broken=[each for each in components if each.reason is not None],
    )


def _reachable_parameters(classes: Iterable[type]) -> set[str]:
    """Constructor arguments of classes and, through annotations, of what they are made of."""
    waiting, seen = list(classes), set[type]()
    names = set[str]()
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        names.update(_parameters(each))
        if not is_typeddict(each):
            waiting += _inherited(each)
        hints = get_type_hints(each if is_typeddict(each) else each.__init__)  # type: ignore[misc]
        waiting += [found for hint in hints.values() for found in _classes_in(hint)]
    return names


def _classes_in(annotation: Any) -> Iterable[type]:  # noqa: ANN401
    """The classes of this package that an annotation names."""
    if inspect.isclass(annotation) and annotation.__module__.startswith("redream."):
        yield annotation
    for argument in get_args(annotation):
        yield from _classes_in(argument)


def _descendants(base: type[Any]) -> Iterable[type[Any]]:
    for each in base.__subclasses__():
        yield each
        yield from _descendants(each)


def _parameters(each: type) -> list[str]:
    """What a class may be told: its constructor's arguments, or the keys of a dictionary of it."""
    if is_typeddict(each):
        return list(get_type_hints(each))
    own = [
        parameter.name
        for parameter in inspect.signature(each).parameters.values()
        if not parameter.name.startswith("_") and parameter.kind is not parameter.VAR_KEYWORD
    ]
    return [*own, *(name for base in _inherited(each) for name in _parameters(base))]


def _inherited(each: type) -> list[type]:
    """The class whose constructor takes what this one's hands on as ``**options``; or none."""
    parameters = inspect.signature(each).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return []
    ways = [base for base in each.__mro__ if "__init__" in vars(base)]
    return [base for base in ways[1:2] if base is not object]
