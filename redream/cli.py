"""``redream <verb>``: four verbs of Lightning's and a few tools beside them.

This module imports the standard library only, so that help is instant: Lightning, PyTorch and the
tools are imported once a verb has been chosen. Whatever a user can cause becomes one line on
stderr and exit code 2, and a warning one line; set ``REDREAM_DEBUG=1`` to
see where they came from.
"""

import gc
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from traceback import extract_tb
from typing import NamedTuple

from redream import __version__
from redream.escaping import on_one_line
from redream.plugins import one_line, suggest
from redream.startup import uncollected

USER_ERROR = 2
INTERRUPTED = 130


class Verb(NamedTuple):
    """A verb of the command line.

    Attributes:
        module: Where its ``main(verb, arguments)`` is.
        help: What it does, in one line.
    """

    module: str
    help: str


VERBS = {
    "fit": Verb("redream.tools.run", "generate the particles of a prompt"),
    "validate": Verb("redream.tools.run", "render previews of a checkpoint"),
    "test": Verb("redream.tools.run", "measure a checkpoint"),
    "predict": Verb("redream.tools.run", "export a checkpoint: GLB, turntable, report"),
    "sweep": Verb("redream.tools.sweep", "make many prompts, on one computer or many"),
    "ui": Verb("redream.tools.ui", "open a page to work in, in the browser"),
    "retrieve": Verb("redream.tools.retrieve", "find the assets nearest to a prompt"),
    "index": Verb("redream.tools.index", "build an index of assets, or describe one"),
    "splats": Verb("redream.tools.splats", "look at a file of splats, or make others of it"),
    "convert": Verb("redream.tools.convert", "write a checkpoint as a folder that priors read"),
    "study": Verb("redream.tools.study", "ask people which of two methods they prefer"),
    "cite": Verb("redream.tools.cite", "print what to cite of a run, as BibTeX"),
    "plugins": Verb("redream.tools.plugins", "list every component and what is broken"),
    "presets": Verb("redream.tools.presets", "list the configs that this computer can run"),
    "doctor": Verb("redream.tools.doctor", "say what this computer has, and what is missing"),
}

USAGE = """usage: redream VERB [options]

Text to 3D: retrieve assets near to a prompt, then distil a 2D diffusion prior.

{verbs}

start here:
  redream fit --config configs/default.yaml --prompt "a striped dog"
  redream retrieve "a striped dog"

`redream VERB --help` lists a verb's options. REDREAM_DEBUG=1 shows where an error came from.
This is ReDream {version}; how to write a plugin is told in docs/plugins.md."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb.

    Args:
        arguments: The command line after the program's name; None takes it from ``sys.argv``.

    Returns:
        The exit code: 0, 2 after an error of the user's making, 130 after Ctrl-C.

    Raises:
        Exception: Anything else, which is a bug; and everything where ``REDREAM_DEBUG`` is set.
    """
    if not os.environ.get("REDREAM_DEBUG"):
        warnings.formatwarning = _warning_line
    _let_caches_follow()
    try:
        own = arguments is None
        code = _dispatch(sys.argv[1:] if arguments is None else list(arguments), owns_process=own)
        _say_all()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _say_all()
        return 0
    except SystemExit as leaving:
        if isinstance(leaving.__context__, KeyboardInterrupt):  # as Lightning leaves on Ctrl-C
            return INTERRUPTED
        _say_all()
        raise
    except Exception as error:
        if os.environ.get("REDREAM_DEBUG") or not _is_of_the_users_making(error):
            raise
        said = f"redream: error: {_what(error)}{_which_cache(error)}"
        print(on_one_line(said), file=sys.stderr)
        return USER_ERROR


def _say_all() -> None:
    """Writes what was said and waits; that a reader, such as `head`, has seen enough is no error.

    Python would do so after us, and complain.
    """
    if sys.stdout is None:  # it was closed before we began
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _what(error: Exception) -> str:
    """What an error says, or what a lack of memory means."""
    if isinstance(error, MemoryError) or _is_of_memory(error):
        return (
            "there is too little memory: end other programs, raise `ulimit -v`, or take "
            "fewer --model.num_particles or a smaller --model.cameras.render_size"
        )
    return one_line(error)


