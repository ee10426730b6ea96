"""From a store to an index: the place where assets and retrieval meet."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from redream.assets import AssetRenderer, Store
from redream.cameras import turntable
from redream.retrieval import EmbeddingIndex, Encoder, build_index


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
    """Renders every asset of a store from all round and writes the index.

    Args:
        store: Where the assets are.
        encoder: Embeds captions and pictures.
        out: The index folder.
        num_views: Pictures of each asset, at equal azimuth steps.
        elevation_deg: Elevation of the cameras.
        distance: Distance of the cameras.
        fovy_deg: Vertical field of view.
        background: Grey level behind the assets.
        progress: Whether to show a progress bar.

    Returns:
        The index, opened.

    Raises:
        ValueError: If no asset can be indexed.
    """
    cameras = turntable(num_views, elevation_deg, distance, fovy_deg)
    size = encoder.image_size

    def pictures(uid: str) -> Float[Tensor, "M 3 H W"]:
        views = AssetRenderer(store.load(uid)).render(cameras, size, size)
        return views.over(torch.full((1, 3, 1, 1), background))

    return build_index(store.assets(), pictures, encoder, out, store.reference(), progress)
