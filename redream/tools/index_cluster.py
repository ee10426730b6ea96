"""The shards of an index on a Ray cluster: each is one task, and the driver keeps what comes."""

import sys
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from redream.escaping import on_one_line
from redream.indexing import IndexBuild, PictureSource
from redream.indexing.build import AssetPictures, embed_assets
from redream.indexing.progress import AssetProgress
from redream.indexing.shards import Shard
from redream.retrieval import EmbeddingIndex, Encoder
from redream.signals import leave_if_asked
from redream.tools.cluster import Cluster, on_cluster, reason_of, stand_in
from redream.tools.index_options import made_of
from redream.types import Asset

_ENOUGH_FAILED = 3  # shards in a row, before any succeeded: it is no single asset's fault


class Workshop(NamedTuple):
    """What makes shards in a worker, once for all of them.

    Attributes:
        pictures: Gives the pictures; None in an index of texts.
        encoder: Makes the vectors.
    """

    pictures: PictureSource | None
    encoder: Encoder


@lru_cache(maxsize=1)
def workshop(arguments: tuple[str, ...]) -> Workshop:
    """Makes a worker's store and encoder of the driver's own command line."""
    made, pictures = made_of(arguments)
    return Workshop(pictures, made.encoder)


def make_shard(arguments: tuple[str, ...], started_in: Path, assets: Sequence[Asset]) -> Shard:
    """One task: loads, renders and embeds some assets.

    Args:
        arguments: The command line after ``redream index build``.
        started_in: Where it was given.
        assets: What to embed.
    """
    stand_in(started_in)
    torch.set_num_threads(1)  # a worker has a processor, and there are as many workers
    pictures, encoder = workshop(arguments)
    shown = AssetPictures(assets, pictures)
    return embed_assets(
        [shown[row] for row in range(len(assets))], encoder, with_pictures=pictures is not None
    )


def build_on_cluster(job: IndexBuild, arguments: Sequence[str], cluster: Cluster) -> EmbeddingIndex:
    """Makes the pending shards on a cluster, then the index here.

    Only the driver writes. A lost worker costs its shard's work; the driver may be killed and
    started again by the same command, and goes on from the shards that it has kept.

    Args:
        job: What is built.
        arguments: The command line after ``redream index build``; workers make it their own.
        cluster: Where.

    Returns:
        The index.

    Raises:
        ValueError: If shards failed; those that did not are kept.
        ImportError: If Ray is missing.
    """
    if job.pending:
        started_in = Path.cwd()
        num_cpus = cluster.workers * cluster.cpus or None
        with on_cluster("a build on a cluster", cluster.address, num_cpus) as ray:
            _drive(ray, job, (tuple(arguments), started_in), cluster)
    return job.assemble()


def _drive(
    ray: Any,  # noqa: ANN401
    job: IndexBuild,
    common: tuple[tuple[str, ...], Path],
    cluster: Cluster,
) -> None:
    """Hands out shards, a few more than there are workers, and keeps them as they come."""
    task = ray.remote(max_retries=cluster.retries, num_cpus=cluster.cpus, num_gpus=cluster.gpus)(
        make_shard
    )
    size = job.shard_size
    waiting = deque(job.pending[at : at + size] for at in range(0, len(job.pending), size))
    at_once = 2 * max(1, int(ray.cluster_resources().get("CPU", 1.0)) // cluster.cpus)
    pending: dict[Any, Sequence[Asset]] = {}
    failures: list[str] = []
    num_made, total = 0, len(job.assets)
    with AssetProgress(total, total - len(job.pending)) as progress:
        while waiting or pending:
            while waiting and len(pending) < at_once:
                assets: Sequence[Asset] = waiting.popleft()
                pending[task.remote(*common, assets)] = assets
            ready, _ = ray.wait(list(pending), timeout=1.0)
            leave_if_asked()
            for reference in ready:
                assets = pending.pop(reference)
                try:
                    shard = ray.get(reference)
                except ray.exceptions.RayTaskError as error:  # its own words
                    failures.append(reason_of(error))
                    print(f"redream: a shard failed: {failures[-1]}", file=sys.stderr)
                    if not num_made and len(failures) == _ENOUGH_FAILED:
                        raise ValueError(f"no shard can be made: {failures[-1]}") from error
                    continue
                except ray.exceptions.RayError as error:  # its worker died, again and again
                    shard = _halved(assets, waiting, reason_of(error))
                    if shard is None:
                        continue
                job.keep(shard)
                num_made += 1
                progress.advance(len(assets))
    if failures:
        raise ValueError(
            f"{len(failures)} shards failed, the last because of: {failures[-1]}; the others are "
            "kept, and the same command tries these again"
        )


def _halved(assets: Sequence[Asset], waiting: "deque[list[Asset]]", reason: str) -> Shard | None:
    """Looks for the asset that kills its workers: halves a shard until one is left out."""
    if len(assets) > 1:
        half = len(assets) // 2
        waiting.extendleft([list(assets[half:]), list(assets[:half])])
        return None
    told = on_one_line(f"its workers died ({reason})")
    empty = torch.empty(0, 0).half()
    return Shard((), (), (), {assets[0].uid: told}, empty, None)
