"""What an error of somebody else's says, in one line."""


def first_line(error: BaseException) -> str:
    """What an error says first, or its kind where it says nothing."""
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__
