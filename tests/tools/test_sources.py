"""The verbs that show where assets come from: retrieve by a run's config, and the doctor."""

import json

import pytest
import yaml

from redream import cli
from redream.tools import doctor
from tests.sources.programs import program

ENCODER = {"model": "embedded:retrieval_clip", "device": "cpu"}


@pytest.fixture
def config(tmp_path):
    """A config of a library and the embedded generator, in one ranking."""
    exact = {"class_path": "ExactRetriever", "init_args": {"index": "embedded:index"}}
    library = {"retriever": exact, "store": {"class_path": "EmbeddedLibrary"}}
    arguments = {
        "generator": {"class_path": "EmbeddedGenerator"},
        "encoder": ENCODER,
        "num_meshes": 2,
        "cache_dir": str(tmp_path / "made"),
    }
    made = {"retriever": {"class_path": "GenerativeRetriever", "init_args": arguments}}
    sources = {"library": library, "made": made}
    data = {"retriever": {"class_path": "MixedRetriever", "init_args": {"sources": sources}}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"prompt": "a cat", "model": {"x": 1}, "data": data}))
    return path


def test_retrieve_shows_the_sources_of_a_runs_config(config, tmp_path, capsys):
    words = ["retrieve", "a golden elephant", "--config", str(config), "-k", "4"]
    words += ["--out", str(tmp_path / "sheet.png")]
    assert cli.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {each["origin"] for each in found} == {"library", "made"} and len(found) == 4
    ranks = [each["scores"]["image"] for each in found]
    assert ranks == sorted(ranks, reverse=True)
    assert (tmp_path / "sheet.png").is_file()
    said = (tmp_path / "attribution.md").read_text()
    assert "taken from: made" in said and "EmbeddedGenerator (noise 0)" in said
    with pytest.warns(UserWarning, match="no asset of licence by"):
        assert cli.main([*words, "--licenses", "by"]) == 2
    assert "asked for 4 assets, but there are 0" in capsys.readouterr().err
    assert cli.main(words) == 0
    assert "  made  cc0" in capsys.readouterr().out


def test_retrieve_lays_configs_over_one_another(config, tmp_path, capsys):
    over = tmp_path / "over.yaml"
    over.write_text("data: {num_assets: 2}\nmodel: {num_particles: 1}\n")
    nothing = tmp_path / "nothing.yaml"
    nothing.write_text("{}\n")
    words = ["retrieve", "a golden elephant", "-k", "2", "--json", "--out", str(tmp_path / "s.png")]
    told = []
    for files in ([config], [config, over, nothing]):
        assert cli.main([*words, *(f"--config={each}" for each in files)]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("text", "said"), [("prompt: a cat", "has no `data`"), ("data: {retriever: 3}", "retriever")]
)
def test_a_config_without_assets_is_refused_in_a_line(text, said, tmp_path, capsys):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    out = ["--out", str(tmp_path / "sheet.png")]
    assert cli.main(["retrieve", "a dog", "--config", str(path), *out]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_retrieve_runs_a_generator_only_if_its_command_is_typed(tmp_path, capsys):
    tool, told = program(tmp_path)
    line = f"{tool} {{glb}}"
    generator = {"class_path": "Command", "init_args": {"command": line, "license": "mit"}}
    arguments = {"generator": generator, "encoder": ENCODER, "num_meshes": 1}
    arguments["cache_dir"] = str(tmp_path / "made")
    data = {"retriever": {"class_path": "GenerativeRetriever", "init_args": arguments}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"data": data}))
    words = ["retrieve", "a dog", "--config", str(path), "-k", "1"]
    words += ["--out", str(tmp_path / "sheet.png")]
    assert cli.main(words) == 2
    assert "stranger's" in capsys.readouterr().err and not told.exists()
    assert cli.main([*words, "--command", line]) == 0
    assert told.exists() and "  generated  mit" in capsys.readouterr().out


def test_the_doctor_names_what_a_generator_lacks(tmp_path):
    tool, _ = program(tmp_path)
    found = doctor.examine_generator(f"{tool} --image {{image}} {{glb}}")
    assert found.state == "ok" and "needs a picture" in found.found
    found = doctor.examine_generator("no-such-program {glb}")
    assert found.state == "missing" and "no program no-such-program" in found.cost
    assert doctor.examine_generator("tool {glb} {x}").state == "broken"
    assert doctor.examine_generator(str(tmp_path)).cost.startswith(f"{tmp_path} lacks prior/")
