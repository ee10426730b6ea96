"""Two painted particles and two discs, for runs that a laptop makes in a second."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for the toy runs
