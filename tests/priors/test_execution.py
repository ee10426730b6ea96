"""The ways to run a prior's networks give the answers and gradients of the plain way."""

from functools import partial

import pytest
import torch

from redream.adapters import LightAdapter, VariationalAdapter
from redream.priors import BASE, StableDiffusionPrior
from redream.testing.priors import noisy_rows

HATS = ("omega", "zeta", "zeta")


def learned(folder, **options):
    """Predictions and gradients of mixed rows, with other rows scored before the backward pass."""
    prior = StableDiffusionPrior(str(folder), **options)
    adapters = [LightAdapter(rank=2, target_modules=["to_q", "to_k"]), VariationalAdapter(rank=3)]
    torch.manual_seed(0)
    for adapter in adapters:
        adapter.attach(prior)
        for pair in adapter.lora.values():
            torch.nn.init.normal_(pair["lora_A"].weight)
            torch.nn.init.normal_(pair["lora_B"].weight, std=0.1)
    rows = noisy_rows(prior, HATS)
    rows = rows._replace(cameras=torch.linspace(-1, 1, 3 * prior.time_embedding_dim).view(3, -1))
    kept = {}  # the parameters are there anyway

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        predicted = prior.predict_noise(rows)
        images = torch.linspace(0, 1, 3 * 16 * 16).view(1, 3, 16, 16).requires_grad_()
        latents = prior.encode_images(images)
    with torch.no_grad():
        prior.predict_noise(noisy_rows(prior, (BASE, "omega", BASE, "zeta"), seed=1))
    parameters = [p for adapter in adapters for p in adapter.lora.parameters()]
    loss = predicted.square().sum() + latents.square().sum()
    gradients = torch.autograd.grad(loss, [*parameters, images])
    frozen = {p.untyped_storage().data_ptr() for p in prior.parameters()}
    size = sum(nbytes for pointer, nbytes in kept.items() if pointer not in frozen)
    return predicted.detach(), gradients, size


@pytest.fixture(scope="module")
def plain(family_folders):
    return {name: learned(family_folders[name]) for name in ("epsilon", "3")}


def agree(one, other, tolerance):
    for mine, theirs in zip((one[0], *one[1]), (other[0], *other[1]), strict=True):
        assert (mine - theirs).abs().max() <= tolerance * theirs.abs().max().clamp_min(1e-3)


@pytest.mark.parametrize("name", ["epsilon", "3"])
def test_recomputed_activations_are_those_of_the_rows_own_adapters(name, family_folders, plain):
    recomputed = learned(family_folders[name], gradient_checkpointing=True)
    agree(recomputed, plain[name], 1e-4)
    assert recomputed[2] < 0.7 * plain[name][2]


def test_channels_last_changes_the_layout_alone(family_folders, plain):
    agree(learned(family_folders["epsilon"], channels_last=True), plain["epsilon"], 1e-4)
    prior = StableDiffusionPrior(str(family_folders["epsilon"]), channels_last=True)
    for network in (prior.family.denoiser.conv_in, prior.family.vae.encoder.conv_in):
        assert network.weight.is_contiguous(memory_format=torch.channels_last)


def test_half_precision_is_half_as_precise(family_folders, plain):
    half = learned(family_folders["epsilon"], dtype="bfloat16")
    agree((half[0], ()), (plain["epsilon"][0], ()), 0.05)
    assert half[0].dtype == torch.float32


def test_a_compiled_denoiser_is_one_graph_and_answers_alike(family_folders, plain, monkeypatch):
    torch._dynamo.reset()
    traced = partial(torch.compile, backend="eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", traced)
    agree(learned(family_folders["epsilon"], compile=True), plain["epsilon"], 1e-4)
    torch._dynamo.reset()


@pytest.mark.slow
def test_inductor_answers_alike(family_folders, plain):
    agree(learned(family_folders["epsilon"], compile=True), plain["epsilon"], 1e-3)
    torch._dynamo.reset()
