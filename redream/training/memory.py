"""How much of a GPU's memory a run needs, said before it starts instead of an hour later."""

from collections.abc import Iterable, Sequence

from torch import nn

from redream.priors import Prior
from redream.representations import Representation

_TRAINED = 12
"""Bytes of a trained number beside itself: its gradient and AdamW's two moments."""

_CONTEXT = 1 << 30
"""Bytes of CUDA's context, of libraries' workspaces and of gaps between PyTorch's blocks.

An assumption: no command here measures it without a GPU.
"""

_ADVICE = (
    "set --model.guidance.init_args.prior null (zeta shares the prior's network), "
    "--model.prior.init_args.gradient_checkpointing true, or a smaller "
    "--model.prior.init_args.image_size"
)


def predicted_memory(
    priors: Sequence[Prior],
    particles: Iterable[nn.Module],
    trained: Iterable[nn.Parameter],
    num_active: int,
    num_views: int,
    num_pixels: int,
    learns_first: bool = False,
) -> dict[str, int]:
    """The most bytes of a GPU that a run holds at once, by part.

    Args:
        priors: The frozen networks, with their adapters.
        particles: All particles of this process.
        trained: All trained parameters.
        num_active: Particles in a step.
        num_views: Views of each in a step.
        num_pixels: Of the largest view.
        learns_first: Whether the adapters learn before the views are scored.

    Returns:
        ``networks``, ``training`` (gradients and moments), ``particles`` (their parameters and
        renders), ``step`` (what the networks' passes remember), ``context``.
    """
    scenes = [each for each in particles if isinstance(each, Representation)]
    renders = sorted(each.render_bytes(num_views, num_pixels) for each in scenes)
    return {
        "networks": sum(map(_size, {id(each): each for each in priors}.values())),
        "training": _TRAINED * sum(each.numel() for each in trained),
        "particles": sum(map(_size, scenes)) + sum(renders[-num_active:]),
        "step": priors[0].step_bytes(num_active * num_views, learns_first),
        "context": _CONTEXT,
    }


def require_memory(predicted: dict[str, int], free: int) -> None:
    """Refuses a run that a GPU has no room for.

    Args:
        predicted: Bytes, by part.
        free: Bytes that the GPU has.

    Raises:
        ValueError: If there are too few; one line with the options that help.
    """
    needed = sum(predicted.values())
    if needed > free:
        parts = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in predicted.items())
        raise ValueError(
            f"a step would take about {needed / 1e9:.1f} GB of the GPU's memory ({parts}), and "
            f"{free / 1e9:.1f} GB are free: {_ADVICE}"
        )


def _size(module: nn.Module) -> int:
    tensors = [*module.parameters(), *module.buffers()]
    return sum(each.numel() * each.element_size() for each in tensors)
