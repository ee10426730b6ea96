"""``attribution.md``: whose assets a result was made from, and under which licences."""

from collections.abc import Sequence
from pathlib import Path

from redream.files import whole_file
from redream.types import Asset


def write_attribution(prompt: str, assets: Sequence[Asset], path: Path) -> None:
    """Lists the retrieved assets with author, licence and source, whole or not at all.

    Args:
        prompt: The user's prompt.
        assets: The retrieved assets, best first.
        path: A ``.md`` file.
    """
    lines = [f"# {prompt}", ""]
    if assets:
        lines += ["Made by ReDream from the prompt above and these 3D assets:", ""]
    else:
        lines += ["Made by ReDream from the prompt above alone; no asset was retrieved.", ""]
    for asset in assets:
        scores = ", ".join(f"{name} {score:.3f}" for name, score in asset.scores.items())
        lines += [
            f"## {asset.caption or asset.uid}",
            "",
            f"- uid: {asset.uid}",
            f"- author: {asset.author}",
            f"- license: {asset.license}",
            f"- source: {asset.source or 'not stated'}",
            f"- similarity: {scores or 'not stated'}",
            "",
        ]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
