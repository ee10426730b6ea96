"""``python -m redream`` is ``redream``."""

import os
import sys

# Python has put the current directory first, so that whatever lies there would be imported.
if sys.path and sys.path[0] in ("", os.getcwd()):
    del sys.path[0]

from redream.cli import main  # noqa: E402

sys.exit(main())
