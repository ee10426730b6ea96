"""Files that a 3D file names: pictures, buffers, materials. They lie in its folder, or nowhere."""

from pathlib import Path, PureWindowsPath

from trimesh.resolvers import FilePathResolver

MAX_BYTES = 1 << 30
"""Of one such file."""


def read_beside(path: Path, name: str) -> bytes:
    """Reads a file that a 3D file names.

    Links are followed before looking where they lead, so neither ``../../secret.png`` nor a link
    to it shows what the user did not give.

    Args:
        path: The 3D file.
        name: What it names, relative to its folder.

    Returns:
        The named file's content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is outside of the 3D file's folder, or too large.
    """
    folder = path.parent.resolve()
    named = (folder / name.strip()).resolve()
    if not named.is_relative_to(folder):
        raise ValueError(f"it names {name!r}, which is outside of its folder: put it beside")
    if not named.is_file():
        raise FileNotFoundError(f"it names {name!r}, which is not there")
    if named.stat().st_size > MAX_BYTES:
        raise ValueError(f"it names {name!r}, which has more than {MAX_BYTES >> 20} MiB")
    return named.read_bytes()


class FilesBeside(FilePathResolver):
    """The same for trimesh, which asks for what a 3D file names.

    A path of another computer, as MTL files have it, stands for the file of its name beside.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def get(self, name: str) -> bytes:
        """Reads a file, by its name alone where there is none at its path."""
        try:
            return read_beside(self._path, name)
        except (OSError, ValueError):
            alone = PureWindowsPath(name.strip()).name
            if alone in ("", "..", name):
                raise
            return read_beside(self._path, alone)
