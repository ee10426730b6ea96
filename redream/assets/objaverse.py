"""Objaverse 1.0 as a store: 798,759 assets, of which only those that are loaded are downloaded."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import objaverse
from rich.console import Console
from rich.progress import track

from redream.assets.annotations import asset_record, file_facts
from redream.assets.base import Store
from redream.assets.captions import name_some, read_captions
from redream.assets.download import Downloader
from redream.assets.loading import load_mesh
from redream.assets.objaverse_cache import ObjaverseCache
from redream.types import Asset, TriangleMesh

_UID_LENGTH = 32  # Objaverse-XL's identifiers, which Cap3D's file has too, are 64 long
_MANY_SHARDS = 8


class ObjaverseStore(Store):
    """Objaverse 1.0 (Deitke et al., 2023), through the cache of the ``objaverse`` package.

    What is asked for is downloaded once, retried, checked and kept; with a warm cache no network
    is needed. Processes may share a cache, and the ``objaverse`` package may use it, too.

    Which assets there are: those of ``uids``; else those that have a caption; else all. An asset
    without a caption is called by its name, for which its annotation is fetched.

    Args:
        cache_dir: The folder with ``hf-objaverse-v1`` in it; ``~/.objaverse``, the package's own,
            by default.
        revision: Branch, tag or commit of the dataset on its hub. What is in the cache already is
            taken as it is.
        captions: Cap3D's captions or others of that form, a CSV without a header of
            ``uid,caption``; by default ``captions.csv`` in ``cache_dir`` where there is one.
        uids: Restricts the store to these assets.
        annotations: ``cached`` fills licences, authors, categories and counts from the annotations
            that are in the cache, and leaves the others to be looked up when an asset is used;
            ``download`` fetches those of all listed assets first, of which 160 files have
            everyone's. To filter by licence, build an index with ``download``.
        lvis: Whether to add the LVIS categories to the categories.
        base_url: Address of a folder that has the dataset's files, in place of the hub's. The
            environment variable ``HF_ENDPOINT`` names a mirror of the hub.
        num_tries: Tries of each download.
        timeout_s: Seconds without a byte after which a try has failed.
        backoff_s: Seconds before the second try; they double from try to try.

    Raises:
        ValueError: If an argument is wrong.
    """

    def __init__(
        self,
        cache_dir: str | Path | None = None,
        revision: str = "main",
        captions: str | Path | None = None,
        uids: list[str] | None = None,
        annotations: Literal["cached", "download"] = "cached",
        lvis: bool = False,
        base_url: str | None = None,
        num_tries: int = 5,
        timeout_s: float = 30.0,
        backoff_s: float = 1.0,
    ) -> None:
        if uids is not None and len(uids) == 0:
            raise ValueError("uids names no asset: leave it out for all of Objaverse")
        if annotations not in ("cached", "download"):
            raise ValueError(f"annotations must be cached or download, not {annotations!r}")
        root = Path(objaverse.BASE_PATH if cache_dir is None else cache_dir).expanduser().resolve()
        if (root / "object-paths.json.gz").is_file():
            raise ValueError(f"cache_dir is the folder above hf-objaverse-v1: give {root.parent}")
        self._arguments: dict[str, Any] = {"revision": revision, "annotations": annotations}
        self._arguments |= {"lvis": lvis, "num_tries": num_tries}
        self._arguments |= {"timeout_s": timeout_s, "backoff_s": backoff_s}
        if cache_dir is not None:
            self._arguments["cache_dir"] = str(root)
        if base_url is not None:
            self._arguments["base_url"] = base_url
        if uids is not None:
            self._arguments["uids"] = list(uids)
        self._captions_path = root / "captions.csv"
        if captions is not None:
            self._captions_path = Path(captions).expanduser().resolve()
            self._arguments["captions"] = str(self._captions_path)
        self._has_captions = captions is not None or self._captions_path.is_file()
        self._uids = None if uids is None else list(dict.fromkeys(uids))
        self._may_download, self._lvis = annotations == "download", lvis
        downloader = Downloader(num_tries, timeout_s, backoff_s)
        folder = root / Path(objaverse._VERSIONED_PATH).name
        self.cache = ObjaverseCache(folder, revision, base_url, downloader)

    def assets(self) -> list[Asset]:
        """Lists the assets in the dataset's order, or in that of ``uids``.

        Raises:
            ValueError: If one of ``uids`` is unknown, or no asset has a caption.
            OSError: If the captions, or a file of the dataset, can neither be found nor fetched.
        """
        paths = self.cache.paths()
        unknown = [uid for uid in self._uids or () if uid not in paths]
        if unknown:
            raise ValueError(f"Objaverse has no {len(unknown)} of uids: {name_some(unknown)}")
        captions = self._captions(paths)
        chosen = self._uids or [uid for uid in paths if uid in captions or not self._has_captions]
        if not chosen:
            raise ValueError(f"{self._captions_path} has no caption of an asset of Objaverse")
        without = [uid for uid in chosen if uid not in captions]
        if self._has_captions and without:
            warnings.warn(
                f"{self._captions_path} has no caption for {len(without)} of {len(chosen)} assets, "
                f"called by their names: {name_some(without)}",
                stacklevel=2,
            )
        return self._records(chosen, captions)

    def load(self, uid: str) -> TriangleMesh:
        """Loads an asset, downloaded where the cache lacks it, normalised to radius 0.9."""
        return load_mesh(self.cache.glb(uid))

    def complete(self, asset: Asset) -> Asset:
        """Looks up licence, author and source where the index does not know them.

        One annotation file is fetched where it has to be; where that fails, the GLB in the cache
        is asked, and a warning says so.
        """
        if "unknown" not in (asset.license, asset.author):
            return asset
        try:
            annotation = self.cache.annotations(self.cache.shard(asset.uid)).get(asset.uid, {})
        except OSError as error:
            annotation = {}
            warnings.warn(f"no annotation of {asset.uid}: {error}", stacklevel=2)
        file = self.cache.cached_glb(asset.uid)
        found = asset_record(
            asset.uid, asset.caption, asset.source, annotation, file_facts(file) if file else {}
        )
        return replace(
            asset,
            license=found.license if asset.license == "unknown" else asset.license,
            author=found.author if asset.author == "unknown" else asset.author,
            source=found.source,
            categories=asset.categories or found.categories,
            num_faces=found.num_faces if asset.num_faces is None else asset.num_faces,
            num_animations=(
                found.num_animations if asset.num_animations is None else asset.num_animations
            ),
        )

    def reference(self) -> dict[str, object]:
        """How to make this store again, with absolute paths."""
        return {"class_path": "redream.assets.ObjaverseStore", "init_args": dict(self._arguments)}

    def _captions(self, paths: Mapping[str, str]) -> dict[str, str]:
        if not self._has_captions:
            return {}
        if self._uids is not None:
            return read_captions(self._captions_path, set(self._uids))
        return read_captions(self._captions_path, paths, lambda uid: len(uid) != _UID_LENGTH)

    def _records(self, uids: list[str], captions: Mapping[str, str]) -> list[Asset]:
        """The records of assets, read shard by shard so that one shard is in memory at a time."""
        shards: dict[str, list[str]] = {}
        for uid in uids:
            shards.setdefault(self.cache.shard(uid), []).append(uid)
        categories = self._lvis_categories()
        records: dict[str, Asset] = {}
        for shard in track(
            shards,
            "Reading annotations",
            disable=len(shards) < _MANY_SHARDS,
            console=Console(stderr=True),
            transient=True,
        ):
            members = shards[shard]
            nameless = any(uid not in captions for uid in members)
            stated = self.cache.annotations(shard, self._may_download or nameless)
            for uid in members:
                annotation = stated.get(uid, {})
                caption = captions.get(uid) or str(annotation.get("name") or uid)
                known = (annotation,) if annotation else ()
                record = asset_record(uid, caption, f"objaverse:{uid}", *known)
                if uid in categories:
                    more = record.categories + categories[uid]
                    record = replace(record, categories=more)
                records[uid] = record
        return [records[uid] for uid in uids]

    def _lvis_categories(self) -> dict[str, tuple[str, ...]]:
        """The LVIS categories of each uid that has some."""
        found: dict[str, tuple[str, ...]] = {}
        for category, uids in (self.cache.lvis() if self._lvis else {}).items():
            for uid in uids:
                found[uid] = (*found.get(uid, ()), category)
        return found
