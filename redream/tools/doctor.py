"""``redream doctor``: what this computer has for ReDream, and what each missing part costs."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from redream import __version__
from redream.plugins import one_line
from redream.tools import computer
from redream.tools.arguments import ToolParser
from redream.tools.computer import Finding

REQUIRED = (
    "torch lightning jsonargparse diffusers transformers peft open_clip_torch huggingface_hub "
    "objaverse trimesh warp-lang safetensors pyarrow xatlas imageio-ffmpeg"
).split()
"""Distributions without which some verb does not run."""

OPTIONAL = {
    "scann": "a search of millions of assets has to read every vector",
    "faiss-cpu": "no FaissRetriever, approximate search where ScaNN has no wheels",
    "ray": "no `redream sweep`, no index on a cluster; pip install 'redream[ray]'",
    "rembg": "pictures of objects must bring their transparency or mask; pip install "
    "'redream[image]'",
    "kaolin": "the plugin DMTet takes our marching tetrahedra, which give the same mesh",
}
"""Distributions that may be missing, and what that costs."""

_MARKS = {"ok": "ok", "missing": "--", "broken": "!!", "low": "!!"}


def main(verb: str, arguments: Sequence[str]) -> None:
    """Prints the findings.

    Args:
        verb: ``doctor``.
        arguments: The command line after the verb.
    """
    options = _parser(verb).parse_args(arguments)
    findings = [*examine(), *(examine_generator(each) for each in options.generator)]
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
        return
    width = max(len(finding.part) for finding in findings)
    for finding in findings:
        print(f"{_MARKS[finding.state]:2}  {finding.part:{width}}  {finding.found}")
        if finding.cost:
            print(f"    {'':{width}}  costs: {finding.cost}")
    faults = [finding.part for finding in findings if finding.state == "broken"]
    print(f"\nbroken: {', '.join(faults)}" if faults else "\nnothing is broken")


def _parser(verb: str) -> ToolParser:
    parser = ToolParser(
        prog=f"redream {verb}",
        description="Say what this computer has for ReDream, and what each missing part costs.",
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument(
        "--generator",
        metavar="LINE",
        action="append",
        default=[],
        help="look at a generator, too: its command, such as 'tool --image {image} --out {glb}', "
        "or the folder or hub id of a Shap-E",
    )
    return parser


def examine() -> list[Finding]:
    """Looks at everything; what fails in any way is a finding, too."""
    findings = [
        Finding("redream", "ok", f"{__version__}, Python {sys.version.split()[0]}"),
        *(_required(name) for name in REQUIRED),
        *(_optional(name, cost) for name, cost in OPTIONAL.items()),
    ]
    checks: dict[str, Callable[[], Finding]] = {
        "GPU": computer.gpu,
        "kernels": computer.kernels,
        "hub": computer.hub,
        "Shap-E": _shap_e,
        "memory": computer.memory,
        "disk": computer.disk,
        "cache": computer.cache,
        "hub cache": computer.hub_cache,
    }
    for part, check in checks.items():
        try:
            findings.append(check())
        except Exception as error:  # a doctor who falls ill is no help
            reason = f"{type(error).__name__}: {one_line(error)}"
            findings.append(Finding(part, "broken", reason))
    return findings


def examine_generator(named: str) -> Finding:
    """Looks at a generator: what it needs, and what of that is missing."""
    from redream.sources import Command, Generator, ShapE

    part = f"generator {named.split()[0] if named.split() else named}"
    try:
        generator: Generator = Command(named) if "{" in named else ShapE(named)
        lacking = generator.lacks()
        if lacking:
            return Finding(part, "missing", "cannot run", "; ".join(lacking))
        asks = (
            "needs a picture: data.image, or what a run paints"
            if generator.needs_picture
            else "reads text"
        )
        return Finding(part, "ok", f"{generator.author}, {asks}")
    except Exception as error:  # a doctor who falls ill is no help
        return Finding(part, "broken", one_line(error), "no meshes are generated with it")


def _shap_e() -> Finding:
    """Whether Shap-E, the generator that needs no other program, has its weights here."""
    from redream.sources import ShapE

    lacking = ShapE().lacks()
    if lacking:
        return Finding("Shap-E", "missing", "no weights", "; ".join(lacking))
    return Finding("Shap-E", "ok", ShapE().model)


def _required(name: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, "broken", "missing", "ReDream needs it: pip install redream")


def _optional(name: str, cost: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, "missing", "not installed", cost)
