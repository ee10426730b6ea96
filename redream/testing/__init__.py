"""Contracts that plugin authors inherit in their tests, each check a documented promise.

Inherit one, say how to make yours, and run pytest::

    from redream.testing import RetrieverContract


    class TestMyRetriever(RetrieverContract):
        @pytest.fixture
        def retriever(self, index):
            return MyRetriever(index)

``redream.testing.priors`` has those of priors and adapters. Nothing is downloaded.
"""

from redream.testing.representations import RepresentationContract
from redream.testing.retrieval import ASSETS, RetrieverContract, StoreContract, index_captions

__all__ = [
    "ASSETS",
    "RepresentationContract",
    "RetrieverContract",
    "StoreContract",
    "index_captions",
]
