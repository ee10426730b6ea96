"""``redream retrieve PROMPT``: the assets nearest to a prompt, as text, JSON and pictures."""

import argparse
import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from redream.assets import AssetRenderer, Store
from redream.assets.attribution import write_attribution
from redream.cameras import turntable
from redream.escaping import on_one_line
from redream.indexing.on_demand import supply_pictures
from redream.plugins import find_class
from redream.retrieval import AssetFilter, EmbeddingIndex
from redream.retrieval.faults import broken
from redream.tools.arguments import ToolParser
from redream.tools.embedded import resolve
from redream.tools.output import require_writable, write_contact_sheet
from redream.types import Asset


def main(verb: str, arguments: Sequence[str]) -> None:
    """Retrieves, prints what was found and writes the contact sheet and ``attribution.md``.

    Args:
        verb: ``retrieve``.
        arguments: The command line after the verb.

    Raises:
        ValueError: If the prompt, the index, the retriever or k is wrong.
    """
    options = _parser(verb).parse_args(arguments)
    require_writable(options.out.parent)
    if options.config is not None:
        _retrieve_as_a_run(options, arguments)
        return
    retriever: Any = find_class("redream.retrievers", options.retriever)
    index = resolve(options.index)
    ready = retriever(index=index, **_filters(options, retriever))
    try:
        store = open_store(EmbeddingIndex.open(index))
    except (ValueError, OSError):  # what is found is shown, whatever became of its store
        _print(ready.retrieve(options.prompt, options.k), options.json)
        raise
    if store is not None:
        supply_pictures(ready, store)
    assets: list[Asset] = ready.retrieve(options.prompt, options.k)
    try:
        if store is not None:
            assets = [store.complete(asset) for asset in assets]
    finally:
        _print(assets, options.json)
    _show(options, [(store, asset) for asset in assets])


