"""A pretended GPU: tensors that are said to be there are the CPU's, but whoever mixes them fails.

Every storage is known to be on the CPU or on the pretended GPU. What is computed stays where its
arguments are; ``to`` and ``cpu`` copy; arguments from two devices raise, as on a real one. So a
whole step runs, kernels included, and a tensor left on the wrong device is found without a GPU.
"""

import weakref
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from redream.kernels import launch

GPU = torch.device("cuda", 0)
MAY_MIX = {"copy_", "__getitem__", "__setitem__", "__set__", "_has_compatible_shallow_copy_type"}
READS = {Tensor.numpy, Tensor.__array__}


def kind_of(device):
    return torch.device(device).type


class PretendedGPU(TorchFunctionMode):
    """Within it there is a GPU called ``cuda``."""

    def __init__(self):
        super().__init__()
        self.known = {}

    def place(self, tensor):
        """``cpu`` or ``cuda``; None where nobody has seen how the tensor was made."""
        return self.known.get(tensor.untyped_storage()._cdata)

    def put(self, tensor, kind):
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.known:
            self.known[key] = kind
            weakref.finalize(storage, self.known.pop, key, None)

    def adopt(self, *tensors):
        """Makes known that what was made before is on the CPU."""
        for tensor in tensors:
            self.put(tensor, "cpu")

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        places = {self.place(each) for each in tensors} - {None}
        name = getattr(func, "__name__", "")
        if name == "__get__" and tensors:
            return self._attribute(func, args, kwargs, tensors[0])
        if func in READS and "cuda" in places:
            raise TypeError("can't convert cuda tensor to numpy: use cpu() first")
        if func in (Tensor.to, Tensor.cpu, Tensor.cuda):
            return self._moved(func, args, kwargs)
        asked = kwargs.get("device")
        if asked is not None:
            asked = kind_of(asked)
            kwargs["device"] = "cpu"
        if name == "__getitem__" and self.place(args[0]) == "cpu" and "cuda" in places:
            raise RuntimeError("a tensor on the CPU cannot be indexed by one on the GPU")
        solid = {self.place(each) for each in tensors if each.ndim} - {None}
        if len(solid) > 1 and name not in MAY_MIX and not torch._C._current_autograd_node():
            shapes = [(self.place(each), tuple(each.shape)) for each in tensors]
            raise RuntimeError(f"{name}: tensors on two devices: {shapes}")
        made = func(*args, **kwargs)
        kind = asked or ("cuda" if "cuda" in places else "cpu")
        for each in tree_leaves(made):
            if isinstance(each, Tensor):
                self.put(each, kind)
        return made

    def _attribute(self, func, args, kwargs, tensor):
        found = func(*args, **kwargs)
        there = self.place(tensor) == "cuda"
        if isinstance(found, torch.device) and there:
            return GPU
        if func == Tensor.is_cuda.__get__:
            return there
        if isinstance(found, Tensor):
            self.put(found, self.place(tensor) or "cpu")
        return found

    def _moved(self, func, args, kwargs):
        tensor, *rest = args
        target = self.place(tensor)
        if func is not Tensor.to:
            target, rest, kwargs = func.__name__, [], {}
        plain = []
        for each in [*rest, *kwargs.values()]:
            if isinstance(each, Tensor):
                target = self.place(each) or target
                plain.append(each.dtype)
            elif isinstance(each, str | torch.device):
                target = kind_of(each)
            elif isinstance(each, torch.dtype):
                plain.append(each)
        made = tensor.to(plain[-1]) if plain else tensor
        if target != self.place(tensor) and made is tensor:
            made = tensor.clone()
        self.put(made, target or "cpu")
        return made


def unseen(function):
    """A function that sees tensors as they are."""

    def called(*args, **kwargs):
        with torch._C.DisableTorchFunction():
            return function(*args, **kwargs)

    return called


@contextmanager
def pretended_gpu():
    """Within it tensors may be moved to ``cuda``, and kernels run there."""
    generator, where = torch.Generator, launch._where

    def on_cpu(arguments):
        where_it_is = where(arguments)
        assert set(where_it_is) <= {"stream", "device"}
        return {"device": "cpu"}

    with ExitStack() as stack:
        for patched in (
            patch.object(torch, "Generator", lambda device="cpu": generator()),
            patch.object(torch.cuda, "current_device", lambda: 0),
            patch.object(launch, "_where", on_cpu),
            patch.object(launch, "_stream", lambda device: ExitStack()),
            patch.object(launch.wp, "from_torch", unseen(launch.wp.from_torch)),
            patch.object(launch.wp, "stream_from_torch", lambda device: None),
        ):
            stack.enter_context(patched)
        yield stack.enter_context(PretendedGPU())
