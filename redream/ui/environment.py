"""What Gradio is told before it is imported: it reads its environment only then."""

import os
from pathlib import Path


def keep_gradio_here(out: Path) -> None:
    """Nothing is told to anybody, and copies of files stay in the output folder.

    Args:
        out: The output folder.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(out / ".page")
