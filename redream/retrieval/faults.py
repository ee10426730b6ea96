"""How a broken index is reported."""

from pathlib import Path


def broken(path: Path, what: str) -> ValueError:
    """The error of a broken index."""
    return ValueError(f"the index at {path} is broken: {what}; build it again")