def _is_of_memory(error: BaseException) -> bool:
    """Whether PyTorch, or the loader of a library, says that there is no memory."""
    said = f"{error} {error.__cause__}"
    signs = ("can't allocate memory", "annot allocate memory", "failed to map segment")
    return any(sign in said for sign in signs)


def _let_caches_follow() -> None:
    """Puts the caches of Warp and Matplotlib below ours, where the user has named one."""
    cache = os.environ.get("REDREAM_CACHE")
    if cache:
        cache = os.path.abspath(os.path.expanduser(cache))
        os.environ.setdefault("WARP_CACHE_PATH", os.path.join(cache, "warp"))
        os.environ.setdefault("MPLCONFIGDIR", os.path.join(cache, "matplotlib"))


def _which_cache(error: Exception) -> str:
    """What to do where a cache below the home folder cannot be written."""
    home = os.path.expanduser("~")
    where = str(getattr(error, "filename", None) or "")
    is_below = where.startswith(os.path.join(home, ".cache")) or home.startswith(where or "\0")
    if isinstance(error, MemoryError) or _is_of_memory(error):
        return ""
    if any(os.sep + "warp" + os.sep in each.filename for each in extract_tb(error.__traceback__)):
        kept = os.environ.get("WARP_CACHE_PATH", os.path.join(home, ".cache", "warp"))
        return f"; the kernels that Warp keeps may be damaged: remove {kept}"
    if not isinstance(error, OSError) or os.environ.get("REDREAM_CACHE"):
        return ""
    if is_below or os.path.join(home, ".cache") in str(error):
        return "; set REDREAM_CACHE to a folder that can be written"
    return ""


def _warning_line(message: Warning | str, *where: object, **line: object) -> str:
    """A warning as a line for users, without the place in the code that it came from."""
    return on_one_line(f"redream: warning: {message}") + "\n"


def usage() -> str:
    """The text of ``redream --help``."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:{width}}  {verb.help}" for name, verb in VERBS.items())
    return USAGE.format(verbs=verbs, version=__version__)


def _dispatch(arguments: list[str], owns_process: bool = False) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else USER_ERROR
    verb = arguments[0]
    if verb == "--version":
        print(f"redream {__version__}")
        return 0
    if verb not in VERBS:
        raise ValueError(f"there is no verb {verb!r}; {suggest(verb, VERBS)}")
    if "torch" not in sys.modules:
        os.environ.update(threading(os.environ, num_cores()))
    with uncollected():
        module = import_module(VERBS[verb].module)
    if owns_process:
        gc.freeze()  # what has been imported stays, and need not be looked through
    module.main(verb, arguments[1:])
    return 0


def threading(environment: Mapping[str, str], num_cores: int) -> dict[str, str]:
    """OpenMP's settings for this process, where the user has made none.

    Threads that wait by spinning starve other programs and themselves, so they sleep. There are
    half as many as cores: the networks of a laptop's run are small, and more threads gain little
    time for much of the processor.

    Args:
        environment: The environment's variables.
        num_cores: Cores that this process may use.

    Returns:
        The variables to set before PyTorch is loaded.
    """
    settings = {"OMP_WAIT_POLICY": "PASSIVE"}
    if not environment.keys() & {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}:
        settings["OMP_NUM_THREADS"] = str(max(1, num_cores // 2))
    return {name: value for name, value in settings.items() if name not in environment}


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_of_the_users_making(error: Exception) -> bool:
    """Whether an exception says what the user can mend: a value, a file, or a missing package.

    Lightning's own MisconfigurationException is known by its name, without importing Lightning.
    """
    if isinstance(error, ValueError | OSError | ImportError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and _is_of_memory(error):
        return True
    return any(base.__name__ == "MisconfigurationException" for base in type(error).__mro__)
