"""What the names of a LoRA file's tensors say: which layers it adapts, and by which algorithm."""

import re
from collections.abc import Iterable

_MATRIX = re.compile(
    r"(?P<layer>.+?)[._]lora(?:_linear_layer|_embedding)?[._](?P<which>down|up|A|B)(?:\.\w+)*"
)
"""The matrices of kohya and LyCORIS (``lora_down``), PEFT (``lora_A``) and diffusers before PEFT
(``processor.to_q_lora.down``, ``lora.down``, ``lora_linear_layer.down``)."""

_OTHER_ALGORITHMS = {
    "dora_scale": "DoRA in kohya's names, which diffusers would merge as a plain LoRA",
    "hada_w1_a": "LoHa of LyCORIS",
    "lokr_w1": "LoKr of LyCORIS",
    "lokr_w1_a": "LoKr of LyCORIS",
    "lora_mid.weight": "LoCon of LyCORIS in Tucker's decomposition (use_tucker)",
    "oft_blocks": "OFT",
    "oft_diag": "OFT of LyCORIS",
    "a1.weight": "GLoRA of LyCORIS",
    "on_input": "(IA)^3 of LyCORIS",
    "diff": "a full difference, LyCORIS's `full`",
    "diff_b": "differences of biases, which diffusers leaves out",
    "w_norm": "differences of norms, which diffusers leaves out",
}
"""Endings of tensors that are no plain LoRA's."""


def other_algorithm(names: Iterable[str]) -> str | None:
    """Which other algorithm the tensors belong to; None for LoRA, DoRA in PEFT's names and LoCon.

    Args:
        names: The names of all tensors of a file.
    """
    for name in names:
        for ending, algorithm in _OTHER_ALGORITHMS.items():
            if name.endswith("." + ending):
                return algorithm
    return None


def matrix_of(name: str) -> tuple[str, bool] | None:
    """The layer that a tensor is a matrix of, and whether it is the one that leads down.

    Args:
        name: The name of a tensor.

    Returns:
        None where it is no matrix, as an alpha.
    """
    match = _MATRIX.fullmatch(name)
    return None if match is None else (match["layer"], match["which"] in ("down", "A"))


def adapted_layers(names: Iterable[str]) -> list[str]:
    """The layers that a file adapts, as the file names them, in its order.

    Args:
        names: The names of all tensors of a file.

    Raises:
        ValueError: If a layer has one of its two matrices alone.
    """
    halves: dict[str, set[bool]] = {}
    for layer, leads_down in filter(None, map(matrix_of, names)):
        halves.setdefault(layer, set()).add(leads_down)
    if alone := [layer for layer, seen in halves.items() if len(seen) == 1]:
        missing = "up" if True in halves[alone[0]] else "down"
        raise ValueError(
            f"{len(alone)} of its {len(halves)} layers lack their {missing} matrix, "
            f"{alone[0]} for one"
        )
    return list(halves)


def module_path(layer: str) -> str:
    """The module that a layer in diffusers' or PEFT's names means.

    Args:
        layer: One of :func:`adapted_layers`, of a file as diffusers' loader has renamed it.

    Returns:
        Its path as ``named_modules`` has it, the name of its part of the pipeline before it and
        ``text_model``, which transformers 5 has dropped, left out.
    """
    path = layer.replace(".processor.", ".").replace(".text_model.", ".")
    for old, new in (("to_q", "q_proj"), ("to_k", "k_proj"), ("to_v", "v_proj")):
        path = path.replace(f".self_attn.{old}", f".self_attn.{new}")
    path = path.replace(".self_attn.to_out", ".self_attn.out_proj")
    return re.sub(r"\.to_out$", ".to_out.0", path)
