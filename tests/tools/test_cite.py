"""What a run is to be cited with: its method, its parts, its assets; nothing that it had not."""

import json
import re
from pathlib import Path

import pytest
import yaml

from redream import cli
from redream.plugins import list_components
from redream.tools.cite import ARGUMENTS, WORKS, cited, known_entries

ROOT = Path(__file__).parents[2]
ASSET = {
    "uid": "a1_b", "caption": "a 100% {odd} dog & co", "author": "O\\Neill, Ann",
    "license": "by-sa", "source": "https://example.org/a_1?x=1",
}  # fmt: skip


def run_folder(folder, config, assets=None):
    folder.mkdir(exist_ok=True)
    text = config if isinstance(config, str) else yaml.safe_dump(config)
    (folder / "config.yaml").write_text(text)
    if assets is not None:
        (folder / "metrics.json").write_text(json.dumps({"assets": assets}))
    return str(folder)


def keys_of(text):
    return re.findall(r"^@\w+\{([^,]+),$", text, re.MULTILINE)


def balanced(text):
    plain = re.sub(r"\\.", "", text)
    return plain.count("{") == plain.count("}")


def test_method_parts_and_assets_of_the_run_are_cited_once(tmp_path, capsys):
    config = yaml.safe_load((ROOT / "configs" / "paper.yaml").read_text("utf-8"))
    assert cli.main(["cite", run_folder(tmp_path, config, [ASSET])]) == 0
    said = capsys.readouterr().out
    found = keys_of(said)
    assert found[0] == "seo2024redream" and len(set(found)) == len(found)
    for key in (
        "wang2023prolificdreamer", "rombach2022ldm", "hu2022lora", "mueller2022instant",
        "guo2020scann", "deitke2023objaverse", "luo2023cap3d", "radford2021clip", "asset-a1-b",
    ):  # fmt: skip
        assert key in found, key
    assert not {"poole2023dreamfusion", "kerbl2023splatting", "xu2024diverse"} & set(found)
    assert balanced(said)
    assert r"title = {a 100\% \{odd\} dog \& co}" in said
    assert r"author = {{O\textbackslash{}Neill, Ann}}" in said  # braces: a name is left as it is
    assert r"\url{https://example.org/a_1?x=1}" in said and "licence: by-sa" in said


def test_arguments_that_are_set_are_cited():
    way = {"class_path": "redream.method.guidance.ASD", "init_args": {"path_steps": 10}}
    assert list(cited({"model": {"guidance": way}})) == ["ma2024scaledreamer", "xu2024diverse"]
    way["init_args"] = {"path_steps": 0, "rescale": 0.0}
    assert list(cited({"model": {"guidance": way}})) == ["ma2024scaledreamer"]


def test_a_run_that_has_not_exported_says_where_its_assets_are(tmp_path, capsys):
    assert cli.main(["cite", run_folder(tmp_path, {"model": None})]) == 0
    out, err = capsys.readouterr()
    assert keys_of(out) == ["seo2024redream"] and "attribution.md" in err


@pytest.mark.parametrize("config", ["a: [", None])
def test_what_is_no_run_is_one_line(config, tmp_path, capsys):
    if config is not None:
        run_folder(tmp_path, config)
    assert cli.main(["cite", str(tmp_path)]) == 2
    assert "name the folder of a run" in capsys.readouterr().err


def test_every_work_is_an_entry_and_every_entry_is_a_work():
    named = {key for keys in [*WORKS.values(), *ARGUMENTS.values()] for key in keys}
    entries = known_entries()
    assert named | {"seo2024redream"} == set(entries)
    for key, entry in entries.items():
        assert balanced(entry), key
        assert all(f"  {field} = {{" in entry for field in ("title", "author", "year")), key
    groups = ("redream.guidance", "redream.priors")
    ours = {each.name for group in groups for each in list_components(group)}
    assert ours - {"GaussianPrior"} <= set(WORKS)  # a new way or prior brings its work
