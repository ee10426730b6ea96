"""Pictures for an index of texts: the store's assets, embedded when a search asks for them."""

import numpy as np

from redream.assets import Store
from redream.indexing.build import embed_pictures, to_bytes
from redream.indexing.pictures import RenderedPictures
from redream.retrieval import Encoder, PictureVectors, Retriever


def supply_pictures(retriever: Retriever, store: Store) -> None:
    """Lets a retriever compare pictures where its index has only texts.

    Does nothing for a retriever without an ``index``, or whose index has pictures.

    Args:
        retriever: About to be asked.
        store: Loads the assets that the index names.
    """
    index = retriever.index
    if index is None or not isinstance(index.image, PictureVectors):
        return
    encoder = retriever.encoder or Encoder(**index.encoder)

    def embed(uid: str) -> np.ndarray:
        pictures = RenderedPictures(store, encoder.image_size).pictures(uid)
        vector = embed_pictures([to_bytes(pictures)], encoder)[0].numpy()
        if not np.isfinite(vector).all():
            raise ValueError("its vector is not finite")
        return vector

    index.image.embed = embed
