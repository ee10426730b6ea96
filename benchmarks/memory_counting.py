"""Counts the bytes of every storage that PyTorch makes, real or fake, and their most at once."""

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Counter(TorchDispatchMode):
    """Within it, every storage is counted from its first sight until nobody holds it.

    Attributes:
        held: Bytes that are held now.
        peak: The most since the last :meth:`extra`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Runs the operation and looks at what it made."""
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, torch.Tensor):
                self._see(each.untyped_storage())
        return made

    def extra(self, work: Callable[[], Any]) -> int:
        """The most bytes that some work holds at once, beyond what was held before."""
        gc.collect()
        before = self.peak = self.held
        work()
        return self.peak - before

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()

        def gone(_: object) -> None:
            if self._known.pop(key, None) is not None:
                self.held -= size

        self._known[key] = weakref.ref(storage, gone)
        self.held += size
        self.peak = max(self.peak, self.held)


@contextmanager
def counted(fake: bool) -> Iterator[Counter]:
    """Counts what is made inside; fake tensors take no memory and compute nothing."""
    counter = Counter()
    if not fake:
        with counter:
            yield counter
        return
    with (
        patch.object(nn.Module, "_apply", _replace),
        FakeTensorMode(allow_non_fake_inputs=True),
        counter,
    ):
        yield counter


def _replace(module: nn.Module, convert: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:  # noqa: ANN401
    """``nn.Module._apply`` with new parameters: the data of fake ones cannot be exchanged."""
    for each in module.modules() if recurse else [module]:
        for name, parameter in each._parameters.items():
            if parameter is not None:
                made = convert(parameter.detach())
                each._parameters[name] = nn.Parameter(made, parameter.requires_grad)
        for name, buffer in each._buffers.items():
            if buffer is not None:
                each._buffers[name] = convert(buffer)
    return module
