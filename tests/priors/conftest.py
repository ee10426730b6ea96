import copy

import pytest

from redream.priors import StableDiffusionPrior
from redream.priors.miniature import save_miniature


@pytest.fixture(scope="session")
def sd_folders(tmp_path_factory):
    """Two folders of one random model, by what their UNet is said to predict."""
    root = tmp_path_factory.mktemp("sd")
    for prediction_type in ("epsilon", "v_prediction"):
        save_miniature(root / prediction_type, prediction_type)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="session")
def loaded_prior(sd_folders):
    return StableDiffusionPrior(str(sd_folders["epsilon"]))


@pytest.fixture
def prior(loaded_prior):
    """A prior of the test's own, to attach adapters to."""
    return copy.deepcopy(loaded_prior)
