"""DMTet for ReDream: signed distances on a tetrahedral grid, through kaolin where it is there."""

from redream_kaolin.dmtet import DMTet

__all__ = ["DMTet"]
