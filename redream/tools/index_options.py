"""The options of ``redream index build``, and what they make: a store, an encoder, pictures."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning import Trainer

from redream.assets import Store
from redream.indexing import PictureSource, RenderedPictures
from redream.indexing.cap3d import Cap3DPictures
from redream.plugins import find_class
from redream.retrieval import Encoder
from redream.retrieval.writing import check_replaceable
from redream.tools.cluster import Cluster
from redream.tools.output import require_writable
from redream.tools.parser import Parser, prepare_parser

SHARD, TEXT_SHARD = 32, 1024  # assets of a shard, with pictures and without
NO_STORE = (
    "name a --store; without one, --captions says what to index, and --pictures must be `none` or "
    "the renders of Cap3D"
)


def made_of(
    arguments: Sequence[str], writes: bool = False
) -> tuple[Namespace, PictureSource | None]:
    """What a command line names, and its pictures; nothing is embedded or written yet.

    Args:
        arguments: The command line.
        writes: Whether this process is to write the index, and finds out first whether it can.
    """
    parser = parser_of_build()
    config = parser.parse_args(list(arguments))
    if writes:
        check_replaceable(config.out.expanduser())
        require_writable(config.out.expanduser().absolute().parent)
    _hand_captions_on(config)
    made = parser.instantiate(config)
    return made, _pictures(made)


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
            raise ValueError(NO_STORE)
        return RenderedPictures(made.store, made.encoder.image_size, **made.views)
    return Cap3DPictures(made.pictures, made.views.background)


def parser_of_build() -> Parser:
    """The parser of the options."""
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
        help=f"assets kept together; {SHARD} by default, {TEXT_SHARD} without pictures",
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
