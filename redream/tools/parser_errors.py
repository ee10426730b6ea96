"""Parser errors in one line: what is wrong, where, and the nearest thing that would be right."""

import re
from collections.abc import Callable, Collection, Sequence

from redream.plugins import Component, describe_broken, suggest

Explanation = Callable[[re.Match[str]], str]


def explain(
    message: str,
    keys: Collection[str],
    parameters: Collection[str],
    classes: Collection[str],
    broken: Sequence[Component] = (),
) -> str:
    """Condenses an error message of jsonargparse.

    Args:
        message: What jsonargparse says, often in many lines.
        keys: The dotted keys that a config may have.
        parameters: The names of all constructor arguments of the classes.
        classes: The class names that a config may name.
        broken: Components that cannot be used; asking for one repeats the reason.

    Returns:
        One line.
    """

    def unknown_class(match: re.Match[str]) -> str:
        name = match["name"]
        for component in broken:
            if component.name == name:
                return describe_broken(component)
        return f"there is no class {name!r}; {suggest(name, classes)}"

    def unknown_key(match: re.Match[str]) -> str:
        key = match["key"].partition("=")[0].lstrip("-")
        if "." in key or key in _roots(keys):
            known: Collection[str] = keys
        else:
            known = {*parameters, *(each for each in keys if "." not in each)}
        return f"unknown key {key!r}; {suggest(key, known, 'see `redream fit --help`')}"

    def denied(match: re.Match[str]) -> str:
        return (
            f"{match['path']!r} may not be named in a config: it is no class of ReDream, "
            "Lightning, torch.optim or an installed plugin (see docs/plugins.md)"
        )

    where, said = _split_key(message)
    explanations: list[tuple[str, Explanation]] = [
        (r"Importing '(?P<path>\S+)' is not allowed", denied),
        (r"Expected a dot import path string: (?P<name>\S+)", unknown_class),
        (r"[Oo]ption '(?P<key>[^']+)'", unknown_key),
        (r"unrecognized arguments: (?P<key>\S+)", unknown_key),
        (r"arguments are required: (?:\w+\.)?(?P<key>.+)", lambda m: f"{m['key']} is missing"),
        (r"Subtypes: \[(?P<types>.*)\]\s+Errors:.*Given value: (?P<value>.*)", _no_subtype),
        (r"Expected an? (?P<types>.*)\. Got value: (?P<value>.*)", _no_subtype),
    ]
    for pattern, explanation in explanations:
        match = re.search(pattern, said, re.DOTALL)
        if match:
            return where + explanation(match)
    return where + " ".join(said.split())


def _split_key(message: str) -> tuple[str, str]:
    """Splits off the key that jsonargparse names first, as ``data.retriever: ``."""
    match = re.match(r'Parser key "(?P<key>[^"]+)":', message)
    return (f"{match['key']}: ", message[match.end() :]) if match else ("", message)


def _no_subtype(match: re.Match[str]) -> str:
    types = re.sub(r"<class '([^']+)'>", r"\1", match["types"])
    types = types.replace("typing.", "").replace("NoneType", "null")
    return f"{match['value'].strip()!r} is not of type {' or '.join(types.split(', '))}"


def _roots(keys: Collection[str]) -> set[str]:
    return {key.partition(".")[0] for key in keys}
