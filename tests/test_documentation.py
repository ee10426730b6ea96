"""What the pages say must be so: names that they import exist, files that they link are there."""

import ast
import re
from pathlib import Path

import pytest

from redream.plugins import INTERFACES

ROOT = Path(__file__).parent.parent
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = [*TOP, *sorted((ROOT / "docs").glob("*.md"))]


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


def test_the_plugin_of_the_page_is_the_package_in_the_repository():
    """And what the package does is tested beside it."""
    folder, page = ROOT / "plugins" / "redream-by-author", ROOT / "docs/plugins.md"
    shown = [*blocks(page, "python"), *blocks(page, "toml")]
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".toml")]
    assert sorted(shown) == sorted(path.read_text("utf-8") for path in files)


def test_the_tests_that_security_names_exist():
    named = re.findall(r"`(tests/[\w/.]+)`", (ROOT / "SECURITY.md").read_text("utf-8"))
    assert len(set(named)) > 5 and all((ROOT / each).exists() for each in named)
