"""Several sources in one ranking: found assets, generated ones where those are too unlike."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from redream.assets import Store
from redream.indexing.on_demand import supply_pictures
from redream.priors import Prior
from redream.retrieval import Retriever
from redream.sources.base import AssetSource, store_of
from redream.types import Asset, TriangleMesh


@dataclass
class Source:
    """One source of a mixture.

    Attributes:
        retriever: Finds or makes assets.
        store: Loads them; left out where the retriever brings its own.
    """

    retriever: Retriever
    store: Store | None = None


class MixedRetriever(AssetSource):
    """Asks several sources and ranks all their assets by the same score.

    Assets keep licence and author, and are told by their source: ``NAME/UID``. With a ``floor``,
    found assets that are less like the prompt give way: where fewer than ``enough`` reach it, the
    sources that make assets (:class:`GenerativeRetriever`) are asked, and otherwise not at all,
    since making costs time. Which assets are ranked does not depend on how many are wanted.

    Args:
        sources: The sources by name.
        floor: The least similarity, by the score that ranks; None lets all sources take part.
        enough: How many found assets must reach the floor for nothing to be made.

    Raises:
        ValueError: If there is no source, a name is wrong, or one has no store or two.
    """

    def __init__(
        self, sources: dict[str, Source], floor: float | None = None, enough: int = 3
    ) -> None:
        if not sources:
            raise ValueError("a mixture needs sources: name some")
        if enough < 1:
            raise ValueError(f"enough is {enough}, and must be at least 1")
        stores = {}
        for name, source in sources.items():
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"the source {name!r} needs a name of letters and digits")
            store = store_of(source.retriever, source.store)
            if store is None:
                raise ValueError(f"the source {name} has no store to load its assets from")
            supply_pictures(source.retriever, store)
            stores[name] = store
        self.sources, self.floor, self.enough = sources, floor, enough
        self.store: MixedStore = MixedStore(stores)

    def paint_with(self, prior: Prior) -> None:
        """Hands the run's prior to the sources."""
        for source in self.sources.values():
            if isinstance(source.retriever, AssetSource):
                source.retriever.paint_with(prior)

    def show(self, picture: bytes) -> None:
        """Hands the user's picture to the sources."""
        for source in self.sources.values():
            if isinstance(source.retriever, AssetSource):
                source.retriever.show(picture)

    def restrict(self, licenses: Sequence[str]) -> None:
        """Restricts all sources; those that have nothing left are named."""
        for name, source in self.sources.items():
            source.retriever.restrict(licenses)
            if source.retriever.most() == 0:
                warnings.warn(
                    f"the source {name} has no asset of licence {' or '.join(licenses)}: left out",
                    stacklevel=2,
                )

    def retrieve(self, prompt: str, k: int) -> list[Asset]:
        """The ``k`` assets of highest score among all sources.

        Raises:
            ValueError: If the prompt is empty, there are fewer than ``k``, or the sources rank by
                different scores.
        """
        if not prompt.strip():
            raise ValueError("the prompt is empty: say what to look for")
        if k < 1:
            raise ValueError(f"asked for {k} assets")
        found = self._ask(False, prompt, max(k, self.enough))
        if self.floor is not None:
            found = [each for each in found if score_of(each) >= self.floor]
        if self.floor is None or len(found) < self.enough:
            found += self._ask(True, prompt, k)
        require_one_score(found)
        if k > len(found):
            reached = "" if self.floor is None else f" that count (floor {self.floor:g})"
            raise ValueError(
                f"asked for {k} assets, but there are {len(found)}{reached}: lower the floor, "
                "raise `enough`, or let a generator make more"
            )
        return sorted(found, key=lambda asset: -score_of(asset))[:k]

    def likeness(self, asset: Asset) -> float | None:
        """What the source that found it says."""
        return self.sources[asset.origin].retriever.likeness(asset)

    def _ask(self, is_made: bool, prompt: str, num: int) -> list[Asset]:
        """What the sources of a kind have, at least ``num`` of each as far as they go."""
        found = []
        for name, source in self.sources.items():
            retriever = source.retriever
            most = retriever.most()
            makes = isinstance(retriever, AssetSource) and retriever.is_made
            if makes != is_made or most == 0:
                continue
            wanted = num if most is None else (most if makes else min(num, most))
            found += [named(name, asset) for asset in retriever.retrieve(prompt, wanted)]
        return found


class MixedStore(Store):
    """The stores of a mixture's sources; a uid names its source first.

    Args:
        stores: The stores by name.
    """

    def __init__(self, stores: dict[str, Store]) -> None:
        self.stores = stores

    def assets(self) -> list[Asset]:
        """All assets of all stores."""
        return [
            named(name, asset) for name, store in self.stores.items() for asset in store.assets()
        ]

    def load(self, uid: str) -> TriangleMesh:
        """Loads an asset from its source."""
        store, uid_there, _ = self._find(uid)
        return store.load(uid_there)

    def complete(self, asset: Asset) -> Asset:
        """Has the source fill in what it knows."""
        store, uid, name = self._find(asset.uid)
        return named(name, store.complete(replace(asset, uid=uid)))

    def _find(self, uid: str) -> tuple[Store, str, str]:
        name, _, rest = uid.partition("/")
        if name not in self.stores or not rest:
            raise ValueError(f"no source has an asset {uid!r}: retrieve it again")
        return self.stores[name], rest, name


def named(name: str, asset: Asset) -> Asset:
    """An asset of a source, told from those of the others."""
    return replace(asset, uid=f"{name}/{asset.uid}", origin=name)


def score_of(asset: Asset) -> float:
    """The score that ranks: the last one."""
    if not asset.scores:
        raise ValueError(f"{asset.uid} has no score: its source cannot be mixed with others")
    return next(reversed(asset.scores.values()))


def require_one_score(assets: Sequence[Asset]) -> None:
    """Refuses assets that are ranked by different scores, which cannot be compared."""
    ranks = {asset.origin: next(reversed(asset.scores), "none") for asset in assets}
    if len(set(ranks.values())) > 1:
        told = ", ".join(f"{name} by {score}" for name, score in ranks.items())
        raise ValueError(f"the sources rank by different scores ({told}): give all the same")
