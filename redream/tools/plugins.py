"""``redream plugins``: every component, where it is from, and the reason when it is broken."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from redream.plugins import INTERFACES, list_components
from redream.tools.arguments import ToolParser


def main(verb: str, arguments: Sequence[str]) -> None:
    """Lists the components.

    Args:
        verb: ``plugins``.
        arguments: The command line after the verb.
    """
    parser = ToolParser(
        prog=f"redream {verb}",
        description="List every component, its group, distribution and version, "
        "and the reason when one is broken.",
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    options = parser.parse_args(arguments)
    components = list_components()
    if options.json:
        print(json.dumps([asdict(component) for component in components], indent=2))
        return
    width = max((len(component.name) for component in components), default=0)
    for group in INTERFACES:
        members = [component for component in components if component.group == group]
        if members:
            print(group)
        for component in members:
            origin = f"{component.distribution} {component.version}"
            broken = f"  BROKEN: {component.reason}" if component.reason else ""
            print(f"  {component.name:{width}}  {origin}{broken}")
