"""How a broken index is reported."""

from pathlib import Path


def first_line(error: Exception) -> str:
    """What an error says first, or its kind where it says nothing."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def broken(path: Path, what: str) -> ValueError:
    """The error of a broken index."""
    return ValueError(f"the index at {path} is broken: {what}; build it again")
