"""What a run says to its user beside the progress bar."""

import sys

from lightning.pytorch.utilities import rank_zero_only

from redream.escaping import on_one_line


@rank_zero_only
def tell(message: str) -> None:
    """Says something on stderr, once however many processes there are."""
    print(on_one_line(f"redream: {message}"), file=sys.stderr)
