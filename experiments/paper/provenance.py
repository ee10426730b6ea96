"""Where a number comes from: the commit and the command."""

import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def commit() -> str:
    """The commit of this checkout, with ``+`` where files differ from it; ``unknown`` outside."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.check_output(command, cwd=ROOT, text=True, stderr=subprocess.DEVNULL)

    try:
        name = git("rev-parse", "--short=10", "HEAD").strip()
        return name + ("+" if git("status", "--porcelain", "--untracked-files=no").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def command() -> str:
    """The command line of this process, as a reader would type it in the repository's root."""
    script = Path(sys.argv[0]).resolve()
    if not script.is_relative_to(ROOT):
        return shlex.join(["python", str(script), *sys.argv[1:]])
    parts = script.relative_to(ROOT).with_suffix("").parts
    return shlex.join(["python", "-m", ".".join(parts), *sys.argv[1:]])
