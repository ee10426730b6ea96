"""LoRAs as the field's tools write them: names and shapes of each, with the update they mean.

What a file means is known without any loader: every layer's weight grows by
``alpha / rank * up @ down``.
"""

import re
from typing import NamedTuple

import torch
from safetensors.torch import save_file

ATTENTION = r".*attn[12]?\.to_(q|k|v|out\.0)"
TRANSFORMER = r".*attentions\.\d+\..*"
"""All that kohya's sd-scripts adapt of a UNet by default: Linear and 1x1 layers of transformers."""
LOCON = r"(down_blocks|mid_block|up_blocks)\..*"
"""LyCORIS's preset ``full`` of a UNet, convolutions of ResNet blocks and samplers included."""
TEXT = r"(text_model\.)?encoder\.layers\..*(proj|fc1|fc2)"
TEXT_ATTENTION = r"(text_model\.)?encoder\.layers\..*proj"


class Update(NamedTuple):
    """What a LoRA does to a layer."""

    down: torch.Tensor
    up: torch.Tensor
    alpha: float

    @property
    def delta(self):
        product = self.up.flatten(1) @ self.down.flatten(1)
        scaled = self.alpha / len(self.down) * product
        return scaled.view(len(self.up), *self.down.shape[1:])


def updates(network, pattern, ranks=(4,), alphas=(2.0,)):
    """A random update of every matching layer; ranks and alphas take turns."""
    made = {}
    for path, module in network.named_modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and re.fullmatch(pattern, path):
            rank, alpha = ranks[len(made) % len(ranks)], alphas[len(made) % len(alphas)]
            shape = module.weight.shape
            down = 0.2 * torch.randn(rank, *shape[1:])
            up = 0.2 * torch.randn(shape[0], rank, *(1 for _ in shape[2:]))
            made[path] = Update(down, up, alpha)
    return made


def plain_path(path):
    """A text encoder's layer as all files name it; transformers 5 has dropped ``text_model``."""
    return path if path.startswith("text_model.") else f"text_model.{path}"


def kohya(prefix, path):
    """``lora_unet_down_blocks_0_...``: sd-scripts (networks/lora.py) and LyCORIS."""
    return f"{prefix}_{path.replace('.', '_')}"


def sgm(path):
    """Of a diffusers UNet's layer, the name in Stability's code, which kohya keeps for SDXL.

    For two ResNet blocks a block, as SDXL has them.
    """
    inner = {
        "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "conv2": "out_layers.3",
        "conv_shortcut": "skip_connection",
    }  # fmt: skip
    side, rest = path.split(".", 1)
    if side == "mid_block":
        kind, number, rest = rest.split(".", 2)
        block = "middle_block." + ("1" if kind == "attentions" else str(2 * int(number)))
    else:
        block_number, kind, number, rest = rest.split(".", 3)
        base = 3 * int(block_number)
        if kind == "downsamplers":
            return f"input_blocks.{base + 3}.0.op"
        if kind == "upsamplers":
            return f"output_blocks.{base + 2}.2.conv"
        start = f"input_blocks.{base + 1 + int(number)}" if side == "down_blocks" else None
        block = (start or f"output_blocks.{base + int(number)}") + "." + str(kind == "attentions")
        block = block.replace("True", "1").replace("False", "0")
    return f"{block}.{inner.get(rest, rest)}"


def kohya_tensors(prefix, made, rename=lambda path: path):
    """The tensors of sd-scripts' and LyCORIS's files."""
    tensors = {}
    for path, update in made.items():
        name = kohya(prefix, rename(path))
        tensors[f"{name}.lora_down.weight"] = update.down
        tensors[f"{name}.lora_up.weight"] = update.up
        tensors[f"{name}.alpha"] = torch.tensor(update.alpha)
    return tensors


def paired(made, name, down, up):
    """Tensors of writers that keep no alpha: it is the rank."""
    tensors = {}
    for path, update in made.items():
        assert update.alpha == len(update.down)
        tensors[name(path, down)] = update.down
        tensors[name(path, up)] = update.up
    return tensors


def processor_name(path, end):
    """diffusers before 0.18, ``save_attn_procs``: an attention layer's processor holds them."""
    layer, _, part = path.rpartition(".to_")
    return f"{layer}.processor.to_{part.removesuffix('.0')}_lora.{end}.weight"


def write(path, tensors, half=False):
    dtype = torch.float16 if half else torch.float32
    save_file({key: tensor.to(dtype).contiguous() for key, tensor in tensors.items()}, path)
