"""``redream index import``: an index of vectors that were made elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import Namespace

from redream.assets import Store
from redream.assets.captions import read_captions
from redream.indexing.importing import (
    Vectors,
    import_vectors,
    read_npy,
    read_parquet,
    read_uids,
)
from redream.indexing.objathor import MODEL, PRETRAINED, read_objathor
from redream.retrieval import Encoder
from redream.tools.output import require_writable
from redream.tools.parser import Parser, prepare_parser


def import_index(arguments: Sequence[str]) -> None:
    """Parses the options, reads the vectors and writes the index.

    Args:
        arguments: The command line after ``redream index import``.

    Raises:
        ValueError: If the vectors, the captions or the output is wrong.
    """
    parser = _parser()
    config = parser.parse_args(list(arguments))
    require_writable(config.out.expanduser().absolute().parent)
    if config.encoder.model is None and config.objathor is not None:
        config.encoder.model, config.encoder.pretrained = MODEL, PRETRAINED
    if config.encoder.model is None:
        raise ValueError("name the --encoder.model that made the vectors: any other finds nothing")
    made = parser.instantiate(config)
    index = import_vectors(
        _read(made),
        Encoder(made.encoder.model, made.encoder.pretrained),
        made.out,
        None if made.captions is None else read_captions(made.captions),
        [] if made.get("store") is None else made.store.assets(),
        None if made.get("store") is None else made.store.reference(),
    )
    print(f"{len(index)} assets in {made.out}")


def _read(made: Namespace) -> Vectors:
    arrays = made.uids is not None
    if [made.objathor is not None, made.parquet is not None, arrays].count(True) != 1:
        raise ValueError("give one of --objathor, --parquet, or --uids with --text and --image")
    if made.objathor is not None:
        uids, image, text = read_objathor(made.objathor)
        return Vectors(uids, text, image)
    if made.parquet is not None:
        return read_parquet(made.parquet)
    return Vectors(
        read_uids(made.uids),
        None if made.text is None else read_npy(made.text),
        None if made.image is None else read_npy(made.image),
    )


def _parser() -> Parser:
    prepare_parser({"encoder": Encoder})
    parser = Parser(
        prog="redream index import", description="Make an index of vectors that exist already."
    )
    parser.command = parser.prog
    parser.add_argument("--config", action="config", help="a YAML file of these options")
    parser.add_argument("--out", type=Path, required=True, help="the index folder")
    path = Path | None
    parser.add_argument("--uids", type=path, help="a file of one uid a line, or a JSON list")
    parser.add_argument("--text", type=path, help="a .npy of caption vectors, rows x D")
    parser.add_argument("--image", type=path, help="a .npy, rows x D or rows x views x D")
    parser.add_argument("--parquet", type=path, help="a table of uid, text, image and caption")
    parser.add_argument("--objathor", type=path, help="objathor's clip_features.pkl")
    parser.add_argument("--captions", type=path, help="a CSV without a header of uid,caption")
    parser.add_subclass_arguments(Store, "store", required=False)
    text = str | None
    parser.add_argument("--encoder.model", type=text, help="open_clip's model of the vectors")
    parser.add_argument("--encoder.pretrained", type=text, help="open_clip's tag of its weights")
    return parser
