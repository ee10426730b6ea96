"""One door for YAML and JSON, with one bound; nothing else reads them, or a pickle."""

import ast
import json
from pathlib import Path

import pytest

import redream
from redream.escaping import in_a_spreadsheet, in_markdown, on_a_terminal, on_one_line
from redream.plain_data import MAX_DEPTH, MAX_LETTERS, as_json, read_json, read_yaml

PACKAGE = Path(redream.__file__).parent
DEEP = 100_000
SELF = "a: &a [*a]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * DEEP + "]" * DEEP, "nested too deeply"),
        ("[" * 2000 + "]" * 2000, "nested too deeply"),
        ('{"a":' * 150 + "1" + "}" * 150, "nested too deeply"),
        (SELF, "stand for more"),
        ("a" * (MAX_LETTERS + 1), "more than 512 KiB"),
        ("a: [", "it is no YAML"),
        ("a: !!python/object/apply:os.getcwd []", "it is no YAML"),
    ],
)
def test_yaml_has_bounds(text, said, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    for source in (text, tmp_path / "a.yaml"):
        with pytest.raises(ValueError, match=said) as caught:
            read_yaml(source)
        assert len(str(caught.value).splitlines()) == 1
    assert "a.yaml" in str(caught.value)


def test_yaml_that_is_no_text_is_said(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"a\.yaml: it is no text"):
        read_yaml(tmp_path / "a.yaml")


def test_json_has_a_bound_that_strings_do_not_reach(tmp_path):
    for depth in (MAX_DEPTH + 1, 2000, DEEP):
        for opened, closed in ("[]", ("{" + '"a":', "}")):
            text = opened * depth + "1" + closed * depth
            (tmp_path / "a.json").write_text(text)
            for source in (text, text.encode(), tmp_path / "a.json"):
                with pytest.raises(ValueError, match="nested too deeply"):
                    read_json(source)
    brackets = {"a": "[" * 5000, "b\\": '"[{' * 200, "c": [[]] * 300, "d": {"e": [1, None, 0.5]}}
    assert read_json(json.dumps(brackets)) == brackets == as_json(brackets)
    with pytest.raises(ValueError):
        read_json('{"a": "' + "[" * 5000)


ALLOWED = {
    ("plain_data.py", "json.loads"),
    ("plain_data.py", "yaml.safe_load"),
}


def readers(tree):
    """Calls, and mentions, of what reads YAML, JSON, pickles or arrays."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in ("json.load", "json.loads", "json.JSONDecoder") or (
                name.startswith("yaml.") and "load" in name.lower()
            ):
                yield name
        if isinstance(node, ast.ImportFrom) and node.module in (
            "json",
            "yaml",
            "pickle",
            "marshal",
        ):
            yield f"{node.module}.{node.names[0].name}"
        if isinstance(node, ast.Import):
            yield from (n.name for n in node.names if n.name in ("marshal", "shelve", "dill"))
        if not isinstance(node, ast.Call):
            continue
        name, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        if name in ("torch.load", "torch.jit.load") and given.get("weights_only") != "True":
            yield name
        if name in ("np.load", "numpy.load") and given.get("allow_pickle", "False") != "False":
            yield name
        if name.startswith("pickle.load") or name == "pickle.Unpickler":
            yield name


def test_nothing_else_reads_yaml_or_json_or_pickles():
    found = {
        (path.name, name)
        for path in [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "plugins").glob("*/*.py")]
        for name in readers(ast.parse(path.read_text("utf-8")))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "source",
    ["json.loads(a)", "yaml.load(a, Loader=b)", "from json import loads", "torch.load(a)",
     "np.load(a, allow_pickle=True)", "pickle.loads(a)", "torch.load(a, weights_only=b)"],
)  # fmt: skip
def test_the_rule_sees_a_breach(source):
    assert list(readers(ast.parse(source))) != []


EVIL = "a\x1b[31m\x07 \u202edog\r\n- license: cc0\n<b>|`x`|</b> [l](u) *b* &amp;"


def test_what_a_stranger_says_stays_text():
    assert on_a_terminal(EVIL).isprintable() is False  # its line breaks
    line = on_one_line(EVIL)
    assert line.isprintable() and "\n" not in line and "\x1b" not in line
    table = in_markdown(EVIL)
    assert "\n" not in table
    for each in "<>|`[]*&":
        assert f"\\{each}" in table and table.count(each) == table.count(f"\\{each}")
    for formula in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1"):
        assert in_a_spreadsheet(formula).startswith("'")
    assert in_a_spreadsheet("a dog = 1") == "a dog = 1"
