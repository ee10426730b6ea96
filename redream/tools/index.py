"""``redream index build | info``: makes an index of assets, or describes one."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from redream.assets import FolderStore
from redream.indexing import index_store
from redream.retrieval import EmbeddingIndex, Encoder
from redream.tools.arguments import ToolParser
from redream.tools.embedded import resolve
from redream.tools.output import require_writable


def main(verb: str, arguments: Sequence[str]) -> None:
    """Builds or describes an index.

    Args:
        verb: ``index``.
        arguments: The command line after the verb.

    Raises:
        ValueError: If the assets, the encoder or the index is wrong.
    """
    options = _parser(verb).parse_args(arguments)
    if options.action == "build":
        build(options)
    else:
        describe(options.index, options.verify)


def build(options: argparse.Namespace) -> None:
    """Renders and embeds every asset of a folder and writes the index."""
    require_writable(options.out.parent)
    store = FolderStore(options.assets, options.captions)
    encoder = Encoder(resolve(options.encoder), options.pretrained)
    index = index_store(store, encoder, options.out, num_views=options.num_views)
    print(f"{len(index)} assets in {options.out}")


def describe(path: str, verify: bool) -> None:
    """Prints an index's manifest as JSON, after checking the files where that is wanted."""
    index = EmbeddingIndex.open(resolve(path))
    if verify:
        index.verify()
    print(json.dumps(index.manifest, indent=2))


def _parser(verb: str) -> ToolParser:
    parser = ToolParser(
        prog=f"redream {verb}", description="Build an index of assets, or describe one."
    )
    actions = parser.add_subparsers(dest="action", metavar="build|info", required=True)
    build = actions.add_parser("build", help="embed a folder of .glb, .gltf, .obj or .ply files")
    build.add_argument("assets", metavar="ASSETS", help="the folder of 3D files")
    build.add_argument("out", metavar="OUT", type=Path, help="the index folder")
    build.add_argument("--captions", metavar="CSV", help="uid,caption; default: captions.csv")
    build.add_argument(
        "--encoder",
        default="embedded:retrieval_clip",
        help="a model of open_clip, by name or folder; default: %(default)s",
    )
    build.add_argument("--pretrained", help="open_clip's tag of the weights")
    build.add_argument("--num-views", type=int, default=8, help="default: %(default)s")
    info = actions.add_parser("info", help="print an index's manifest")
    info.add_argument("index", metavar="INDEX", help="the index folder")
    info.add_argument("--verify", action="store_true", help="compare every file with its hash")
    return parser
