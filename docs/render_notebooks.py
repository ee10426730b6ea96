"""Runs the notebooks, and puts copies with their pictures among the pages of the documentation.

    python docs/render_notebooks.py                        all of them, as they stand
    python docs/render_notebooks.py 01_retrieval           one of them

Each notebook has one cell tagged ``parameters``. A cell with other values can be laid behind it, as
papermill does: so the tests run the same notebooks small. The notebooks themselves stay without
outputs; the copies are Markdown and PNG files in ``docs/notebooks``, which git ignores. ``make
docs`` takes them where they are, and shows a notebook without outputs where they are not.
"""

import argparse
import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbformat import NotebookNode

DOCS = Path(__file__).parent
SOURCES, PAGES = DOCS.parent / "notebooks", DOCS / "notebooks"


def sources() -> list[Path]:
    """The notebooks, in reading order."""
    return sorted(SOURCES.glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    """Reads a notebook and makes sure that it is a valid one."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def with_parameters(notebook: NotebookNode, values: Mapping[str, object]) -> NotebookNode:
    """A copy with a cell of assignments behind the one cell that is tagged ``parameters``.

    Raises:
        ValueError: If there is not exactly one such cell, or it does not set one of the names.
    """
    made = copy.deepcopy(notebook)
    tagged = [
        i for i, cell in enumerate(made.cells) if "parameters" in cell.metadata.get("tags", [])
    ]
    if len(tagged) != 1:
        raise ValueError(f"a notebook needs one cell tagged parameters, and this has {len(tagged)}")
    lines = made.cells[tagged[0]].source.splitlines()
    for name in values:
        if not any(line.startswith(f"{name} = ") for line in lines):
            raise ValueError(f"the parameters of the notebook have no {name}")
    source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    made.cells.insert(
        tagged[0] + 1, nbformat.v4.new_code_cell(source, metadata={"tags": ["hidden"]})
    )
    return made


def write_page(notebook: NotebookNode, name: str, folder: Path = PAGES) -> Path:
    """Writes a notebook as Markdown, its pictures beside it, the page last.

    Args:
        notebook: The notebook, run or not.
        name: The page's name.
        folder: Where to write; made where it is missing.

    Returns:
        The page.
    """
    shown = copy.deepcopy(notebook)
    shown.cells = [cell for cell in shown.cells if "hidden" not in cell.metadata.get("tags", [])]
    pictures = f"{name}_files"
    text, resources = MarkdownExporter().from_notebook_node(
        shown, {"unique_key": name, "output_files_dir": pictures}
    )
    (folder / pictures).mkdir(parents=True, exist_ok=True)
    for path, content in resources["outputs"].items():
        (folder / path).write_bytes(content)
    page = folder / f"{name}.md"
    text = text.replace(".ipynb)", ".md)").replace("](../docs/", "](../")  # pages link pages
    temporary = page.with_name(f".{page.name}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, page)
    return page


def write_missing_pages(folder: Path = PAGES) -> None:
    """Gives each notebook a page without outputs, unless a newer copy is there."""
    for path in sources():
        page = folder / f"{path.stem}.md"
        if not page.is_file() or page.stat().st_mtime < path.stat().st_mtime:
            write_page(read(path), path.stem, folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs notebooks in processes of their own and writes their pages."""
    parser = argparse.ArgumentParser(description="Run the notebooks, render them into the docs.")
    names = [path.stem for path in sources()]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    chosen = parser.parse_args(arguments).names or names
    for unknown in set(chosen) - set(names):
        parser.error(f"there is no notebook {unknown}; choose from: {', '.join(names)}")
    for name in chosen:
        print(f"{name} ...", flush=True)
        # Nothing moves on a page: loops in the place of sliders.
        notebook = with_parameters(read(SOURCES / f"{name}.ipynb"), {"sliders": False})
        metadata = {"metadata": {"path": str(SOURCES)}}
        NotebookClient(notebook, timeout=None, kernel_name="python3", resources=metadata).execute()
        print(f"  {write_page(notebook, name)}", flush=True)


if __name__ == "__main__":
    main()
