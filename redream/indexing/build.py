"""The building of an index: what is to be done, what is done, and the folder at the end."""

import json
import shutil
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler

from redream.assets import Store
from redream.files import whole_file
from redream.indexing.alone import building_alone
from redream.indexing.finished import Finished, find_finished, gather, require_none_missing
from redream.indexing.pictures import PictureSource, RenderedPictures
from redream.indexing.progress import AssetProgress
from redream.indexing.shards import Shard, read_shards
from redream.plain_data import as_json, read_json
from redream.retrieval import EmbeddingIndex, Encoder
from redream.retrieval.portable import Reference
from redream.retrieval.writing import check_replaceable, write_index
from redream.types import Asset

POOLING = "mean of unit vectors, made unit again"


class ShownAsset(NamedTuple):
    """An asset ready to be embedded.

    Attributes:
        asset: The asset.
        pictures: Its pictures in 8 bits; None where it has none to embed.
        reason: Why it cannot be shown; None where it can.
    """

    asset: Asset
    pictures: UInt8[Tensor, "M 3 H W"] | None
    reason: str | None = None


class IndexBuild:
    """Turns assets into an index, shard by shard.

    Finished shards lie in a hidden folder beside the index. A build that was killed goes on from
    them, whatever the number of processes then; the index appears at the end, whole. From its
    beginning until it is assembled, closed or its process ends, a build has the index folder for
    itself.

    Args:
        assets: What to index, with captions.
        encoder: Makes the vectors.
        out: The index folder; an index that is already there is replaced at the end.
        pictures: Gives the pictures; None makes an index of texts.
        store: How to make the store again that the assets are loaded from.
        shard_size: Assets embedded and kept together.
        is_first: Whether this is the first of the build's processes, which has the folder for all
            of them and assembles.

    Raises:
        ValueError: If there is nothing to index, a uid comes twice, ``out`` is something else,
            another build of it is at work, or an unfinished build there was begun otherwise.
        OSError: If nothing can be written there.
    """

    def __init__(
        self,
        assets: Sequence[Asset],
        encoder: Encoder,
        out: str | Path,
        pictures: PictureSource | None,
        store: Reference | None = None,
        shard_size: int = 32,
        is_first: bool = True,
    ) -> None:
        if not assets:
            raise ValueError("there is nothing to index: the store has no asset")
        if shard_size < 1:
            raise ValueError(f"shard_size is {shard_size}, and must be at least 1")
        seen = set[str]()
        for asset in assets:
            if asset.uid in seen:
                raise ValueError(f"two assets have the uid {asset.uid}: each may come once")
            seen.add(asset.uid)
        self.assets, self.encoder, self.pictures, self.store = assets, encoder, pictures, store
        self.out, self.shard_size = Path(out).expanduser().absolute(), shard_size
        check_replaceable(self.out)
        self.unfinished = self.out.with_name(f".{self.out.name}.building")
        with ExitStack() as alone:
            if is_first:
                alone.enter_context(building_alone(self.out))
            self._begin(is_first)
            finished = {
                row
                for shard in read_shards(self.unfinished, vectors=False)
                for row in zip(shard.uids, shard.captions, strict=True)
            }
            self._alone = alone.pop_all()
        self.pending = [each for each in assets if (each.uid, each.caption) not in finished]

    def __getstate__(self) -> dict[str, Any]:
        """The build for another process, which does not take the folder from this one."""
        return self.__dict__ | {"_alone": ExitStack()}

    def close(self) -> None:
        """Lets go of the index folder; the finished shards stay for another build of it."""
        self._alone.close()

    def _begin(self, is_first: bool) -> None:
        """Writes down what is built, or finds that the unfinished build there is the same."""
        plan = {
            "encoder": self.encoder.name,
            "pictures": None if self.pictures is None else self.pictures.settings(),
            "store": self.store,
        }
        plan = as_json(plan)
        path = self.unfinished / "plan.json"
        if path.is_file() and any(self.unfinished.glob("[!.]*.safetensors")):
            begun = read_json(path.read_text(encoding="utf-8"))
            other = [name for name in plan if begun.get(name) != plan[name]]
            if other:
                raise ValueError(
                    f"{self.unfinished} has an unfinished build with another {other[0]} "
                    f"({begun.get(other[0])}): finish that one, or remove the folder"
                )
        elif is_first:
            for shard in self.unfinished.glob("*.safetensors"):
                shard.unlink()  # whose encoder nobody knows: a removal was killed
            with whole_file(path) as temporary:
                temporary.write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")

    def batches(
        self, sampler: Sampler[int] | None = None, num_workers: int = 0
    ) -> "DataLoader[list[ShownAsset]]":
        """The pending assets with their pictures, ``shard_size`` at a time.

        Args:
            sampler: Which of them, by number; all by default.
            num_workers: Processes that make pictures ahead.
        """
        return DataLoader(
            AssetPictures(self.pending, self.pictures),  # type: ignore[arg-type]
            batch_size=self.shard_size,
            sampler=sampler,
            collate_fn=list,
            num_workers=num_workers,
            multiprocessing_context="spawn" if num_workers else None,  # kernels and forks differ
        )

    def embed(self, batch: Sequence[ShownAsset]) -> Shard:
        """Embeds assets; see :func:`embed_assets`."""
        return embed_assets(batch, self.encoder, self.pictures is not None)

    def keep(self, shard: Shard) -> None:
        """Writes a shard, with a warning for each asset that it had to leave out.

        Raises:
            ValueError: If the folder of the shards is gone.
        """
        for uid, reason in shard.left_out.items():
            warnings.warn(f"left {uid} out of the index: {reason}", stacklevel=2)
        if not self.unfinished.is_dir():
            raise ValueError(
                f"{self.unfinished} is gone, and the finished shards with it: give the same "
                "command again, on a disk that all its processes share"
            )
        shard.save(self.unfinished)

    def assemble(self) -> EmbeddingIndex:
        """Makes the index of the finished shards, in the order of the assets, and removes them.

        The assets of a shard that turns out to be broken are embedded again, here. The build is
        over afterwards, also where it failed; another one goes on from the shards.

        Raises:
            ValueError: If no asset could be shown, or no shard has one that could; what stood at
                ``out`` is intact.
        """
        with self._alone:
            found = find_finished(self.unfinished, self.assets)
            if 0 < len(found.missing) <= found.num_broken * self.shard_size:
                for start in range(0, len(found.missing), self.shard_size):
                    shown = AssetPictures(found.missing[start:][: self.shard_size], self.pictures)
                    self.keep(self.embed([shown[row] for row in range(len(shown))]))
                found = find_finished(self.unfinished, self.assets)
            require_none_missing(found.missing, self.assets)
            index = self._write(found) if found.kept else None
            shutil.rmtree(self.unfinished, ignore_errors=True)  # what stays is looked at again
        if index is None:
            raise ValueError("none of the assets could be shown, so there is nothing to index")
        return index

    def _write(self, found: Finished) -> EmbeddingIndex:
        """Writes the index; its vectors are gathered on the disk."""
        assets = [asset for asset in self.assets if asset.uid in found.kept]
        kinds = ("text",) if self.pictures is None else ("text", "image")
        arrays = gather(self.unfinished, assets, kinds, found.dimension)
        manifest = {
            "preprocessing": self.encoder.preprocessing,
            "pooling": POOLING,
            "pictures": None if self.pictures is None else self.pictures.settings(),
            "num_views": found.num_views,
            "num_left_out": len(found.left_out),
            "left_out": found.left_out,
        }
        encoder = {"name": self.encoder.name, "init_args": self.encoder.init_args}
        image = arrays.get("image")
        return write_index(self.out, assets, arrays["text"], image, encoder, self.store, manifest)


