"""Light adapters that were made before, found by what they were made from."""

import hashlib
import json
import sys
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from safetensors import SafetensorError, safe_open
from torch import Tensor

from redream.adapters import Adapter
from redream.escaping import on_one_line
from redream.files import cache_folder
from redream.method.adaptation import Adaptation, adapt
from redream.priors import Prior
from redream.tensor_files import write_tensors

_PACKAGE = Path(__file__).parents[1]
_SOURCES = (
    "adapters/*.py", "priors/**/*.py", "method/adaptation.py", "method/noise.py",
    "method/pictures.py", "training/optimizer.py", "cameras.py", "losses.py",
)  # fmt: skip
_LIBRARIES = ("torch", "diffusers", "transformers", "peft")
_NUM_KEPT = 100  # adapters; the one that was asked for longest ago goes first
_CONTENT = "content"  # name of the digest of a file's tensors


class AdapterCache:
    """Adapters in files of the user's cache, whole or absent, named by a digest of their making.

    What is damaged or of another shape is as if it were not there, so that it is made anew.

    Args:
        folder: Where they lie; ``$REDREAM_CACHE/adapters`` by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder() / "adapters" if folder is None else folder

    def path(self, key: str) -> Path:
        """Where the adapter of a key lies, or would lie."""
        return self.folder / f"{key}.safetensors"

    def load(self, key: str, adapter: Adapter) -> bool:
        """Gives an adapter the parameters that were kept for a key.

        Args:
            key: What :func:`key_of` returned.
            adapter: Attached, untrained.

        Returns:
            Whether there were any that are whole; otherwise the adapter is as it was.
        """
        path, mine = self.path(key), _tensors(adapter)
        try:
            with safe_open(path, "pt") as file:
                kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                content = (file.metadata() or {}).get(_CONTENT)
            path.touch()  # the least recently used goes first
        except (OSError, SafetensorError):
            return False
        if content != _digest(kept.items()) or _shapes(kept) != _shapes(mine):
            return False
        with torch.no_grad():
            for name, tensor in mine.items():
                tensor.copy_(kept[name])
        return True

    def keep(self, key: str, adapter: Adapter) -> None:
        """Keeps an adapter's parameters for a key, and lets those go that are too many.

        Warns:
            RuntimeWarning: If the cache cannot be written; the next run makes the adapter again.
        """
        tensors = {name: tensor.cpu() for name, tensor in _tensors(adapter).items()}
        try:
            write_tensors(self.path(key), tensors, {_CONTENT: _digest(tensors.items())})
        except OSError as error:
            said = f"the next run adapts the prior again: {error}"
            warnings.warn(said, RuntimeWarning, stacklevel=2)
            return
        with suppress(OSError):  # another process may do the same
            kept = sorted(self.folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
            for path in kept[:-_NUM_KEPT]:
                path.unlink(missing_ok=True)


def adapt_ahead(adaptation: Adaptation, trainer: Trainer, weight_decay: float) -> None:
    """Adapts the prior before a run's first step where that is asked for, once for all processes.

    What comes out is the same whether it was found in the cache or made.

    Args:
        adaptation: Before its first step.
        trainer: Of the run, than which it takes no more steps.
        weight_decay: AdamW's.
    """
    adapter = adaptation.adapter
    if not (adaptation.schedule.ahead and adapter.finishes) or adapter.stopped(0):
        return
    if trainer.is_global_zero:
        last = trainer.max_steps
        ends_itself = last < 0 or adapter.stopped(last)
        adapt_or_find(adaptation, None if ends_itself else last, weight_decay)
    learned = {name: each.cpu() for name, each in _tensors(adapter).items()}
    learned = trainer.strategy.broadcast(learned)
    with torch.no_grad():
        for name, tensor in _tensors(adapter).items():
            tensor.copy_(learned[name])
    adapter.finish()


def adapt_or_find(
    adaptation: Adaptation, num_steps: int | None = None, weight_decay: float = 0.0
) -> None:
    """Adapts the prior to the assets, or takes the adapter that was made for them before.

    Args:
        adaptation: Before its first step. Its schedule says whether the cache is used.
        num_steps: Steps after which to stop in any case.
        weight_decay: AdamW's.
    """
    schedule, adapter = adaptation.schedule, adaptation.adapter
    key = key_of(adaptation, num_steps, weight_decay) if schedule.cache else None
    kept = AdapterCache()
    if key is not None and kept.load(key, adapter):
        say(
            f"the prior was adapted to these assets before: {kept.path(key)} is used; "
            "--model.adaptation.cache false adapts it again"
        )
        return
    say("the prior is adapted to the assets, before the first step")
    adapt(adaptation, schedule.held_out_period, num_steps, weight_decay)
    if key is not None:
        kept.keep(key, adapter)


def say(message: str) -> None:
    """Says something in one line on stderr."""
    print(on_one_line(f"redream: {message}"), file=sys.stderr)


def key_of(
    adaptation: Adaptation, num_steps: int | None = None, weight_decay: float = 0.0
) -> str | None:
    """Names what an adapter becomes, by the content of all that decides it.

    That is the assets' views, cameras and captions, the prompt, the prior's weights, the adapter as
    it starts and its settings, the schedule, the seed, and the versions of the code.

    Args:
        adaptation: Before its first step.
        num_steps: Steps after which it would stop in any case.
        weight_decay: AdamW's.

    Returns:
        A digest; None where not all is known: an adapter that does not say its settings, a prior
        of a plugin.
    """
    adapter, prior, references = adaptation.adapter, adaptation.prior, adaptation.references
    settings = adapter.settings()
    if settings is None or not type(prior).__module__.startswith("redream."):
        return None
    told = {
        "adapter": [type(adapter).__qualname__, settings],
        "schedule": asdict(adaptation.schedule) | {"cache": None, "num_steps": num_steps},
        "weight_decay": weight_decay,
        "pictures": asdict(adaptation.pictures),
        "prompt": adaptation.prompt,
        "captions": references.captions,
        "views_per_set": references.views_per_set,
        "seed": adaptation.seed,
        "views": adaptation.views.tolist(),
        "prior": [type(prior).__qualname__, prior.predicts, prior.image_size],
        "code": _code(),
    }
    with torch.no_grad():  # what the tokenizer makes of them
        texts = prior.encode_prompts([adaptation.prompt, *references.captions])
    tensors = {
        "rgba": references.rgba,
        **{
            f"cameras.{name}": each
            for name, each in references.cameras._asdict().items()
            if isinstance(each, Tensor)
        },
        "asset_index": references.asset_index,
        "alphas": prior.alphas,
        "texts": texts,
        **{f"prior.{name}": tensor for name, tensor in _frozen(prior)},
        **{f"start.{name}": tensor for name, tensor in _tensors(adapter).items()},
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=repr).encode())
    digest.update(_digest(tensors.items()).encode())
    return digest.hexdigest()[:32]


def _frozen(prior: Prior) -> Iterable[tuple[str, Tensor]]:
    """The weights of the prior, without those of any adapter."""
    for name, parameter in prior.named_parameters():
        if "lora_" not in name:
            yield name, parameter


def _tensors(adapter: Adapter) -> dict[str, Tensor]:
    """What an adapter trains, by name."""
    return {name: parameter.detach() for name, parameter in adapter.named_parameters()}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}


def _digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """A digest of names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    return digest.hexdigest()


@cache
def _code() -> dict[str, str]:
    """The versions of what computes it: this package's own by their content."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _SOURCES for path in _PACKAGE.glob(pattern)):
        digest.update(path.read_bytes())
    return {"redream": digest.hexdigest()} | {name: version(name) for name in _LIBRARIES}
