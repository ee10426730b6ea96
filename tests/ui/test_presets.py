"""Presets, found from the configs themselves."""

from pathlib import Path

import pytest

from redream.ui import configs, presets
from redream.ui.presets import devices, find_presets

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def here():
    return {each.config.name: each for each in find_presets(ROOT)}


def test_every_config_is_a_preset_and_the_default_comes_first(here):
    names = {path.stem for path in (ROOT / "configs").glob("*.yaml")}
    names |= {f"methods/{path.stem}" for path in (ROOT / "configs" / "methods").glob("*.yaml")}
    assert set(here) == names and next(iter(here)) == "default"
    assert all(each.config.title for each in here.values())


def test_what_this_computer_lacks_is_found_from_what_a_config_names(here):
    assert here["default"].lacks == here["methods/csd"].lacks == here["splats"].lacks == ()
    assert "needs a GPU, for a large model" in here["paper"].lacks
    assert "needs an index of assets at objaverse-index" in here["paper"].lacks
    pictures = {name: each.picture for name, each in here.items() if each.picture != "none"}
    assert pictures["methods/zero123"] == pictures["methods/imagedream"] == "needed"
    assert pictures["methods/magic123"] == "optional" and "default" not in pictures
    gpu = {each.config.name: each for each in find_presets(ROOT, has_gpu=True)}
    assert gpu["methods/mvdream"].lacks == gpu["methods/zero123"].lacks == ()


def test_a_config_knows_what_it_is_laid_over(here):
    names = {name: [path.name for path in each.config.files] for name, each in here.items()}
    assert names["default"] == ["default.yaml"]
    assert names["splats"] == ["default.yaml", "splats.yaml"]
    assert names["mixed"] == ["default.yaml", "mixed.yaml"]
    assert names["splats_gpu"] == ["paper.yaml", "splats_gpu.yaml"]
    assert names["methods/sdi"] == ["default.yaml", "sdi.yaml"]
    assert here["methods/sdi"].config.values["trainer"]["max_steps"] == 350
    assert here["splats"].config.values["model"]["representation"]["class_path"] == "Splats"
    assert "mlp_lr" not in here["splats"].config.values["model"]["representation"]["init_args"]
    assert here["own_asset"].config.title.startswith("What changes where a particle")


def test_configs_are_found_from_everywhere_and_ones_own_come_first(tmp_path):
    (tmp_path / "my.yaml").write_text("# Mine (A et al., 2020), Fig. 3. More.\ndata: {index: x}\n")
    mine, *others = find_presets(tmp_path, [tmp_path / "my.yaml"])
    assert mine.config.name == "my" and mine.lacks == ("needs an index of assets at x",)
    assert mine.config.title == "Mine (A et al., 2020), Fig. 3"
    assert others[0].config.name == "default"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "default.yaml").write_text("# Another.\nprompt: a cat\n")
    (tmp_path / "configs" / "broken.yaml").write_text("a: [")
    assert [each.config.title for each in find_presets(tmp_path)] == ["Another"]
    with pytest.raises(OSError, match="nowhere"):
        find_presets(tmp_path, [tmp_path / "nowhere.yaml"])


def test_without_any_config_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(configs.redream, "__file__", str(tmp_path / "redream" / "__init__.py"))
    with pytest.raises(ValueError, match="name one, as in --config my.yaml"):
        find_presets(tmp_path)


def test_a_plugin_s_class_is_asked_for(tmp_path):
    (tmp_path / "a.yaml").write_text("model: {representation: {class_path: Unheard}}\n")
    assert find_presets(tmp_path, [tmp_path / "a.yaml"])[0].lacks == ("needs Unheard",)


def test_devices_are_the_gpus_that_may_be_seen(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: a)'\necho 'GPU 1: L4 (UUID: b)'\n")
    program.chmod(0o755)
    monkeypatch.setattr(presets.shutil, "which", lambda name: str(program))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices() == [("0", "H200"), ("1", "L4")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert devices() == [("1", "L4")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices() == [("cpu", "processor")]
    monkeypatch.setattr(presets.shutil, "which", lambda name: None)
    assert devices() == [("cpu", "processor")]
