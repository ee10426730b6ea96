"""Ends a program and all that it has started once the process that started both is gone.

It is run by its path, ``python guard.py GROUP``, and its standard input is a pipe that nobody
writes to: the system closes it when its other end dies, whatever it died of.
"""

import os
import signal
import sys


def main() -> None:
    """Waits for the end of the pipe, then ends the process group, where there are such."""
    sys.stdin.buffer.read()
    if hasattr(os, "killpg"):
        try:
            os.killpg(int(sys.argv[1]), signal.SIGKILL)
        except ProcessLookupError:
            pass  # it had ended by itself


if __name__ == "__main__":
    main()
