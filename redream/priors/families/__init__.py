"""Families of latent diffusion models in diffusers' format, one file each."""

from redream.priors.families._quiet import quiet_libraries
from redream.priors.families.base import Family
from redream.priors.families.loading import (
    ADAPTED_FAMILIES,
    MULTI_VIEW_FAMILIES,
    PICTURED_FAMILIES,
    PLAIN_FAMILIES,
    SEEN_FAMILIES,
    load_family,
)

__all__ = [
    "ADAPTED_FAMILIES",
    "MULTI_VIEW_FAMILIES",
    "PICTURED_FAMILIES",
    "PLAIN_FAMILIES",
    "SEEN_FAMILIES",
    "Family",
    "load_family",
    "quiet_libraries",
]
