"""Sphinx: Markdown pages, an API page for each room, and the command line's own help."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

import generate_pages
import render_notebooks

import redream

DOCS = Path(__file__).parent

project = "ReDream"
version = release = redream.__version__
extensions = [
    "myst_parser",
    "mathml",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"ReDream {release}"
exclude_patterns = ["_build", "images/results/earlier.md"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"  # a tensor's shape is long for a signature
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_use_ivar = True  # the fields of a value are described once, in its own text
suppress_warnings = ["myst.xref_missing"]  # links to files of the repository, which the tests check


def skip_fields(
    app: object, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Leaves out the fields of named tuples, whose text is "Alias for field number 0"."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def link_pages(app: object, docname: str, source: list[str]) -> None:
    """Where a page of the repository links a notebook, the documentation links its page."""
    source[0] = re.sub(r"\]\(\.\./notebooks/(\w+)\.ipynb\)", r"](notebooks/\1.md)", source[0])


def setup(app: object) -> None:
    """Makes the pages that are made."""
    generate_pages.write_api(DOCS / "api")
    generate_pages.write_command_line(DOCS / "cli.md")
    render_notebooks.write_missing_pages()
    app.connect("source-read", link_pages)
    app.connect("autodoc-skip-member", skip_fields)
