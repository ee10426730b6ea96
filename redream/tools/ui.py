"""``redream ui``: a page to work in, on this computer."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from redream.locks import lock_alone
from redream.tools.arguments import ToolParser
from redream.ui.environment import keep_gradio_here
from redream.ui.guard import LOOPBACK
from redream.ui.presets import devices, find_presets
from redream.ui.queue import Queue

PASSWORD = "REDREAM_UI_PASSWORD"
_LEAST = 8  # characters of a password


def main(verb: str, arguments: Sequence[str]) -> None:
    """Serves the page until Ctrl-C.

    Args:
        verb: ``ui``.
        arguments: The command line after the verb.

    Raises:
        ImportError: If Gradio is not installed.
        ValueError: If others could reach the page without a password, or another server has the
            output folder.
    """
    options = _parser(verb).parse_args(arguments)
    if find_spec("gradio") is None:
        raise ImportError("the page needs Gradio: pip install 'redream[ui]'")
    password = None
    if options.host not in LOOPBACK:
        password = os.environ.get(PASSWORD, "")
        if len(password) < _LEAST:
            raise ValueError(
                f"others can reach {options.host}: set {PASSWORD} to a password of {_LEAST} "
                "characters or more, which the browser will ask for"
            )
    started_in, out = Path.cwd(), options.out.absolute()
    found = devices()
    presets = find_presets(started_in, options.config or [], found[0].name != "cpu")
    out.mkdir(parents=True, exist_ok=True)
    with lock_alone(out / ".page.lock", waits=False) as is_alone:
        if not is_alone:
            raise ValueError(f"another `redream ui` serves {out}: use that, or name another --out")
        keep_gradio_here(out)
        from redream.ui.server import serve  # Gradio, which takes seconds

        serve(Queue(out, started_in, presets, found), options.host, options.port, password)


def _parser(verb: str) -> ToolParser:
    parser = ToolParser(prog=f"redream {verb}", description="Open a page to work in.")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("outputs"),
        help="where runs are kept and listed; default: %(default)s",
    )
    parser.add_argument(
        "--config",
        metavar="YAML",
        type=Path,
        action="append",
        help="a config of your own to choose beside ReDream's; may be given again",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help=f"address to listen on; others than this computer's need {PASSWORD}; "
        "default: %(default)s",
    )
    parser.add_argument(
        "--port", type=int, default=7860, help="0 takes a free one; default: %(default)s"
    )
    return parser
