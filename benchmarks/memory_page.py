"""The counted memory as parts of a run, and which of them fit a card."""

from pathlib import Path
from typing import Any

from redream.files import whole_file

CARDS = (8, 16, 24, 48, 80)
"""GB of memory that cards are sold with."""

CONTEXT = 1.07e9
"""An assumption: CUDA's context, libraries' workspaces and gaps between PyTorch's blocks."""

MOMENTS = 12
"""Bytes of a trained number beside itself: its gradient and AdamW's two moments (float32)."""

SIZES = (64, 512)


def held_by_field(field: dict[str, Any], kind: str, size: int) -> tuple[float, float]:
    """Bytes that a particle's render holds while the networks work, and in its backward pass.

    Args:
        field: The record's measurements of the NeRF.
        kind: The field's kind.
        size: Side of the view in pixels.
    """
    kept = field[kind]["kept"] * size**2
    sample = field["bytes"]
    if kept <= field["at_once"]:
        return kept * sample["kept"], kept * sample["kept"]
    waiting = kept * sample["waiting"]
    return waiting, waiting + field["at_once"] * sample["kept"]


def parts_of_run(
    record: dict[str, Any], name: str, kind: str = "fog", views: int = 1
) -> dict[str, float]:
    """The most bytes of each part of a run, everything that is resident included.

    Args:
        record: What ``memory.py`` wrote.
        name: The arrangement of networks.
        kind: What the particle is: ``fog``, the worst, or ``opaque``.
        views: Views of a step.
    """
    model, field = record["models"][name], record["field"]
    particle = field["parameters"] * (1 + MOMENTS / 4)
    resident = model["running"] + particle + CONTEXT
    parts = {
        "as loaded": model["resident"] + particle + CONTEXT,
        "adaptation": resident + max(model["encode"], model["held_out"]),
    }
    for size in SIZES:
        waiting, backward = held_by_field(field, kind, size)
        step = max(model["step"] + waiting, backward) * views
        parts[f"step, {size} pixels"] = resident + step
    looked = field[kind]["looked"] * field["bytes"]["looked"]
    first_pass = min(looked * 512**2, 2**21 * field["bytes"]["looked"])
    parts["export"] = resident + first_pass
    return parts


def as_page(record: dict[str, Any]) -> str:
    """The page: every number of it counted or measured, or named as an assumption."""
    field, sample = record["field"], record["field"]["bytes"]
    lines = [
        "# Memory of a full-size run",
        "",
        f"Written by `{record['command']}` on {record['date']}, PyTorch {record['pytorch']}. No "
        "GPU is needed: the networks have the real models' configurations and are run, with "
        "ReDream's own prior, adapters and passes in half precision, under PyTorch's "
        "FakeTensorMode, in which every storage is counted and nothing computed.",
        "",
        "GB (10^9 bytes), one particle, one view, the scored picture at the model's own size. "
        f"Counted in everywhere: {CONTEXT / 1e9:.1f} GB for CUDA's context, libraries' workspaces "
        "and gaps between blocks, which is an assumption; the particle with its gradients and "
        "moments. Steps: adapting, corrected (App. B), of fog or of a solid, whichever takes more; "
        "attention without its matrices.",
        "",
    ]
    names = list(parts_of_run(record, next(iter(record["models"]))))
    cards = [f"{card} GB" for card in CARDS]
    lines += [
        f"| | {' | '.join(names)} | {' | '.join(cards)} |",
        "|---" * (1 + len(names) + len(cards)) + "|",
    ]
    for name in record["models"]:
        kinds = [parts_of_run(record, name, kind) for kind in ("fog", "opaque")]
        parts = {part: max(each[part] for each in kinds) for part in kinds[0]}
        most = max(parts.values())
        fits = ["fits" if most <= card * 1e9 else "" for card in CARDS]
        if parts["step, 64 pixels"] < most:
            for i, card in enumerate(CARDS):
                others = [size for part, size in parts.items() if part != "step, 512 pixels"]
                if not fits[i] and max(others) <= card * 1e9:
                    fits[i] = "64 pixels"
        row = " | ".join(f"{size / 1e9:.1f}" for size in parts.values())
        lines.append(f"| {name} | {row} | {' | '.join(fits)} |")
    lines += [
        "",
        "## The particle",
        "",
        "The NeRF of `configs/paper.yaml`, counted on pictures of 24 pixels from 8 of its cameras.",
        "",
        "| field | samples a pixel, looked at | kept | at 512 pixels, kept | held while the "
        "networks work, GB | in its backward pass, GB |",
        "|---" * 6 + "|",
    ]
    for kind in ("fog", "opaque"):
        waiting, backward = held_by_field(field, kind, 512)
        lines.append(
            f"| {kind} | {field[kind]['looked']:.1f} | {field[kind]['kept']:.1f} "
            f"| {field[kind]['kept'] * 512**2 / 1e6:.1f} million | {waiting / 1e9:.2f} "
            f"| {backward / 1e9:.2f} |"
        )
    lines += [
        "",
        f"A sample takes {sample['looked']:.0f} bytes while its density is looked at, "
        f"{sample['kept']:.0f} when it is kept for the backward pass, and {sample['waiting']:.0f} "
        f"where a render keeps more than {field['at_once']:,} (`samples_at_once`): then each part "
        "is computed again in the backward pass.",
        "",
    ]
    return "\n".join(lines)


def put(record: dict[str, Any], page: Path) -> None:
    """Writes the counted part of a page; what stands after its end mark stays."""
    mark = "<!-- what follows is written by hand -->"
    kept = ""
    if page.is_file() and mark in page.read_text("utf-8"):
        kept = mark + page.read_text("utf-8").partition(mark)[2]
    with whole_file(page) as temporary:
        temporary.write_text(f"{as_page(record)}\n{kept}", "utf-8")
