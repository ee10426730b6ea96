"""Files that a 3D file names: pictures, buffers, materials. They lie in its folder, or nowhere."""

from pathlib import Path, PurePosixPath

MAX_BYTES = 1 << 30
"""Of one such file."""


def read_beside(path: Path, name: str, near: Path | None = None) -> bytes:
    """Reads a file that a 3D file names; see :func:`find_beside`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is outside of the 3D file's folder, or too large.
    """
    return find_beside(path, name, near).read_bytes()


def find_beside(path: Path, name: str, near: Path | None = None) -> Path:
    r"""Finds a file that a 3D file names.

    Names of another computer stand for what they mean there: ``textures\wood.PNG`` may lie here as
    ``textures/wood.png``, and what is not at its path may lie beside by its name alone.

    Links are followed before looking where they lead, so neither ``../../secret.png`` nor a link
    to it shows what the user did not give.

    Args:
        path: The 3D file.
        name: What it names.
        near: The folder that the name is relative to; by default the 3D file's own.

    Returns:
        The named file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is outside of the 3D file's folder, or too large.
    """
    folder = path.parent.resolve()
    plain = name.strip().strip('"').replace("\\", "/")
    near = folder if near is None else near.resolve()
    alone = PurePosixPath(plain).name
    is_outside = False
    for place in (near / plain, near / alone, folder / plain, folder / alone):
        found = _in_any_case(place.resolve(), folder)
        is_outside = is_outside or not place.resolve().is_relative_to(folder)
        if found is not None and alone not in ("", ".."):
            if found.stat().st_size > MAX_BYTES:
                raise ValueError(f"it names {name!r}, which has more than {MAX_BYTES >> 20} MiB")
            return found
    if is_outside:
        raise ValueError(f"it names {name!r}, which is outside of its folder: put it beside")
    raise FileNotFoundError(f"it names {name!r}, which is not there")


def _in_any_case(place: Path, folder: Path) -> Path | None:
    """The file at a place within the folder, whatever the case of its letters; None without one."""
    if not place.is_relative_to(folder):
        return None
    if place.is_file():
        return place
    found = folder
    for part in place.relative_to(folder).parts:
        if not (found / part).exists():
            if not found.is_dir():
                return None
            alike = sorted(each for each in found.iterdir() if each.name.lower() == part.lower())
            if not alike:
                return None
            part = alike[0].name
        found = found / part
    found = found.resolve()
    return found if found.is_file() and found.is_relative_to(folder) else None