class AssetPictures(Dataset[ShownAsset]):
    """Assets with their pictures, made when asked for.

    Args:
        assets: The assets.
        source: Makes the pictures; None for captions alone.
    """

    def __init__(self, assets: Sequence[Asset], source: PictureSource | None) -> None:
        self.assets, self.source = assets, source

    def __len__(self) -> int:
        return len(self.assets)

    def __getitem__(self, row: int) -> ShownAsset:
        asset = self.assets[row]
        if self.source is None:
            return ShownAsset(asset, None)
        try:
            pictures = self.source.pictures(asset.uid)
        except (ValueError, OSError) as error:
            return ShownAsset(asset, None, " ".join(str(error).split()))
        except Exception as error:  # one stranger's file must not end a job of days
            return ShownAsset(
                asset, None, f"{type(error).__name__}: {' '.join(str(error).split())}"
            )
        return ShownAsset(asset, to_bytes(pictures))


def embed_assets(batch: Sequence[ShownAsset], encoder: Encoder, with_pictures: bool) -> Shard:
    """Embeds assets; those whose vector is not finite are left out like unshowable ones.

    Args:
        batch: The assets.
        encoder: Makes the vectors.
        with_pictures: Whether pictures are embedded, too.
    """
    left_out = {each.asset.uid: each.reason for each in batch if each.reason is not None}
    kept = [each for each in batch if each.reason is None]
    text = encoder.encode_texts([each.asset.caption for each in kept]) if kept else None
    image = None
    if text is None:
        text = torch.empty(0, 0)
    if with_pictures:
        shown = [each.pictures for each in kept if each.pictures is not None]
        image = torch.stack(embed_pictures(shown, encoder)) if shown else text
    vectors = text if image is None else torch.cat([text, image], dim=1)
    finite = vectors.isfinite().all(1)
    for row in (~finite).nonzero().flatten().tolist():
        left_out[kept[row].asset.uid] = "its vector is not finite"
    rows = finite.nonzero().flatten().tolist()
    return Shard(
        uids=tuple(kept[row].asset.uid for row in rows),
        captions=tuple(kept[row].asset.caption for row in rows),
        num_views=tuple(_num_views(kept[row]) for row in rows),
        left_out=left_out,
        text=text[finite].half(),
        image=None if image is None else image[finite].half(),
    )


