"""What a computer has: GPU, kernels, hub, memory, disk, caches. Each looks in a second or two."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from redream.files import cache_folder

_GIB = 1 << 30
_LOW_MEMORY, _LOW_DISK = 4 * _GIB, 5 * _GIB
_LOOK_S = 1.0  # at most, at one cache

State = Literal["ok", "missing", "low", "broken"]


@dataclass(frozen=True)
class Finding:
    """What was found of one part.

    Attributes:
        part: Its name.
        state: ``ok``; ``missing`` or ``low``, which costs something; ``broken``, which stops you.
        found: What there is.
        cost: What its state costs; empty where nothing.
    """

    part: str
    state: State
    found: str
    cost: str = ""


def gpu() -> Finding:
    """The first CUDA device and its free memory."""
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return Finding("GPU", "ok", f"{name}, {_gib(free)} of {_gib(total)} free")
    why = "this PyTorch has no CUDA" if torch.version.cuda is None else "PyTorch sees no device"
    cost = "the embedded world runs in minutes; Stable Diffusion is out of reach"
    return Finding("GPU", "missing", why, cost)


def kernels() -> Finding:
    """Whether Warp starts, and for which devices."""
    from redream.kernels.launch import devices

    return Finding("kernels", "ok", f"Warp on {', '.join(devices())}")


def hub() -> Finding:
    """Whether weights can be fetched."""
    from redream.assets.hub import hub_address, hub_state

    state = hub_state()
    if state is None:
        return Finding("hub", "ok", hub_address())
    cost = "only what is on disk can be used: the embedded world, and models fetched before"
    return Finding("hub", "missing", f"{hub_address()}: {state}", cost)


def memory() -> Finding:
    """Memory that is free, of the container where there is one."""
    free = free_memory()
    if free is None:
        return Finding("memory", "ok", "unknown on this system")
    if free >= _LOW_MEMORY:
        return Finding("memory", "ok", f"{_gib(free)} free")
    cost = "the system may end a run: take fewer particles or a smaller render_size"
    return Finding("memory", "low", f"{_gib(free)} free", cost)


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory that are free; None where the system does not say.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    free = []
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")]
        group = root / "sys/fs/cgroup"
        limit, used = (
            (group / name).read_text().strip() for name in ("memory.max", "memory.current")
        )
        free += [] if limit == "max" else [max(0, int(limit) - int(used))]
    except (OSError, ValueError):
        pass
    return min(free, default=None)


def disk() -> Finding:
    """Room in the folder where outputs go."""
    free = shutil.disk_usage(".").free
    if free >= _LOW_DISK:
        return Finding("disk", "ok", f"{_gib(free)} free in {Path.cwd()}")
    cost = "room for runs of the embedded world, hardly for weights from the hub"
    return Finding("disk", "low", f"{_gib(free)} free in {Path.cwd()}", cost)


def cache() -> Finding:
    """ReDream's own cache: the embedded world, references, search structures."""
    cost = "the first run makes the embedded world: about a minute"
    return _folder("cache", cache_folder(), cost)


def hub_cache() -> Finding:
    """Where weights from the hub are kept."""
    from redream.assets.hub import hub_cache as folder

    return _folder("hub cache", Path(folder()), "weights are fetched when first named")


def _folder(part: str, folder: Path, cost: str) -> Finding:
    if not folder.is_dir():
        return Finding(part, "missing", f"none yet at {folder}", cost)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(part, "broken", f"{folder} cannot be written", "it is made again each time")
    return Finding(part, "ok", f"{_size(folder)} in {folder}")


def _size(folder: Path) -> str:
    """The size of a folder, or at least how much was seen in a second."""
    total, start = 0, time.monotonic()
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            total += 0 if os.path.islink(path) else _bytes(path)
        if time.monotonic() - start > _LOOK_S:
            return f"more than {_gib(total)}"
    return _gib(total)


def _bytes(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:  # gone since
        return 0


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"
