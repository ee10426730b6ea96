"""Where a run's assets come from: found, generated or brought, alone or mixed in one ranking."""

from redream.sources.base import AssetSource
from redream.sources.command import Command
from redream.sources.generative import GenerativeRetriever
from redream.sources.generator import Generator
from redream.sources.mixed import MixedRetriever, Source
from redream.sources.shap_e import ShapE
from redream.sources.small import StoreRetriever

__all__ = [
    "AssetSource",
    "Command",
    "GenerativeRetriever",
    "Generator",
    "MixedRetriever",
    "ShapE",
    "Source",
    "StoreRetriever",
]
