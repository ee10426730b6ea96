"""DMTet for ReDream: signed distances on a tetrahedral grid, through kaolin where it is there."""
