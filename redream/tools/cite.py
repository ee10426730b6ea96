"""``redream cite RUN``: what to cite of a run, as BibTeX: its method, its parts, its assets."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from redream.plain_data import read_json, read_yaml
from redream.tools.arguments import ToolParser

WORKS = {
    "SDS": ("poole2023dreamfusion",),
    "VSD": ("wang2023prolificdreamer",),
    "ASD": ("ma2024scaledreamer",),
    "CSD": ("yu2024csd",),
    "SDSBridge": ("mcallister2024rethinking",),
    "ISM": ("liang2024luciddreamer",),
    "SDI": ("lukoianov2024sdi",),
    "Reuse": ("chen2024microdreamer",),
    "SumOfPriors": ("qian2024magic123",),  # and its ways
    "JSD": ("jiang2024jointdreamer",),
    "StableDiffusionPrior": ("rombach2022ldm",),
    "MVDreamPrior": ("shi2024mvdream", "rombach2022ldm"),
    "ImageDreamPrior": ("wang2023imagedream", "rombach2022ldm"),
    "MVAdapterPrior": ("huang2024mvadapter", "rombach2022ldm"),
    "Zero123Prior": ("liu2023zero123", "rombach2022ldm"),
    "StableZero123Prior": ("liu2023zero123", "rombach2022ldm"),
    "LightAdapter": ("hu2022lora",),
    "VariationalAdapter": ("hu2022lora",),
    "NeRF": ("mildenhall2020nerf", "mueller2022instant"),
    "Splats": ("kerbl2023splatting", "kheradmand2024mcmc"),
    "DMTet": ("shen2021dmtet",),
    "PerpNeg": ("armandpour2023perpneg",),
    "DebiasedPrompt": ("hong2023debiasing",),
    "ScannRetriever": ("guo2020scann",),
    "FaissRetriever": ("douze2024faiss",),
    "ObjaverseStore": ("deitke2023objaverse", "luo2023cap3d"),
    "ClipScore": ("radford2021clip",),
    "ALPIPS": ("zhang2018lpips",),
}
"""The works behind classes that a configuration names."""

ARGUMENTS = {
    "encoder": ("radford2021clip",),
    "path_steps": ("xu2024diverse",),
    "rescale": ("lin2024common",),
}
"""The works behind arguments that are set to something."""

_SPECIAL = {each: f"\\{each}" for each in "&%$#_{}"} | {
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
}  # fmt: skip


def main(verb: str, arguments: Sequence[str]) -> None:
    """Prints the entries.

    Args:
        verb: ``cite``.
        arguments: The command line after the verb.
    """
    parser = ToolParser(
        prog=f"redream {verb}",
        description="Print what to cite of a run as BibTeX: the method, the parts that it was "
        "configured with, and the assets that it retrieved, with their authors and licences.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    options = parser.parse_args(arguments)
    print(bibliography(options.run))


def bibliography(run: Path) -> str:
    """What to cite of a run.

    Args:
        run: Its folder.

    Returns:
        BibTeX, the method first.

    Raises:
        ValueError: If the folder is no run's.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise ValueError(f"there is no {path}: name the folder of a run, as in outputs/demo")
    try:
        config = read_yaml(path)
    except ValueError:
        raise ValueError(f"{path} is no YAML: name the folder of a run") from None
    entries = known_entries()
    keys = dict.fromkeys(["seo2024redream", *cited(config)])
    return "\n\n".join([*(entries[key] for key in keys), *_assets(run)])


def known_entries() -> dict[str, str]:
    """The works' entries by their keys."""
    text = files("redream.tools").joinpath("references.bib").read_text("utf-8")
    parts = [part.strip() for part in text.split("\n\n") if part.strip()]
    return {part.partition("{")[2].partition(",")[0]: part for part in parts}


def cited(config: Any) -> Iterator[str]:  # noqa: ANN401
    """The keys of the works behind a configuration, in its order, with repetitions."""
    if isinstance(config, list):
        for each in config:
            yield from cited(each)
    if not isinstance(config, Mapping):
        return
    for key, value in config.items():
        if key == "class_path":
            yield from WORKS.get(str(value).rpartition(".")[2], ())
        elif value:
            yield from ARGUMENTS.get(str(key), ())
            yield from cited(value)


def asset_entry(asset: Mapping[str, Any]) -> str:
    """A retrieved asset as ``@misc``.

    Args:
        asset: ``uid``, ``caption``, ``author``, ``license`` and ``source``, as a model has them.
    """
    uid = str(asset.get("uid") or "unknown")
    fields = {
        "title": _in_tex(str(asset.get("caption") or uid)),
        "author": "{" + _in_tex(str(asset.get("author") or "unknown")) + "}",
        "note": f"3D asset {_in_tex(uid)}, licence: {_in_tex(str(asset.get('license')))}",
    }
    source = asset.get("source")
    if source:
        address = re.sub(r"[{}\\\s]", "", str(source))
        fields["howpublished"] = rf"\url{{{address}}}"
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    key = re.sub(r"[^A-Za-z0-9]+", "-", uid)
    return "\n".join([f"@misc{{asset-{key},", *lines, "}"])


def _assets(run: Path) -> list[str]:
    path = run / "metrics.json"
    try:
        assets = read_json(path)["assets"]
    except (OSError, ValueError, KeyError, TypeError):
        said = "its assets are in attribution.md once it has exported; they are not among these"
        print(f"redream: {path} names no assets: {said}", file=sys.stderr)
        return []
    return [asset_entry(each) for each in assets]


def _in_tex(text: str) -> str:
    return "".join(_SPECIAL.get(each, each) for each in " ".join(text.split()))
