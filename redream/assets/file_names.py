"""Names of a folder's files: uids that stay, and words to call an asset by."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from redream.assets.loading import SUFFIXES


def named_files(folder: Path) -> dict[str, Path]:
    """The 3D files of a folder and its subfolders by uid, ordered by path.

    Args:
        folder: The folder; what begins with a dot is left out.

    Returns:
        From uid to file. A uid is the file's stem; of files of one stem, the path in the folder
        without its suffix; of files that differ by their suffix alone, the path with it.
    """
    found = []
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in path.parts)
        if not hidden and file.suffix.lower() in SUFFIXES and file.is_file():
            found.append(path)
    stems: dict[str, list[Path]] = defaultdict(list)
    paths: dict[Path, list[Path]] = defaultdict(list)
    for path in found:
        stems[path.stem].append(path)
        paths[path.with_suffix("")].append(path)
    uids: dict[str, Path] = {}
    for path in found:
        uid = path.stem
        if len(stems[path.stem]) > 1:
            alone = len(paths[path.with_suffix("")]) == 1
            uid = (path.with_suffix("") if alone else path).as_posix()
        while uid in uids:  # a stem of dots may look like another's suffix
            uid = f"{uid}{path.suffix}"
        uids[uid] = folder / path
    return uids


def spoken_names(files: Mapping[str, Path]) -> dict[str, str]:
    """What to call assets that have no caption: their uid, or what tells it from its likes.

    Of ``chair_1/meshes/model`` and ``table/meshes/model`` that is ``chair 1`` and ``table``.
    """
    likes: dict[str, set[str]] = {}
    for uid, file in files.items():
        parts = set(uid.split("/"))
        likes[file.stem] = likes.get(file.stem, parts) & parts
    names = {}
    for uid, file in files.items():
        told = [part for part in uid.split("/") if part not in likes[file.stem]]
        named = " ".join(told) if "/" in uid and told else uid
        names[uid] = named.replace("_", " ").replace("-", " ")
    return names
