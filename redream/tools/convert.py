"""``redream convert``: an authors' checkpoint, once and for all, as a folder of safetensors."""

from collections.abc import Sequence
from pathlib import Path

from redream.signals import signals_answered
from redream.tools.arguments import ToolParser


def main(verb: str, arguments: Sequence[str]) -> None:
    """Converts a checkpoint.

    Args:
        verb: ``convert``.
        arguments: The command line after it.

    Raises:
        FileExistsError: If the folder exists.
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the checkpoint is of another layout.
    """
    options = _parser().parse_args(list(arguments))
    for name in ("head_width", "clip_head_width"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} is {getattr(options, name)}, and must be at least 1")
    import torch  # takes seconds, as the next does

    from redream.priors.conversion import Wanted, convert

    dtype = None if options.dtype is None else getattr(torch, options.dtype)
    wanted = Wanted(options.base, dtype, options.head_width, options.mode, options.clip_head_width)
    with signals_answered():  # a folder that is half-written goes, whoever stops it
        kind = convert(options.checkpoint, options.out, wanted)
    print(f"{kind.name} in {options.out}; licence: {kind.licence}")


def _parser() -> ToolParser:
    parser = ToolParser(
        prog="redream convert",
        description="Write a multi-view network's checkpoint as a folder in diffusers' format.",
    )
    parser.add_argument("checkpoint", type=Path, help="the authors' .pt, .ckpt or .safetensors")
    parser.add_argument("out", type=Path, help="the folder to make")
    parser.add_argument("--base", help="the Stable Diffusion that it was made of; found by itself")
    types = ("float32", "float16", "bfloat16")
    parser.add_argument("--dtype", choices=types, help="of the weights; by default as they are")
    parser.add_argument("--head_width", type=int, default=64, help="channels of an attention head")
    parser.add_argument(
        "--mode",
        choices=("pixel", "local", "zero123", "stable_zero123"),
        help="what tensors do not say: of an ImageDream, by default local where the file's name "
        "says so; which Zero123 it is",
    )
    parser.add_argument(
        "--clip_head_width",
        type=int,
        default=80,
        help="the same of the CLIP that sees; 64 of Zero123's by itself",
    )
    return parser
