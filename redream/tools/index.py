"""``redream index build | import | info | verify``: makes an index of assets, or looks at one."""

import argparse
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from redream.escaping import on_one_line
from redream.retrieval import EmbeddingIndex, Encoder
from redream.retrieval.verifying import verify_index
from redream.tools.arguments import ToolParser
from redream.tools.embedded import resolve


def main(verb: str, arguments: Sequence[str]) -> None:
    """Builds, imports, describes or verifies an index.

    Args:
        verb: ``index``.
        arguments: The command line after the verb.

    Raises:
        ValueError: If the assets, the encoder or the index is wrong.
    """
    making = arguments[:1] in (["build"], ["import"])
    if making and arguments[0] == "build":
        from redream.tools.index_build import build  # Lightning, which takes seconds

        with warnings_in_a_line():
            build(arguments[1:])
    elif making:
        from redream.tools.index_import import import_index

        with warnings_in_a_line():
            import_index(arguments[1:])
    else:
        options = _parser(verb).parse_args(arguments)
        index = EmbeddingIndex.open(resolve(options.index))
        if options.action == "info":
            print(json.dumps(index.manifest, indent=2))
        else:
            verify(index, options)


def verify(index: EmbeddingIndex, options: argparse.Namespace) -> None:
    """Checks an index and says that it is whole."""
    encoder = None
    if options.encoder is not None:
        encoder = Encoder(resolve(options.encoder), options.pretrained)
    verify_index(index, encoder, options.sample)
    kinds = "texts and pictures" if "image.npy" in index.manifest["files"] else "texts"
    whole = f"{index.path} is whole: {len(index)} assets, {kinds}, of {index.encoder_name}"
    print(on_one_line(whole))


@contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """Shows what was left out, and why, as lines without places in the source."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(on_one_line(f"redream: warning: {message}"), file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def _parser(verb: str) -> ToolParser:
    parser = ToolParser(
        prog=f"redream {verb}", description="Make an index of assets, or look at one."
    )
    actions = parser.add_subparsers(
        dest="action", metavar="build|import|info|verify", required=True
    )
    actions.add_parser("build", help="embed the assets of a store: `redream index build --help`")
    actions.add_parser("import", help="take vectors that exist: `redream index import --help`")
    info = actions.add_parser("info", help="print an index's manifest")
    verify = actions.add_parser(
        "verify", help="check hashes, uids, lengths of vectors and the encoder"
    )
    for action in (info, verify):
        action.add_argument("index", metavar="INDEX", help="the index folder")
    verify.add_argument("--encoder", metavar="MODEL", help="the encoder it is to be searched with")
    verify.add_argument("--pretrained", metavar="TAG", help="open_clip's tag of the weights")
    verify.add_argument(
        "--sample",
        metavar="N",
        type=int,
        default=0,
        help="embed N captions again and compare, which loads the encoder; default: %(default)s",
    )
    return parser
