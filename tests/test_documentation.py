"""What the pages say must be so: names, links, and commands."""

import ast
import pkgutil
import re
import shlex
from pathlib import Path

import generate_pages
import pytest

import redream
from redream import cli
from redream.plugins import INTERFACES, list_components
from redream.tools import (
    convert,
    doctor,
    index,
    index_import,
    index_options,
    retrieve,
    splats,
    study,
    sweep,
    ui,
)

ROOT = Path(__file__).parent.parent
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = [*TOP, *sorted((ROOT / "docs").glob("*.md"))]
WITH_COMMANDS = [*PAGES, *sorted((ROOT / "plugins").glob("*/README.md"))]
TUTORIAL = {"ByAuthor", "DMTet", "KeyValueAdapter", "SentenceRetriever", "VoxelGrid"}
"""Classes of the plugins in the repository, which need not be installed where it is tested."""


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def commands():
    """Every line of every console block that calls ReDream, continued lines joined."""
    for page in WITH_COMMANDS:
        for block in blocks(page, "console"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["redream"]:
                    yield pytest.param(words[1:], id=f"{page.parent.name}/{page.stem}: {line[:60]}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_imports_exists(page):
    for block in blocks(page, "python"):
        imports = [each for each in ast.parse(block).body if isinstance(each, ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), str(page), "exec"), {})


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: f"{page.parent.name}-{page.name}")
def test_what_a_page_links_is_there(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8"))
    assert [each for each in targets if not (page.parent / each).exists()] == []


def slug(heading):
    """A heading's anchor, as GitHub and MyST make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_within_a_page_is_there(page):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    missing = []
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", text):
        other = page.parent / target if target else page
        if other.suffix == ".md" and other.is_file():  # docs/cli.md is generated
            headings = re.findall(r"^#+ (.+)$", other.read_text("utf-8"), flags=re.MULTILINE)
            plain = [re.sub(r"[`*]|\]\(.*?\)", "", each) for each in headings]
            if anchor not in map(slug, plain):
                missing.append(f"{target}#{anchor}")
    assert missing == []


def test_what_a_notebook_links_is_there():
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", notebook.read_text("utf-8"))
        assert [each for each in targets if not (notebook.parent / each).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_refers_to_exists(page):
    """Sphinx leaves a name that it does not find as plain text, without a word."""
    roles = re.findall(r"\{py:\w+\}`(?:[^`<]*<)?~?([\w.]+)>?`", page.read_text("utf-8"))
    assert all(pkgutil.resolve_name(name).__doc__ for name in roles)


def named_in_backticks(page):
    """The names `room.name`, `redream.room.name` and `Class.name` of a page, as full names."""
    rooms = {module.name for module in pkgutil.iter_modules(redream.__path__)} - {"data"}  # a key
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for name in re.findall(r"(?<![}`])`([A-Za-z_]\w*(?:\.\w+)+)(?:\(\))?`", text):
        first, *_, last = name.split(".")
        if last in ("py", "md", "json", "yaml", "csv", "txt", "npy", "parquet", "html", "ckpt"):
            continue
        if first == "redream" and "redream.{}".format(name.split(".")[1]) not in INTERFACES:
            yield name
        elif first in rooms:
            yield f"redream.{name}"
        elif first == "ReDream":
            yield f"redream.method.module.{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_in_backticks_exists(page):
    missing = []
    for name in named_in_backticks(page):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("arguments", list(commands()))
def test_a_command_parses(arguments, monkeypatch, capsys):
    """By the parser of the command line itself; nothing is run."""
    monkeypatch.chdir(ROOT)
    verb, *rest = arguments
    missing = TUTORIAL - {each.name for each in list_components() if each.reason is None}
    if missing & set(rest) and verb != "retrieve":
        pytest.skip(f"{missing & set(rest)} is not installed")
    if verb == "retrieve":
        retrieve._parser(verb).parse_args(rest)
    elif verb == "index" and rest[0] == "build":
        index_options.parser_of_build().parse_args(rest[1:])
    elif verb == "index" and rest[0] == "import":
        index_import._parser().parse_args(rest[1:])
    elif verb == "index":
        index._parser(verb).parse_args(rest)
    elif verb == "doctor":
        doctor._parser(verb).parse_args(rest)
    elif verb == "convert":
        convert._parser().parse_args(rest)
    elif verb == "ui":
        ui._parser(verb).parse_args(rest)
    elif verb == "splats":
        splats._parser(verb).parse_args(rest)
    elif verb == "study":
        study._parser(verb).parse_args(rest)
    elif verb == "sweep":
        sweep._parser(verb).parse_known_args(rest)
    elif "--ckpt_path" in rest:  # of a run that there need not be
        at = rest.index("--ckpt_path")
        given = [*rest[:at], *rest[at + 2 :], "--config=configs/default.yaml"]
        with pytest.raises(SystemExit) as leaving:
            cli.main([verb, *given, "--print_config"])
        assert leaving.value.code == 0, capsys.readouterr().err
    elif verb == "plugins":
        assert cli.main(arguments) == 0
    else:
        with pytest.raises(SystemExit) as leaving:  # a config is printed, and nothing made
            cli.main([*arguments, "--print_config"])
        assert leaving.value.code == 0, capsys.readouterr().err


def test_every_verb_that_a_page_shows_is_one():
    shown = {argument.values[0][0] for argument in commands()}
    assert {"fit", "retrieve", "index", "plugins"} <= shown <= set(cli.VERBS)


def test_the_page_of_the_command_line_has_each_verbs_own_help(tmp_path, monkeypatch):
    assert generate_pages.help_of("retrieve").startswith("usage: redream retrieve [-h]")
    monkeypatch.setattr(generate_pages, "help_of", lambda *verbs: f"help of {' '.join(verbs)}")
    generate_pages.write_command_line(tmp_path / "cli.md")
    text = (tmp_path / "cli.md").read_text("utf-8")
    assert all(f"\n## {verb}\n" in text for verb in cli.VERBS)
    assert all(
        f"help of {verb}\n" in text for verb in ("fit", "retrieve", "index build", "plugins")
    )


def test_every_room_has_an_api_page_and_stale_pages_go(tmp_path):
    (tmp_path / "gone.md").write_text("# redream.gone\n")
    generate_pages.write_api(tmp_path)
    pages = {path.stem for path in tmp_path.iterdir()}
    folders = {path.parent.name for path in (ROOT / "redream").glob("*/__init__.py")}
    assert folders - {"mini"} <= pages and "gone" not in pages and "losses" in pages
    text = (tmp_path / "priors.md").read_text("utf-8")
    assert "automodule:: redream.priors\n" in text
    assert "automodule:: redream.priors.prompting\n" in text


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
