"""``python -m redream`` is ``redream``."""

import sys

from redream.cli import main

sys.exit(main())
