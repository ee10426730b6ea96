"""``redream presets``: the configs that this computer can run, and what it lacks for the others."""

import json
from collections.abc import Sequence
from pathlib import Path

from redream.tools.arguments import ToolParser
from redream.ui.presets import devices, find_presets


def main(verb: str, arguments: Sequence[str]) -> None:
    """Lists the presets, for people or as JSON: the page and Blender offer the same.

    Args:
        verb: ``presets``.
        arguments: The command line after the verb.

    Raises:
        ValueError: If there are none.
    """
    parser = ToolParser(
        prog=f"redream {verb}",
        description="List the configs that this computer can run, and what it lacks for others.",
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    options = parser.parse_args(arguments)
    presets = find_presets(Path.cwd(), has_gpu=devices()[0].name != "cpu")
    if options.json:
        listed = [
            {
                "name": each.config.name,
                "title": each.config.title,
                "files": [str(file) for file in each.config.files],
                "picture": each.picture,
                "lacks": list(each.lacks),
            }
            for each in presets
        ]
        print(json.dumps(listed, indent=2))
        return
    width = max(len(each.config.name) for each in presets)
    for each in presets:
        print(f"{each.config.name:{width}}  {'; '.join(each.lacks) or each.config.title}")
