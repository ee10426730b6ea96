"""A representation's penalties: each is computed when it is first asked for, or never."""

from collections.abc import Callable, Iterator, Mapping

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
