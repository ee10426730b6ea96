"""The ways to run a prior's networks give the answers and gradients of the plain way."""

from functools import partial

import pytest
import torch
from diffusers import ModelMixin

from redream.adapters import LightAdapter, VariationalAdapter
from redream.priors import BASE, StableDiffusionPrior
from redream.priors._gradient_scale import GradientScale
from redream.priors._routing import LowRankUpdate
from redream.testing.priors import noisy_rows

ADAPTERS = ("omega", "zeta", "zeta")


def learned(folder, weight=1.0, **options):
    """Predictions and gradients of mixed rows, with other rows scored before the backward pass."""
    prior = StableDiffusionPrior(str(folder), **options)
    adapters = [LightAdapter(rank=2, target_modules=["to_q", "to_k"]), VariationalAdapter(rank=3)]
    torch.manual_seed(0)
    for adapter in adapters:
        adapter.attach(prior)
        for pair in adapter.lora.values():
            torch.nn.init.normal_(pair["lora_A"].weight)
            torch.nn.init.normal_(pair["lora_B"].weight, std=0.1)
    rows = noisy_rows(prior, ADAPTERS)
    cameras = torch.linspace(-1, 1, 3 * prior.time_embedding_dim).view(3, -1).requires_grad_()
    width = prior.embed_words("a").shape[-1]
    prefixes = torch.linspace(-1, 1, 2 * width).view(1, 2, width).requires_grad_()
    text = prior.encode_prompts(["a dog"], prefixes)
    rows = rows._replace(cameras=cameras, text=text.expand(3, -1, -1))
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
    found = torch.autograd.grad(loss * weight, [*parameters, images, cameras, prefixes])
    gradients = [each / weight for each in found]
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


def off(one, other):
    """The length of the difference over all gradients, over their length."""
    return (
        float(
            sum((a - b).square().sum() / b.square().sum() for a, b in zip(one, other, strict=True))
            / len(other)
        )
        ** 0.5
    )


@pytest.mark.parametrize("weight", [1.0, 1e-9, 1e6], ids=["plain", "a mean over many", "large"])
@pytest.mark.parametrize("recomputed", [False, True], ids=["kept", "recomputed"])
def test_gradients_fit_into_float16_whatever_the_loss_weighs(
    weight, recomputed, family_folders, plain
):
    options = dict(dtype="float16", gradient_checkpointing=recomputed)
    half = learned(family_folders["epsilon"], weight, **options)
    assert off(half[1], plain["epsilon"][1]) < 0.01


@pytest.mark.parametrize("size", [1.0, 1e-6, 1e-9])
def test_gradients_of_decoded_pictures_fit_into_float16(size, family_folders):
    found = []
    for dtype in ("float32", "float16"):
        prior = StableDiffusionPrior(str(family_folders["epsilon"]), dtype=dtype)
        latents = prior.encode_images(torch.linspace(0.2, 0.8, 768).view(1, 3, 16, 16)).detach()
        latents.requires_grad_()
        pictures = prior.decode_latents(latents)
        towards = torch.linspace(-1, 1, pictures.numel()).view(pictures.shape)
        (gradient,) = torch.autograd.grad((pictures * towards).sum() * size, latents)
        found.append([gradient / size])
    assert found[0][0].abs().max() > 0 and off(found[1], found[0]) < 0.02


def test_float16_is_more_precise_than_bfloat16(family_folders, plain):
    errors = {
        dtype: off(learned(family_folders["epsilon"], dtype=dtype)[1], plain["epsilon"][1])
        for dtype in ("float16", "bfloat16")
    }
    assert 4.0 * errors["float16"] < errors["bfloat16"] < 0.1
    with pytest.raises(ValueError, match="bfloat16, or compile to false"):
        StableDiffusionPrior("unread", dtype="float16", compile=True)


def test_an_adapter_in_more_precision_than_its_network_learns_as_written_out():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6, requires_grad=True)
    down = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    up = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    scales = torch.tensor([0.0, 2.0], dtype=torch.float64).view(2, 1, 1).expand(2, 1, 3)
    mine = LowRankUpdate.apply(x, down, up, scales, GradientScale(torch.float32))
    written_out = ((x.double() @ down.T) * scales @ up.T).float()
    assert mine.dtype == torch.float32 and torch.equal(mine, written_out)
    for one, other in zip(
        torch.autograd.grad(mine.square().sum(), [x, down, up]),
        torch.autograd.grad(written_out.square().sum(), [x, down, up]),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_half_precision_remembers_half(family_folders, plain):
    """Adapters remember no copy of their input in their own precision."""
    half = learned(family_folders["epsilon"], dtype="bfloat16")
    assert half[2] < 0.55 * plain["epsilon"][2]


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # PyTorch's compiler looks at the text's
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


def test_no_pass_walks_the_modules_for_a_dtype(family_folders, monkeypatch):
    prior = StableDiffusionPrior(str(family_folders["epsilon"]))
    walked = []

    def walk(self):
        walked.append(type(self).__name__)
        return torch.float32

    monkeypatch.setattr(ModelMixin, "dtype", property(walk))
    assert type(prior.family.denoiser).__mro__.index(ModelMixin) and prior.family.denoiser.dtype
    walked.clear()
    with torch.no_grad():
        prior.predict_noise(noisy_rows(prior, (BASE, BASE)))
        prior.decode_latents(prior.encode_images(torch.rand(1, 3, 16, 16)))
    assert walked == []