def _retrieve_as_a_run(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Takes the assets that a run of the config would take, from all its sources."""
    from redream.tools.data_config import data_of  # Lightning, which takes seconds

    data = data_of(options.config, options.prompt, arguments)
    licenses = options.licenses
    others = [
        each
        for each in ("categories", "max_faces", "animated")
        if getattr(options, each) is not None
    ]
    if others:
        raise ValueError(f"{', '.join(others)}: say it in the config, in a retriever's filters")
    if licenses is not None and data.retriever is not None:
        data.retriever.restrict(licenses)
    data.num_assets, data.least_likeness = options.k, float("-inf")  # k are asked for
    found = data.find()
    assets = [store.complete(asset) for store, asset in found]
    _print(assets, options.json)
    _show(options, [(store, asset) for (store, _), asset in zip(found, assets, strict=True)])


def _show(options: argparse.Namespace, found: Sequence[tuple[Store | None, Asset]]) -> None:
    """Writes whose the assets are, and their pictures."""
    attribution = options.out.with_name("attribution.md")
    write_attribution(options.prompt, [asset for _, asset in found], attribution)
    print(on_one_line(f"licences: {attribution}"), file=sys.stderr)
    stored = [(store, asset) for store, asset in found if store is not None]
    if found and not stored:
        print("no contact sheet: the index does not know its store", file=sys.stderr)
        return
    if options.pictures is not None:
        _write_pictures(stored, options.pictures)
    rows = list(picture_rows(stored))
    if rows:
        write_contact_sheet(rows, options.out)
        print(f"pictures: {options.out}", file=sys.stderr)


def _filters(options: argparse.Namespace, retriever: type) -> dict[str, AssetFilter]:
    """The ``filters`` argument of a retriever, where any condition was given."""
    conditions = {
        name: value
        for name in ("licenses", "categories", "max_faces", "animated")
        if (value := getattr(options, name)) is not None
    }
    if not conditions:
        return {}
    if "filters" not in inspect.signature(retriever).parameters:
        raise ValueError(f"{retriever.__name__} has no filters: leave out {', '.join(conditions)}")
    return {"filters": AssetFilter(**conditions)}


def _print(assets: Sequence[Asset], json_wanted: bool) -> None:
    print(as_json(assets) if json_wanted else as_text(assets))


def picture_rows(
    found: Sequence[tuple[Store, Asset]],
) -> Iterator[tuple[str, Float[Tensor, "num_views 3 size size"]]]:
    """Caption and pictures of each asset; one that cannot be shown is named and left out."""
    for store, asset in found:
        try:
            yield asset.caption, show(store, asset.uid)
        except (ValueError, OSError) as error:
            print(on_one_line(f"no picture of {asset.uid}: {error}"), file=sys.stderr)


def _write_pictures(found: Sequence[tuple[Store, Asset]], folder: Path) -> None:
    """Writes ``asset_0.png`` and so on, as in a run's folder; what cannot be shown has none."""
    from redream.export.asset_pictures import asset_pictures  # with what exporting needs
    from redream.export.turntable import write_png

    for place, (store, asset) in enumerate(found):
        with suppress(ValueError, OSError):  # the contact sheet says why
            renderer = AssetRenderer(store.load(asset.uid))
            (picture,) = asset_pictures(lambda _, *view, r=renderer: r.render(*view), 1)
            write_png(picture, folder / f"asset_{place}.png")


def as_json(assets: Sequence[Asset]) -> str:
    """The assets as a JSON list of what is shown of them, best first."""
    keys = ("uid", "caption", "origin", "scores", "license", "author", "source")
    return json.dumps([{key: getattr(asset, key) for key in keys} for asset in assets], indent=2)


def as_text(assets: Sequence[Asset]) -> str:
    """The assets as one line each: uid, caption, scores, where it came from, licence."""
    lines = []
    for asset in assets:
        scores = [f"{name} {score:.3f}" for name, score in asset.scores.items()]
        columns = (asset.uid, asset.caption, *scores, asset.origin, asset.license)
        lines.append("  ".join(on_one_line(str(column)) for column in columns))
    return "\n".join(lines)


def open_store(index: EmbeddingIndex) -> Store | None:
    """The store that an index names, or None where it names none.

    The class is looked up among the installed stores by its name, so that an index from a
    stranger cannot have anything else imported.
    """
    try:
        if index.store is None:
            return None
        name, arguments = index.store["class_path"].rpartition(".")[2], index.store["init_args"]
        store: Any = find_class("redream.stores", name)
        opened: Store = store(**arguments)
    except (TypeError, LookupError, AttributeError) as error:
        raise broken(index.path, f"its store cannot be made ({error!r})") from error
    return opened


def show(
    store: Store, uid: str, num_views: int = 8, size: int = 128
) -> Float[Tensor, "num_views 3 size size"]:
    """Pictures of an asset from all around, over white."""
    views = AssetRenderer(store.load(uid)).render(turntable(num_views), size, size)
    return views.over(torch.ones(1, 3, 1, 1))


def _parser(verb: str) -> ToolParser:
    parser = ToolParser(prog=f"redream {verb}", description="Find the assets nearest to a prompt.")
    parser.add_argument("prompt", metavar="PROMPT", help='such as "a striped dog"')
    parser.add_argument(
        "--index", metavar="DIR", default="embedded:index", help="default: %(default)s"
    )
    parser.add_argument(
        "--config",
        metavar="YAML",
        type=Path,
        action="append",
        help="take retriever and store from a run's config, in the place of an index: generators "
        "and mixtures of sources, too; several are laid one over the other, as for `redream fit`",
    )
    parser.add_argument(
        "--command",
        metavar="LINE",
        help="the command of a generator in the config, typed again so that it may run",
    )
    parser.add_argument(
        "--retriever", metavar="NAME", default="ExactRetriever", help="default: %(default)s"
    )
    parser.add_argument("-k", type=int, default=3, help="how many assets; default: %(default)s")
    conditions = parser.add_argument_group("conditions that an asset must meet to be ranked")
    conditions.add_argument(
        "--licenses", nargs="+", metavar="CODE", help="one of these, such as cc0 by"
    )
    conditions.add_argument("--categories", nargs="+", metavar="NAME", help="one of these")
    conditions.add_argument("--max-faces", type=int, metavar="N", help="at most so many triangles")
    conditions.add_argument(
        "--animated", action=argparse.BooleanOptionalAction, help="with animation clips, or without"
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument(
        "--pictures",
        metavar="DIR",
        type=Path,
        help="write a picture of each asset, too, of 256 pixels: asset_0.png and so on",
    )
    parser.add_argument(
        "--out",
        metavar="PNG",
        type=Path,
        default=Path("outputs/retrieval.png"),
        help="the contact sheet, with attribution.md beside it; default: %(default)s",
    )
    return parser
