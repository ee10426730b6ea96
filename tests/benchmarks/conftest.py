"""Lets the tests of this folder import the benchmarks as they import each other."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / "benchmarks" / "paper"), str(Path(__file__).parent)]
