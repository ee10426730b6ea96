"""A representation's penalties: each is computed when it is first asked for, or never."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor


class Penalties(Mapping[str, Tensor]):
    """Penalties by name, of which those with a weight of zero cost nothing.

    Args:
        terms: What computes each.
    """

    def __init__(self, terms: Mapping[str, Callable[[], Tensor]]) -> None:
        self._terms = dict(terms)
        self._values: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._values:
            self._values[name] = self._terms[name]()
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._terms)

    def __len__(self) -> int:
        return len(self._terms)


def mean_of(parts: Sequence[Mapping[str, Tensor]]) -> Penalties:
    """The means of the same penalties of several parts of a picture."""

    def mean(name: str) -> Tensor:
        return torch.stack([part[name] for part in parts]).mean()

    return Penalties({name: partial(mean, name) for name in parts[0]})
