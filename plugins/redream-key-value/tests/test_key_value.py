import copy

import pytest
import torch
from redream_key_value import KeyValueAdapter

from redream.adapters import VariationalAdapter
from redream.priors import StableDiffusionPrior
from redream.priors.miniature import save_miniature, save_miniature_3
from redream.testing.priors import AdapterContract, noisy_rows


@pytest.fixture(scope="session")
def priors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("key_value")
    save_miniature(folder / "2")
    save_miniature_3(folder / "3", t5=False)
    return {name: StableDiffusionPrior(str(folder / name)) for name in ("2", "3")}


class TestKeyValueAdapter(AdapterContract):
    @pytest.fixture(autouse=True, params=["2", "3"])
    def _prior(self, request, priors):
        self.loaded = priors[request.param]

    def make_prior(self):
        return copy.deepcopy(self.loaded)

    def make_adapter(self):
        return KeyValueAdapter(learn_prefixes=False)

    def test_it_is_the_weight_that_changes_and_only_where_text_enters(self):
        prior, adapter = self._attached()
        VariationalAdapter(rank=2).attach(prior)  # beside it, as in a run
        worn = noisy_rows(prior, (adapter.name,) * 2)
        with torch.no_grad():
            for pair in adapter.lora.values():
                pair["lora_B"].weight.normal_(std=0.2)
            expected = prior.predict_noise(worn)
            layers = dict(prior.family.denoiser.named_modules())
            for path, pair in adapter.lora.items():
                path = path.replace("/", ".")
                assert path.endswith((".to_k", ".to_v", "_k_proj", "_v_proj"))
                layers[path].base_layer.weight += pair["lora_B"].weight
            frozen = worn._replace(adapters=("__base__",) * 2)
            changed = prior.predict_noise(frozen)
        torch.testing.assert_close(changed, expected, atol=1e-5, rtol=1e-4)
        assert [name for name, _ in adapter.named_parameters() if "lora_A" in name] == []

    def test_it_is_saved_as_a_lora_and_read_back(self, tmp_path):
        prior, adapter = self._attached()
        with torch.no_grad():
            for pair in adapter.lora.values():
                pair["lora_B"].weight.normal_(std=0.2)
        adapter.save(tmp_path)
        other_prior, other = self._attached()
        other.load(tmp_path)
        rows = noisy_rows(prior, (adapter.name,) * 2)
        assert torch.equal(other_prior.predict_noise(rows), prior.predict_noise(rows))


def test_layers_of_several_widths_are_refused(priors):
    with pytest.raises(ValueError, match="read inputs of 16, 64 numbers"):
        KeyValueAdapter(target_modules=["to_k", "ff.net.2"]).attach(copy.deepcopy(priors["2"]))