def to_bytes(pictures: Float[Tensor, "M 3 H W"]) -> UInt8[Tensor, "M 3 H W"]:
    """Pictures in 8 bits, as files have them."""
    return (pictures * 255.0).round().clamp(0.0, 255.0).byte()


def embed_pictures(
    pictures: Sequence[UInt8[Tensor, "M 3 H W"]], encoder: Encoder
) -> list[Float[Tensor, " D"]]:
    """One unit vector for each asset: its pictures' vectors pooled."""
    return [
        functional.normalize(encoder.encode_images(each.float() / 255.0).mean(0), dim=0)
        for each in pictures
    ]


def index_store(
    store: Store,
    encoder: Encoder,
    out: str | Path,
    num_views: int = 8,
    elevation_deg: float = 15.0,
    distance: float = 3.0,
    fovy_deg: float = 40.0,
    background: float = 1.0,
    progress: bool = True,
) -> EmbeddingIndex:
    """Renders every asset of a store from all round and writes the index, in this process.

    The same build as that of ``redream index build``, without Lightning's loop around it: small
    libraries are done before Lightning is imported.

    Args:
        store: Where the assets are.
        encoder: Embeds captions and pictures.
        out: The index folder.
        num_views: Pictures of each asset, at equal azimuth steps.
        elevation_deg: Elevation of the cameras.
        distance: Distance of the cameras.
        fovy_deg: Vertical field of view.
        background: Grey level behind the assets.
        progress: Whether to show progress.

    Returns:
        The index, opened.

    Raises:
        ValueError: If no asset can be indexed.
    """
    views = (num_views, elevation_deg, distance, fovy_deg, background)
    pictures = RenderedPictures(store, encoder.image_size, *views)
    with closing(IndexBuild(store.assets(), encoder, out, pictures, store.reference())) as build:
        total = len(build.assets)
        with AssetProgress(total, total - len(build.pending), progress) as bar:
            for batch in build.batches():
                build.keep(build.embed(batch))
                bar.advance(len(batch))
        return build.assemble()


def _num_views(shown: ShownAsset) -> int:
    return 0 if shown.pictures is None else len(shown.pictures)
