"""The page of what a card has shown: a table of the parts, then each part's numbers."""

from typing import Any


def as_page(report: dict[str, Any]) -> str:
    """The report as Markdown.

    Args:
        report: What ``gpu.py`` writes as JSON.
    """
    where = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    lines = [
        "# What a card shows",
        "",
        f"Written by `{report['command']}` on {report['date']}: {where}. "
        f"The {report['form']} form, {report['seconds']:.0f} seconds.",
        "",
    ]
    if report["form"] == "short":
        lines += ["Sizes are small: this shows that all parts run, not how fast a card is.", ""]
    lines += ["| part | what | state | s |", "|---|---|---|---|"]
    for name, each in report["parts"].items():
        lines.append(f"| {name} | {each['title']} | {each['state']} | {each['seconds']:.0f} |")
    for name, each in report["parts"].items():
        lines += ["", f"## {name[0].upper()}{name[1:]}: {each['title']}", ""]
        if each["state"] != "done":
            lines.append(f"{each['state'].capitalize()}: {each['reason']}")
        elif not isinstance(each["result"], dict):
            lines.append(str(each["result"]))
        else:
            lines += ["| | |", "|---|---|"]
            lines += [f"| {_cell(key)} | {value} |" for key, value in _flat(each["result"])]
    return "\n".join(lines) + "\n"


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:  # noqa: ANN401
    """The leaves of a result, by their path; lists of numbers in one cell."""
    if isinstance(value, dict):
        rows = [_flat(each, f"{path}, {key}" if path else str(key)) for key, each in value.items()]
        return [row for some in rows for row in some]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        rows = [_flat(each, f"{path} {i + 1}") for i, each in enumerate(value)]
        return [row for some in rows for row in some]
    if isinstance(value, list):
        return [(path, ", ".join(_number(each) for each in value))]
    return [(path, _number(value))]


def _number(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.4g}" if isinstance(value, float) else _cell(str(value))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
