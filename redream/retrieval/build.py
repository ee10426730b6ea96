"""Builds an index: captions and pictures to unit vectors, asset by asset."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor
from torch.nn import functional

from redream.retrieval.encoder import Encoder
from redream.retrieval.index import EmbeddingIndex
from redream.retrieval.portable import Reference
from redream.retrieval.writing import check_replaceable, write_index
from redream.types import Asset

_CHUNK = 64  # assets embedded together


def build_index(
    assets: Sequence[Asset],
    pictures: Callable[[str], Float[Tensor, "M 3 H W"]],
    encoder: Encoder,
    out: str | Path,
    store: Reference | None = None,
    progress: bool = True,
) -> EmbeddingIndex:
    """Embeds assets and writes an index folder.

    An asset whose pictures cannot be made is left out with a warning that names it.

    Args:
        assets: What to index, with captions.
        pictures: From a uid to pictures of the asset in [0, 1] from several sides.
        encoder: Makes the vectors.
        out: The index folder; an index that is already there is replaced when this one is whole.
        store: ``class_path`` and ``init_args`` of the store, kept for loading what is retrieved.
        progress: Whether to show a progress bar.

    Returns:
        The index, opened.

    Raises:
        ValueError: If there is no asset, a uid comes twice, or none can be shown.
    """
    out = Path(out).expanduser()
    check_replaceable(out)
    if not assets:
        raise ValueError("there is nothing to index: the store has no asset")
    if len({asset.uid for asset in assets}) < len(assets):
        raise ValueError("two assets have one uid: the index needs each uid once")
    kept: list[Asset] = []
    images: list[Tensor] = []
    num_views = 0
    for asset in track(assets, "Embedding assets", disable=not progress):
        try:
            views = pictures(asset.uid)
        except (ValueError, OSError) as error:
            warnings.warn(f"left {asset.uid} out of the index: {error}", stacklevel=2)
            continue
        kept.append(asset)
        images.append(pool(encoder.encode_images(views)))
        num_views = max(num_views, len(views))
    if not kept:
        raise ValueError("none of the assets could be shown, so there is nothing to index")
    captions = [asset.caption for asset in kept]
    texts = [
        encoder.encode_texts(captions[start : start + _CHUNK])
        for start in range(0, len(captions), _CHUNK)
    ]
    text, image = torch.cat(texts).numpy(), torch.stack(images).numpy()
    reference = {"name": encoder.name, "init_args": encoder.init_args}
    manifest = {
        "preprocessing": encoder.preprocessing,
        "pooling": "mean of unit vectors, made unit again",
        "num_views": num_views,
        "num_left_out": len(assets) - len(kept),
    }
    return write_index(out, kept, text, image, reference, store, manifest)


def pool(vectors: Float[Tensor, "M D"]) -> Float[Tensor, " D"]:
    """One unit vector for an asset's views: their mean, made unit again."""
    return functional.normalize(vectors.mean(0), dim=0)
