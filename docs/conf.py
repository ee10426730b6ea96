"""Sphinx: Markdown pages, one theme, nothing generated."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import redream

project = "ReDream"
version = release = redream.__version__
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]
html_theme = "furo"
html_title = f"ReDream {release}"
exclude_patterns = ["_build"]
suppress_warnings = ["myst.xref_missing"]
