"""What the pages say must be so: names that they import exist, files that they link are there."""

import ast
import re
from pathlib import Path

import pytest

from redream.plugins import INTERFACES
from redream.retrieval import EmbeddingIndex, Retriever

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_imports_exists(page):
    for block in blocks(page, "python"):
        imports = [each for each in ast.parse(block).body if isinstance(each, ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), str(page), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_is_there(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8"))
    assert [each for each in targets if not (page.parent / each).exists()] == []


def test_the_plugin_page_lists_every_group_with_its_base_class():
    rows = dict(
        re.findall(r"\| `(redream\.\w+)` \| `([\w.]+)` \|", (ROOT / "docs/plugins.md").read_text())
    )
    assert rows == {group: path.replace(":", ".") for group, path in INTERFACES.items()}


def test_the_plugin_of_the_page_does_what_the_page_says(monkeypatch):
    class TwoRows:
        def __len__(self):
            return 2

        def asset(self, row):
            from redream.types import Asset

            return Asset(str(row), "a thing", author=["Ada", "Bob"][row])

    monkeypatch.setattr(EmbeddingIndex, "open", lambda path: TwoRows())
    scope = {"__name__": "redream_by_author"}
    exec(blocks(ROOT / "docs/plugins.md", "python")[0], scope)
    retriever = scope["ByAuthor"]("somewhere", author="Bob")
    assert isinstance(retriever, Retriever)
    assert [asset.uid for asset in retriever.retrieve("anything", 1)] == ["1"]
    with pytest.raises(ValueError, match="Bob made 1 assets, not 2"):
        retriever.retrieve("anything", 2)
