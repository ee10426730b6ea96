"""What every test starts from: one seed, one thread, no hub, and a random miniature prior."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")

import copy
import gc
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for what several folders share

# A command whose test gives it a cache of its own would compile every kernel into it and look
# through all fonts, twenty seconds of each process: these are kept where they always are.
os.environ.setdefault("WARP_CACHE_PATH", str(Path.home() / ".cache" / "warp"))
os.environ.setdefault("MPLCONFIGDIR", str(Path.home() / ".cache" / "matplotlib"))


def pytest_collection():
    """The collector of garbage waits: what is imported stays, and would be looked through often."""
    gc.disable()


def pytest_collection_finish():
    """It is not looked through afterwards either."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items):
    """Where there is no GPU, tests that need one say so."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def seeded():
    """The same random numbers in every test, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def browser(tmp_path):
    """A page of a real browser; its test is skipped where there is none."""
    from chromium import Browser, find_browser

    path = find_browser()
    if path is None:
        pytest.skip("no Chromium is installed")
    opened = Browser(path, tmp_path / "profile")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def sd_folders(tmp_path_factory):
    """Two folders of one random model, by what their UNet is said to predict."""
    from redream.priors.miniature import save_miniature

    root = tmp_path_factory.mktemp("sd")
    for prediction_type in ("epsilon", "v_prediction"):
        save_miniature(root / prediction_type, prediction_type)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="session")
def sd_folder(sd_folders):
    """The one whose UNet predicts the noise, as text."""
    return str(sd_folders["epsilon"])


@pytest.fixture(scope="session")
def family_folders(sd_folders, tmp_path_factory):
    """A folder of each family of models."""
    from redream.priors.miniature import save_miniature_3, save_miniature_xl

    root = tmp_path_factory.mktemp("families")
    save_miniature_xl(root / "xl")
    save_miniature_3(root / "3")
    save_miniature_3(root / "3 without T5", t5=False)
    return sd_folders | {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="session")
def loaded_prior(sd_folders):
    from redream.priors import StableDiffusionPrior

    return StableDiffusionPrior(str(sd_folders["epsilon"]))


@pytest.fixture
def prior(loaded_prior):
    """A prior of the test's own, to attach adapters to."""
    return copy.deepcopy(loaded_prior)


@pytest.fixture(scope="session")
def embedded_cache(tmp_path_factory):
    """A cache of the tests' own: the embedded library and index are made once, by the first use."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting takes root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # files may still be mapped
