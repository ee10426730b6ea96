"""The step benchmark's report as Markdown, and its section of a page."""

import re
import statistics
from pathlib import Path
from typing import Any

from redream.files import whole_file


def as_table(report: dict[str, Any]) -> str:
    """The report, every number of it measured."""
    rate, base = report["gflop_per_s"], report["steps"]["threestudio"]
    lines = [
        f"{report['case'][0].upper()}{report['case'][1:]}; {report['machine']}, which multiplies "
        f"matrices at {rate:,.0f} GFLOP/s. {report['date']}, {report['rounds']} rounds.",
        "",
        "| VSD step, from latents | s | over threestudio | over ProlificDreamer | GFLOP "
        "| over threestudio | floor s | memory MB | by part, s |",
        "|---" * 9 + "|",
    ]
    for name, each in report["steps"].items():
        ratios = report["ratios"].get(name, {})
        time = [f"{r['time']:.2f}" for r in ratios.values()] or ["", ""]
        lines.append(
            f"| {name} | {statistics.median(each['seconds']):.3g} | {' | '.join(time)} "
            f"| {each['gflop']:,.1f} | {each['gflop'] / base['gflop']:.2f} "
            f"| {each['gflop'] / rate:.3g} | {_number(each['peak_mb'])} | {_parts(each)} |"
        )
    if report["whole"]:
        lines += ["", "| whole step of ReDream | s | memory MB | by part, s |", "|---" * 4 + "|"]
    for name, each in report["whole"].items():
        row = f"| {each['seconds']:.3g} | {_number(each['peak_mb'])} | {_parts(each)} |"
        lines.append(f"| {name} {row}")
    return "\n".join(lines)


def put(report: dict[str, Any], page: Path) -> None:
    """Replaces the case's section of a page, or adds it at the end."""
    case = report["case"]
    begin, end = f"<!-- step: {case} -->", "<!-- end of step -->"
    title = f"### {case[0].upper()}{case[1:]}"
    body = f"{title}\n\nWritten by `{report['command']}`.\n\n{as_table(report)}"
    section = f"{begin}\n{body}\n{end}"
    text = page.read_text("utf-8")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(text):
        text = pattern.sub(lambda _: section, text)
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    with whole_file(page) as temporary:
        temporary.write_text(text, "utf-8")


def _parts(each: dict[str, Any]) -> str:
    return ", ".join(f"{name} {seconds:.3g}" for name, seconds in each["parts"].items())


def _number(megabytes: float | None) -> str:
    return "" if megabytes is None else f"{megabytes:,.0f}"
