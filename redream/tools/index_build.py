"""``redream index build``: a store's assets, embedded in Lightning's predict loop."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from jsonargparse import Namespace
from lightning import Trainer

from redream.assets.captions import read_captions
from redream.assets.uid_lists import read_uid_list
from redream.indexing import IndexBuild
from redream.indexing.cap3d import Cap3DPictures
from redream.indexing.captions import with_captions
from redream.indexing.predict import run_build
from redream.retrieval import EmbeddingIndex
from redream.tools.cluster import Cluster
from redream.tools.index_cluster import build_on_cluster
from redream.tools.index_options import NO_STORE, SHARD, TEXT_SHARD, made_of
from redream.types import Asset


def build(arguments: Sequence[str]) -> None:
    """Parses the options, embeds what is not embedded yet, and makes the index.

    Args:
        arguments: The command line after ``redream index build``.

    Raises:
        ValueError: If the store, the captions, the encoder or the output is wrong.
    """
    made, pictures = made_of(arguments, writes=True)
    cluster = Cluster(**vars(made.ray))
    if cluster.cpus < 1 or min(cluster.workers, cluster.retries, cluster.gpus) < 0:
        raise ValueError("--ray.cpus must be at least 1, the other numbers of --ray not negative")
    assets = _assets(made)
    if made.only is not None:
        assets = _chosen(assets, made.only)
    if isinstance(pictures, Cap3DPictures):
        assets = pictures.shown(assets)
    is_on_cluster = cluster.address is not None or cluster.workers > 0
    trainer = None if is_on_cluster else Trainer(**made.trainer)  # knows which process this is
    job = IndexBuild(
        assets,
        made.encoder,
        made.out,
        pictures,
        None if made.get("store") is None else made.store.reference(),
        made.shard_size or (TEXT_SHARD if made.pictures == "none" else SHARD),
        is_first=trainer is None or trainer.is_global_zero,
    )
    with closing(job):
        index: EmbeddingIndex | None
        if trainer is None:
            index = build_on_cluster(job, arguments, cluster)
        else:
            index = run_build(job, trainer, made.num_workers)
    if index is not None:
        left_out = len(assets) - len(index)
        named = f"; {left_out} left out, named in its manifest" if left_out else ""
        print(f"{len(index)} assets in {made.out}{named}")


def _assets(made: Namespace) -> list[Asset]:
    """The store's assets with their captions, or those that the captions name."""
    if made.get("store") is None:
        if made.captions is None:
            raise ValueError(NO_STORE)
        captions = read_captions(made.captions)
        return [Asset(uid, caption) for uid, caption in captions.items()]
    assets: list[Asset] = made.store.assets()
    if made.captions is None:
        return assets
    return with_captions(assets, read_captions(made.captions))


def _chosen(assets: list[Asset], path: Path) -> list[Asset]:
    """Those assets that a curated list names."""
    wanted = read_uid_list(path)
    chosen = [asset for asset in assets if asset.uid in wanted]
    if not chosen:
        first = next(iter(wanted))
        raise ValueError(f"none of the {len(wanted)} uids of {path} is there, such as {first}")
    print(f"{len(chosen)} of {len(assets)} assets are among the {len(wanted)} of {path}")
    return chosen
