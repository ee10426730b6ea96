"""The notebooks run, small: the same cells behind other parameters, in a kernel of their own."""

import base64
import sys
from pathlib import Path

import nbformat
import pytest
import render_notebooks
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError

from redream.export.turntable import png_bytes

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

FEW_VIEWS = "--data.references.init_args.num_views=10"
SMALL = {
    "01_retrieval": {"num_assets": 1},
    "02_adapter_effects": {
        "options": [FEW_VIEWS, "--data.num_assets=1", "--model.adapter.init_args.max_steps=2"],
        "num_samples": 1,
        "num_denoising_steps": 1,
        "alphas": [0.0, 1.0],
        "sweep": {"prefix_words": ["{view}"]},
    },
    "03_particles": {
        "max_steps": 2,
        "every": 1,
        "num_particles": 1,
        "size": 16,
        "texture_size": 64,
        "options": [FEW_VIEWS, "--data.num_assets=1", "--model.cameras.render_size=16"],
    },
    "04_write_a_retriever": {"diversities": [0.0, 0.9]},
}


def kernel():
    """A process for notebooks."""
    resources = {"metadata": {"path": str(ROOT / "notebooks")}}
    return NotebookClient(
        nbformat.v4.new_notebook(), kernel_name="python3", timeout=150, resources=resources
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """One process for all notebooks: importing the packages takes longer than running the cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        client = kernel()
        with client.setup_kernel():
            yield client


def run(client, path, values):
    """Runs a notebook with other parameters, and gives its code cells.

    Where the kernel has answered and the answer was lost, a fresh kernel is asked once more.
    """
    try:
        return run_cells(client, path, values)
    except CellTimeoutError:
        fresh = kernel()
        with fresh.setup_kernel():
            return run_cells(fresh, path, values)


def run_cells(client, path, values):
    """Runs a notebook in a kernel.

    Cell by cell, over one connection: ``client.execute`` first asks again what the kernel is, and
    where that answer is lost among those to earlier questions it waits for as long as for a cell.
    """
    notebook = render_notebooks.with_parameters(render_notebooks.read(path), values)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    client.nb = notebook
    client.reset_execution_trackers()
    for index, cell in enumerate(notebook.cells):
        client.execute_cell(cell, index)
    return notebook


def outputs(notebook):
    return [each for cell in notebook.cells for each in cell.get("outputs", [])]


def test_every_notebook_is_run_small():
    assert [path.stem for path in NOTEBOOKS] == list(SMALL)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_small(client, path):
    """With sliders; every notebook shows pictures."""
    shown = [each.data for each in outputs(run(client, path, SMALL[path.stem])) if "data" in each]
    assert any("image/png" in data for data in shown)
    assert any("application/vnd.jupyter.widget-view+json" in data for data in shown)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_committed_without_outputs(path):
    notebook = render_notebooks.read(path)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_says_which_cell_to_change_for_another_prior_or_library(path):
    """The one cell tagged ``parameters``, after a cell that says so."""
    cells = render_notebooks.read(path).cells
    (place,) = [i for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    assert "only one to change" in cells[place - 1].source
    text = "".join(cell.source for cell in cells)
    assert "Stable Diffusion 2.1" in text or "Objaverse" in text


def test_parameters_that_a_notebook_does_not_have_are_refused():
    notebook = render_notebooks.read(NOTEBOOKS[0])
    with pytest.raises(ValueError, match="have no num_asets"):
        render_notebooks.with_parameters(notebook, {"num_asets": 1})


def test_a_page_has_the_text_the_code_and_the_pictures(tmp_path):
    png = png_bytes(torch.zeros(3, 2, 2))
    encoded = base64.b64encode(png).decode("ascii")
    picture = nbformat.v4.new_output("display_data", {"image/png": encoded})
    tagged = nbformat.v4.new_code_cell("n = 3", metadata={"tags": ["parameters"]})
    drawing = nbformat.v4.new_code_cell("draw(n)", outputs=[picture])
    cells = [nbformat.v4.new_markdown_cell("# Title"), tagged, drawing]
    notebook = render_notebooks.with_parameters(nbformat.v4.new_notebook(cells=cells), {"n": 4})
    page = render_notebooks.write_page(notebook, "page", tmp_path)
    text = page.read_text("utf-8")
    assert text.index("# Title") < text.index("n = 3") < text.index("draw(n)")
    assert "n = 4" not in text
    (file,) = (tmp_path / "page_files").iterdir()
    assert f"(page_files/{file.name})" in text and file.read_bytes() == png


def explored(sliders, **choices):
    from redream.tools.notebook import explore

    drawn = []
    explore(lambda **values: drawn.append(values), sliders, **choices)
    return drawn


def test_without_sliders_each_choice_is_shown_in_turn(monkeypatch, capsys):
    expected = [{"a": 1, "b": 3}, {"a": 2, "b": 3}, {"a": 1, "b": 4}]
    assert explored(False, a=[1, 2], b=[3, 4]) == expected
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # as where it is not installed
    assert explored(True, a=[1, 2], b=[3, 4]) == expected
    assert "a = 2, b = 3" in capsys.readouterr().out


def test_no_choice_is_an_error():
    with pytest.raises(ValueError, match="nothing to choose from for a"):
        explored(True, a=[])
