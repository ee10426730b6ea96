"""What a notebook shows for each of a few choices: sliders where there are any, else a loop."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def explore(draw: Callable[..., object], sliders: bool = True, **choices: Sequence[Any]) -> None:
    """Shows ``draw(**values)`` for choices of its arguments.

    With sliders (ipywidgets) the reader moves one for each argument. Where ipywidgets is not
    installed, or the notebook is rendered for a page on which nothing moves, a loop shows each
    choice in turn, the other arguments at their first choice.

    Args:
        draw: Makes what is shown, such as a picture or a table; None where it shows it by itself.
        sliders: Whether to use sliders where there are any.
        **choices: The choices of each argument, at least one.

    Raises:
        ValueError: If an argument has no choices.
    """
    for name, values in choices.items():
        if not values:
            raise ValueError(f"there is nothing to choose from for {name}")
    if sliders and _move(draw, choices):
        return
    first = {name: values[0] for name, values in choices.items()}
    shown: list[dict[str, Any]] = []
    for name, values in choices.items():
        for value in values:
            chosen = {**first, name: value}
            if chosen not in shown:
                shown.append(chosen)
                _show(draw(**chosen), chosen)


def _move(draw: Callable[..., object], choices: Mapping[str, Sequence[Any]]) -> bool:
    """Shows sliders, if there are any."""
    try:
        import ipywidgets
    except ImportError:
        return False
    handles = {
        name: ipywidgets.SelectionSlider(options=list(values), description=name)
        for name, values in choices.items()
    }
    ipywidgets.interact(draw, **handles)
    return True


def _show(drawn: object, chosen: dict[str, Any]) -> None:
    from IPython.display import display

    print(", ".join(f"{name} = {value}" for name, value in chosen.items()))
    if drawn is not None:
        display(drawn)  # type: ignore[no-untyped-call]
