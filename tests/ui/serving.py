"""Serves the page over runs that are small programs; prints its address."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from ui_runs import queues  # noqa: E402

from redream.ui.environment import keep_gradio_here  # noqa: E402

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    keep_gradio_here(folder / "gradio")
    from redream.ui.server import serve  # Gradio reads its environment when it is imported

    with queues(folder) as make:
        serve(make(), "127.0.0.1", 0, None)
