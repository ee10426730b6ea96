"""Tensors in a safetensors file that is there whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from redream.errors import first_line
from redream.files import whole_file


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes tensors, from any device.

    Args:
        path: The file; its folder is made where it is missing.
        tensors: What to write; they may share their memory.
        metadata: Texts to write with them.

    Raises:
        OSError: If it cannot be written, as on a full disk.
    """
    # Cloned: safetensors refuses tensors that share their memory.
    cpu = {name: each.detach().cpu().contiguous().clone() for name, each in tensors.items()}
    with whole_file(path) as temporary:
        try:
            save_file(cpu, temporary, None if metadata is None else dict(metadata))
        except SafetensorError as error:  # it hides what the system said
            raise OSError(first_line(error).rpartition("I/O error: ")[2]) from error
