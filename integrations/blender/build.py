"""Builds the extension's archive as Blender's ``extension build`` does it, without Blender.

    python integrations/blender/build.py --out dist

The same sources make the same bytes.
"""

import argparse
import os
import re
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / "redream_blender"
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # the earliest time that a ZIP can say


def build(out: Path) -> Path:
    """Writes ``ID-VERSION.zip``, whole or not at all.

    Args:
        out: The folder that it goes to.

    Returns:
        Its path.
    """
    manifest = (SOURCE / "blender_manifest.toml").read_text("utf-8")
    identifier, version = (
        re.search(rf'(?m)^{key} = "(.+)"$', manifest).group(1)  # type: ignore[union-attr]
        for key in ("id", "version")
    )
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{identifier}-{version}.zip"
    temporary = path.with_suffix(".part")
    files = [each for each in sorted(SOURCE.iterdir()) if each.suffix in (".py", ".toml")]
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in [*files, HERE.parents[1] / "LICENSE"]:
            entry = zipfile.ZipInfo(file.name, _BEGINNING)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
    os.replace(temporary, path)
    return path


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("dist"), help="the archive's folder")
    print(build(parser.parse_args().out))


if __name__ == "__main__":
    main()
