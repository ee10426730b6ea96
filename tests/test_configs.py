"""The shipped configurations: each parses whole, and each method runs on the embedded world."""

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from redream.tools import lightning as tool

ROOT = Path(__file__).parents[1]
DEFAULT = ROOT / "configs" / "default.yaml"
METHODS = sorted((ROOT / "configs" / "methods").glob("*.yaml"))
BASELINES = {"dreamfusion", "sjc", "prolificdreamer", "debiased_sds", "perp_neg", "redream"}
WAYS = {"asd", "csd", "sds_bridge", "ism", "sdi", "reuse", "dsd"}


def printed(capsys, *arguments):
    """What ``--print_config`` says, which needs neither weights nor assets."""
    with pytest.raises(SystemExit) as leaving:
        tool.main("fit", [*map(str, arguments), "--print_config"])
    assert leaving.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def leaves(tree, path=()):
    """The values of a configuration by their path, components' names included."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, tree


def assert_holds(config, overlay):
    """Every value of the overlay is in the configuration, classes by their last name."""
    for path, value in leaves(overlay):
        found = config
        for key in path:
            short = key not in found and "init_args" in found  # a class by its arguments alone
            found = found["init_args"][key] if short else found[key]
        if path[-1] == "class_path":
            found, value = found.split(".")[-1], value.split(".")[-1]
        assert found == value, path


def test_each_baseline_of_table_1_that_needs_only_stable_diffusion_is_one_file():
    assert {path.stem for path in METHODS} == BASELINES | WAYS


@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.stem)
def test_each_method_lies_over_the_default(capsys, method):
    config = printed(capsys, "--config", DEFAULT, "--config", method, "--prompt", "a dog")
    assert_holds(config, yaml.safe_load(method.read_text("utf-8")))
    assert config["data"]["retriever"]["init_args"]["index"] == "embedded:index"


@pytest.mark.skipif(
    importlib.util.find_spec("redream.assets.objaverse") is None, reason="no Objaverse store"
)
@pytest.mark.parametrize("overlay", [None, "paper_check", *sorted(BASELINES)])
def test_the_papers_configuration_is_complete(capsys, overlay):
    paper = ROOT / "configs" / "paper.yaml"
    arguments = ["--config", paper, "--prompt", "a dog"]
    if overlay is not None:
        (path,) = (ROOT / "configs").rglob(f"{overlay}.yaml")
        arguments += ["--config", path]
        paper = path
    config = printed(capsys, *arguments)
    expected = yaml.safe_load(paper.read_text("utf-8"))
    expected.pop("prompt", None)
    expected.get("trainer", {}).pop("callbacks", None)
    assert_holds(config, expected)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of its own: the library and the index are made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.stem)
def test_each_method_runs_on_the_embedded_world(tmp_path, cache, monkeypatch, method):
    monkeypatch.setenv("REDREAM_CACHE", str(cache))
    (tmp_path / "short.yaml").write_text(
        "trainer:\n  callbacks:\n    - class_path: redream.callbacks.Export\n      init_args: "
        "{num_frames: 8, frame_size: 32, surface_resolution: 16, texture_size: 32}\n"
    )
    configs = [DEFAULT, method, tmp_path / "short.yaml"]
    tool.main(
        "fit",
        [
            *(f"--config={path}" for path in configs), "--prompt=a golden elephant",
            "--trainer.max_steps=20", f"--trainer.default_root_dir={tmp_path / 'out'}",
            "--model.num_particles=1", "--model.cameras.render_size=32",
            "--data.references.init_args.num_views=10",
        ],
    )  # fmt: skip
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["steps"] == 20
