"""``redream index build``: a store's assets, embedded in Lightning's predict loop."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning import Trainer

from redream.assets import Store
from redream.assets.captions import read_captions
from redream.assets.uid_lists import read_uid_list
from redream.indexing import IndexBuild, PictureSource, RenderedPictures
from redream.indexing.cap3d import Cap3DPictures
from redream.indexing.captions import with_captions
from redream.indexing.predict import run_build
from redream.plugins import find_class
from redream.retrieval import EmbeddingIndex, Encoder
from redream.retrieval.writing import check_replaceable
from redream.tools.index_cluster import Cluster, build_on_cluster
from redream.tools.lightning import Parser, prepare_parser
from redream.tools.output import require_writable
from redream.types import Asset

_SHARD, _TEXT_SHARD = 32, 1024  # assets of a shard, with pictures and without
_NO_STORE = (
    "name a --store; without one, --captions says what to index, and --pictures must be `none` or "
    "the renders of Cap3D"
)


def build(arguments: Sequence[str]) -> None:
    """Parses the options, embeds what is not embedded yet, and makes the index.

    Args:
        arguments: The command line after ``redream index build``.

    Raises:
        ValueError: If the store, the captions, the encoder or the output is wrong.
    """
    made, pictures = made_of(arguments)
    cluster = Cluster(**vars(made.ray))
    if cluster.cpus < 1 or min(cluster.workers, cluster.retries, cluster.gpus) < 0:
        raise ValueError("--ray.cpus must be at least 1, the other numbers of --ray not negative")
    assets = _assets(made)
    if made.only is not None:
        assets = _chosen(assets, made.only)
    if isinstance(pictures, Cap3DPictures):
        assets = pictures.shown(assets)
    job = IndexBuild(
        assets,
        made.encoder,
        made.out,
        pictures,
        None if made.get("store") is None else made.store.reference(),
        made.shard_size or (_TEXT_SHARD if made.pictures == "none" else _SHARD),
    )
    if cluster.address is not None or cluster.workers:
        index: EmbeddingIndex | None = build_on_cluster(job, arguments, cluster)
    else:
        index = run_build(job, Trainer(**made.trainer), made.num_workers)
    if index is not None:
        left_out = len(assets) - len(index)
        named = f"; {left_out} left out, named in its manifest" if left_out else ""
        print(f"{len(index)} assets in {made.out}{named}")


def made_of(arguments: Sequence[str]) -> tuple[Namespace, PictureSource | None]:
    """What a command line names, and its pictures; nothing is embedded or written yet."""
    parser = _parser()
    config = parser.parse_args(list(arguments))
    check_replaceable(config.out.expanduser())
    require_writable(config.out.expanduser().absolute().parent)
    _hand_captions_on(config)
    made = parser.instantiate(config)
    return made, _pictures(made)


def _assets(made: Namespace) -> list[Asset]:
    """The store's assets with their captions, or those that the captions name."""
    if made.get("store") is None:
        if made.captions is None:
            raise ValueError(_NO_STORE)
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


def _hand_captions_on(config: Namespace) -> None:
    """Lets a store that can read captions do so itself: they may decide what it lists."""
    if config.get("store") is None or config.captions is None:
        return
    store: Any = find_class("redream.stores", config.store.class_path.rpartition(".")[2])
    if "captions" in inspect.signature(store).parameters:
        config.store.init_args.captions = str(config.captions)
        config.captions = None


def _pictures(made: Namespace) -> PictureSource | None:
    if made.pictures == "none":
        return None
    if made.pictures == "render":
        if made.get("store") is None:
            raise ValueError(_NO_STORE)
        return RenderedPictures(made.store, made.encoder.image_size, **made.views)
    return Cap3DPictures(made.pictures, made.views.background)


def _parser() -> Parser:
    prepare_parser({"trainer": Trainer, "encoder": Encoder, "views": RenderedPictures})
    parser = Parser(
        prog="redream index build",
        description="Embed the captions and pictures of a store's assets; a build that was "
        "stopped goes on when the same command is given again.",
    )
    parser.command = parser.prog
    parser.add_argument("--config", action="config", help="a YAML file of these options")
    parser.add_subclass_arguments(Store, "store", required=False)
    parser.add_argument("--out", type=Path, required=True, help="the index folder")
    parser.add_argument(
        "--captions",
        type=Path | None,
        help="a CSV without a header of uid,caption, as Cap3D has it; without a store, the assets",
    )
    parser.add_argument(
        "--only",
        type=Path | None,
        help="a curated list of uids, as JSON or CSV (TRELLIS-500K's, Step1X-3D's): index these",
    )
    parser.add_argument(
        "--pictures",
        type=str,
        default="render",
        help="`render` them here, `none` for an index of texts whose pictures are embedded when a "
        "search needs them, or a folder of Cap3D's zips of renders",
    )
    parser.add_class_arguments(Encoder, "encoder")
    parser.add_class_arguments(RenderedPictures, "views", skip={"store", "size"}, instantiate=False)
    parser.add_argument(
        "--shard_size",
        type=int | None,
        help=f"assets kept together; {_SHARD} by default, {_TEXT_SHARD} without pictures",
    )
    parser.add_argument("--num_workers", type=int, default=0, help="processes that make pictures")
    parser.add_class_arguments(Cluster, "ray", instantiate=False)
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.set_defaults(
        {
            "encoder.model": "embedded:retrieval_clip",
            "trainer.logger": False,
            "trainer.enable_checkpointing": False,
            "trainer.enable_progress_bar": False,  # ours counts assets
            "trainer.enable_model_summary": False,
        }
    )
    return parser
