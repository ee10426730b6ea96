"""Objaverse's files on disk, as the ``objaverse`` package lays them out, fetched when needed.

================================  ========================================================
``object-paths.json.gz``          from every uid to its GLB's path
``metadata/000-XXX.json.gz``      annotations of the uids of one shard of 160
``lvis-annotations.json.gz``      from each LVIS category to its uids
``glbs/000-XXX/<uid>.glb``        the assets
================================  ========================================================

A cache of the package's own is used as it is, and the package can use one of ours.
"""

import gzip
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_url

from redream.assets.download import Downloader
from redream.assets.gltf import read_header
from redream.plain_data import read_json

_DATASET = "allenai/objaverse"
_PATHS, _LVIS = "object-paths.json.gz", "lvis-annotations.json.gz"
_GLB_PATH = re.compile(r"glbs/(\d{3}-\d{3})/([\w-]+)\.glb", re.ASCII)


class ObjaverseCache:
    """The files of Objaverse in a folder, each downloaded when it is first asked for.

    A cached file that is cut short or broken is fetched again. Processes may share the folder.

    Args:
        folder: The folder with ``object-paths.json.gz``, ``metadata/`` and ``glbs/``.
        revision: Branch, tag or commit of the dataset on the Hugging Face hub.
        base_url: Where these files lie on another server; None for the hub, or the mirror that
            the environment variable ``HF_ENDPOINT`` names.
        downloader: How to download.

    Raises:
        ValueError: If ``base_url`` is no HTTP address.
    """

    def __init__(
        self, folder: Path, revision: str, base_url: str | None, downloader: Downloader
    ) -> None:
        if base_url is not None and not base_url.startswith(("http://", "https://")):
            raise ValueError(f"base_url must begin with http:// or https://, not be {base_url!r}")
        self.folder, self.revision, self.base_url = folder, revision, base_url
        self.downloader = downloader
        self._paths: dict[str, str] | None = None

    def url(self, name: str) -> str:
        """The address of one of the dataset's files."""
        if self.base_url is not None:
            return f"{self.base_url.rstrip('/')}/{name}"
        return str(hf_hub_url(_DATASET, name, repo_type="dataset", revision=self.revision))

    def paths(self) -> dict[str, str]:
        """From every uid of Objaverse to its GLB's path, in the dataset's order."""
        if self._paths is None:
            self._paths = self._json(_PATHS)
        return self._paths

    def shard(self, uid: str) -> str:
        """The shard that a uid's annotation and GLB lie in.

        Raises:
            ValueError: If the uid is unknown, or its path leads out of the cache.
        """
        path = self.paths().get(uid)
        if path is None:
            raise ValueError(f"Objaverse has no asset {uid!r}")
        match = _GLB_PATH.fullmatch(path) if isinstance(path, str) else None
        if match is None or match[2] != uid:
            raise ValueError(f"{self.folder / _PATHS} names {path!r} for {uid}: remove that file")
        return match[1]

    def annotations(self, shard: str, download: bool = True) -> dict[str, Any]:
        """The annotations of a shard's uids.

        Args:
            shard: Such as ``000-123``.
            download: Whether to fetch what the cache lacks.

        Returns:
            From uid to annotation; empty where the cache has no such shard and may not fetch it.
        """
        return self._json(f"metadata/{shard}.json.gz", download)

    def lvis(self) -> dict[str, list[str]]:
        """From each LVIS category to its uids; about 46,000 assets have one."""
        return self._json(_LVIS)

    def glb(self, uid: str) -> Path:
        """The asset's file, downloaded where the cache has none that is whole.

        Raises:
            ValueError: If the uid is unknown.
            OSError: If it can neither be found nor fetched.
        """
        cached = self.cached_glb(uid)
        if cached is not None:
            return cached
        name = self._glb_name(uid)
        self._fetch(name, read_header)
        return self.folder / name

    def cached_glb(self, uid: str) -> Path | None:
        """The asset's file where the cache has a whole one."""
        path = self.folder / self._glb_name(uid)
        try:
            read_header(path)
        except (FileNotFoundError, ValueError):
            return None
        return path

    def _glb_name(self, uid: str) -> str:
        return f"glbs/{self.shard(uid)}/{uid}.glb"

    def _json(self, name: str, download: bool = True) -> dict[str, Any]:
        """A JSON object of the dataset, fetched where it is missing or broken."""
        try:
            return _read_json(self.folder / name)
        except (FileNotFoundError, ValueError):
            if not download:
                return {}
            self._fetch(name, _read_json)
        return _read_json(self.folder / name)

    def _fetch(self, name: str, check: Callable[[Path], object]) -> None:
        path = self.folder / name
        state = "is broken" if path.exists() else "is not in the cache"
        try:
            if self.base_url is None and constants.HF_HUB_OFFLINE:
                raise ConnectionError("HF_HUB_OFFLINE forbids to download it")
            self.downloader.fetch(self.url(name), path, check)
        except OSError as error:
            raise ConnectionError(
                f"{path} {state}, and {error}: go online once, or copy the file there"
            ) from error


def _read_json(path: Path) -> dict[str, Any]:
    """Reads a gzipped JSON object.

    Raises:
        ValueError: If it is cut short or broken.
    """
    try:
        with gzip.open(path, "rb") as file:
            entries = read_json(file.read())
    except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
        raise ValueError(f"it is no whole gzipped JSON ({error})") from error
    if not isinstance(entries, dict):
        raise ValueError("its JSON is not an object")
    return entries
