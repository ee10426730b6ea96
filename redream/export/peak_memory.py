"""The most memory that a run has held, which its report names."""

import sys

import torch


def peak_memory() -> dict[str, float]:
    """The most memory that this process has held, as ``{"peak_memory_gib": ...}``.

    Of the computer's, but on Windows, which does not tell; and ``peak_gpu_memory_gib`` of the
    GPU's, where one was used.
    """
    on_gpu = {}
    if torch.cuda.is_initialized():
        on_gpu = {"peak_gpu_memory_gib": round(torch.cuda.max_memory_allocated() / (1 << 30), 2)}
    if sys.platform == "win32":
        return on_gpu
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 << 30 if sys.platform == "darwin" else 1 << 20  # bytes there, KiB elsewhere
    return {"peak_memory_gib": round(peak / unit, 2)} | on_gpu
