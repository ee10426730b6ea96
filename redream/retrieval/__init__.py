"""Retrieval: an encoder, an index folder, and retrievers over it."""

from redream.retrieval.base import Retriever
from redream.retrieval.derived import load_or_make
from redream.retrieval.encoder import Encoder
from redream.retrieval.exact import ExactRetriever
from redream.retrieval.faiss import FaissRetriever
from redream.retrieval.filters import AssetFilter
from redream.retrieval.index import EmbeddingIndex
from redream.retrieval.pictures import PictureVectors
from redream.retrieval.scann import ScannRetriever
from redream.retrieval.vectors import exact_rows, similarity

__all__ = [
    "AssetFilter",
    "EmbeddingIndex",
    "Encoder",
    "ExactRetriever",
    "FaissRetriever",
    "PictureVectors",
    "Retriever",
    "ScannRetriever",
    "exact_rows",
    "load_or_make",
    "similarity",
]
