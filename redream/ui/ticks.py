"""What is ticked on the page, read off it at the moment when it is sent.

A server that is told of every tick by itself may hear of one after the press on a button that came
later, or lose one of two that came together. So what the page shows is sent with the press.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from redream.plain_data import read_json

SEND = """(ticks, ...others) => {
  const cards = [...document.querySelectorAll('.rd-card')].map(
    card => [card.querySelector('[data-uid]'), card.querySelector('input')]
  );
  const drawn = cards.filter(([asset, box]) => asset && box);
  const shown = drawn.map(([asset, box]) => [asset.dataset.uid, box.checked]);
  return [JSON.stringify(Object.fromEntries(shown)), ...others];
}"""
"""Puts the ticks first among the form's values."""


def read_ticks(sent: str, found: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """What is ticked of the assets that were found.

    Args:
        sent: An object of JSON, uids to truths; empty where the page has sent nothing.
        found: The assets, each with its ``uid`` and whether it was ``ticked`` when it was found,
            which stands until the page has drawn it.

    Returns:
        A truth for each of them.

    Raises:
        ValueError: If it is something else that was sent, or the server has forgotten the assets.
    """
    ticks = read_json(sent) if sent else {}
    if not isinstance(ticks, dict) or not all(isinstance(each, bool) for each in ticks.values()):
        raise ValueError("ticks are true or false, by the asset's uid")
    if ticks and not found:  # Gradio forgets a page that was away for an hour
        raise ValueError("this page was left for too long: show what is retrieved again")
    return {each["uid"]: ticks.get(each["uid"], each["ticked"]) for each in found}
