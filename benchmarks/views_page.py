"""What a step of priors of several views and of pictures takes, as tables of the pages."""

from typing import Any

from views_models import ARRANGEMENTS

Counted = dict[str, dict[str, Any]]
"""What was counted, by the names of ``ARRANGEMENTS``."""


def memory_table(found: Counted) -> str:
    """Bytes of each."""
    lines = [
        "| prior | overlay | views of a step | at rest, GB | a step more, GB "
        "| with `gradient_checkpointing`, GB |",
        "|---" * 6 + "|",
    ]
    for name, each in found.items():
        numbers = (each[key] / 1e9 for key in ("resident", "step", "recomputed"))
        row = " | ".join(f"{number:.1f}" for number in numbers)
        lines.append(f"| {name} | {_overlay(name)} | {_views(each)} | {row} |")
    return "\n".join(lines)


def step_table(found: Counted) -> str:
    """Rows and products of each."""
    lines = [
        "| prior | overlay | views of a step | rows | of the denoisers, TFLOP "
        "| of the autoencoders and their gradients, TFLOP |",
        "|---" * 6 + "|",
    ]
    for name, each in found.items():
        row = f"{each['rows']} | {each['score'] / 1e12:.1f} | {each['encode'] / 1e12:.1f}"
        lines.append(f"| {name} | {_overlay(name)} | {_views(each)} | {row} |")
    return "\n".join(lines)


def _views(each: dict[str, Any]) -> str:
    return f"{each['views']} of {' and of '.join(map(str, each['sides']))} pixels"


def _overlay(name: str) -> str:
    files = ARRANGEMENTS[name][0]
    return ", ".join(f"`{file}`" for file in files.split(", ")) if files else ""
