"""The contracts of priors and adapters, on every family of models."""

import copy

import pytest

from redream.adapters import LightAdapter, VariationalAdapter
from redream.priors import GaussianPrior, StableDiffusionPrior
from redream.testing.priors import AdapterContract, PriorContract

FAMILIES = ("epsilon", "v_prediction", "xl", "3", "3 without T5")


@pytest.fixture(scope="session")
def loaded_families(family_folders):
    return {name: StableDiffusionPrior(str(family_folders[name])) for name in FAMILIES}


class OnAFamily:
    @pytest.fixture(autouse=True, params=FAMILIES)
    def _family(self, request, loaded_families):
        self.loaded = loaded_families[request.param]

    def make_prior(self):
        return copy.deepcopy(self.loaded)


class TestStableDiffusionPrior(OnAFamily, PriorContract):
    pass


class TestGaussianPrior(PriorContract):
    def make_prior(self):
        return GaussianPrior(double=True)


class TestLightAdapter(OnAFamily, AdapterContract):
    def make_adapter(self):
        return LightAdapter(rank=2, learn_prefixes=False)


class TestVariationalAdapter(OnAFamily, AdapterContract):
    def make_adapter(self):
        return VariationalAdapter(rank=2, camera_conditioning=False)
