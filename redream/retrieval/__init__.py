"""Retrieval: an encoder, an index folder, and retrievers over it."""

from redream.retrieval.base import Retriever
from redream.retrieval.build import build_index
from redream.retrieval.encoder import Encoder
from redream.retrieval.exact import ExactRetriever
from redream.retrieval.index import EmbeddingIndex
from redream.retrieval.scann import ScannRetriever

__all__ = [
    "EmbeddingIndex",
    "Encoder",
    "ExactRetriever",
    "Retriever",
    "ScannRetriever",
    "build_index",
]
