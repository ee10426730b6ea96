"""Retrieval: an encoder, an index folder, and retrievers over it."""

from redream.retrieval.base import Retriever
from redream.retrieval.encoder import Encoder
from redream.retrieval.exact import ExactRetriever
from redream.retrieval.filters import AssetFilter
from redream.retrieval.index import EmbeddingIndex
from redream.retrieval.pictures import PictureVectors
from redream.retrieval.scann import ScannRetriever

__all__ = [
    "AssetFilter",
    "EmbeddingIndex",
    "Encoder",
    "ExactRetriever",
    "PictureVectors",
    "Retriever",
    "ScannRetriever",
]
