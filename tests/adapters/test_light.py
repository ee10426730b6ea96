import copy

import pytest
import torch
from safetensors.torch import load_file

from redream.adapters import LightAdapter, VariationalAdapter
from redream.representations import Mesh
from redream.training.optimizer import make_optimizer
from redream.types import NoisyRows


@pytest.fixture
def trained(prior):
    """A light adapter as if it had been trained, beside a variational one."""
    omega = LightAdapter(rank=2, lora_alpha=6.0)
    omega.attach(prior)
    VariationalAdapter().attach(prior)
    with torch.no_grad():
        for parameter in omega.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return omega


def rows(prior, adapter="omega"):
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, *prior.latent_shape, generator=generator)
    text = prior.encode_prompts(["a dog", "corgi"])
    return NoisyRows(latents, torch.tensor([100, 800]), text, (adapter,) * 2)


def test_prefixes_start_as_their_words(prior):
    omega = LightAdapter()
    omega.attach(prior)
    expected = torch.stack([prior.embed_words("back view of"), prior.embed_words("front view of")])
    assert torch.equal(omega.prefixes(["back", "front"]), expected)
    assert omega.prefixes(["side"]).requires_grad


def test_words_of_different_lengths_make_prefixes_of_one(prior, monkeypatch):
    by_letter = {view: prior.embed_words(" ".join(view)) for view in ("front", "side", "back")}
    monkeypatch.setattr(prior, "embed_words", lambda text: by_letter[text])
    omega = LightAdapter(prefix_words="{view}")
    omega.attach(prior)
    assert torch.equal(omega.prefixes(["front"])[0], by_letter["front"])
    expected = torch.cat([by_letter["back"], by_letter["back"][-1:]])
    assert torch.equal(omega.prefixes(["back"])[0], expected)


def test_fixed_prefixes_are_not_trained(prior):
    omega = LightAdapter(learn_prefixes=False)
    omega.attach(prior)
    assert [group["name"] for group in omega.parameter_groups()] == ["omega"]
    assert not omega.prefixes(["front"]).requires_grad


def test_saved_lora_loads_into_a_diffusers_pipeline(prior, trained, sd_folders, tmp_path):
    from diffusers import StableDiffusionPipeline

    trained.save(tmp_path / "adapter")
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "pytorch_lora_weights.safetensors",
        "view_prefixes.safetensors",
    ]
    pipeline = StableDiffusionPipeline.from_pretrained(sd_folders["epsilon"])
    ours = rows(prior)
    raw = pipeline.unet(ours.latents, ours.timesteps, ours.text).sample
    pipeline.load_lora_weights(tmp_path / "adapter")
    loaded = pipeline.unet(ours.latents, ours.timesteps, ours.text).sample
    expected = prior.predict_noise(ours)
    assert torch.allclose(loaded, expected, atol=1e-5)
    assert not torch.allclose(loaded, raw, atol=1e-3)


def test_saved_adapter_loads_back(prior, trained, loaded_prior, tmp_path):
    trained.save(tmp_path)
    fresh = copy.deepcopy(loaded_prior)
    again = LightAdapter(rank=2, lora_alpha=6.0)
    again.attach(fresh)
    again.load(tmp_path)
    assert torch.equal(again.prefixes(["side"]), trained.prefixes(["side"]))
    assert torch.equal(fresh.predict_noise(rows(fresh)), prior.predict_noise(rows(prior)))
    prefixes = load_file(tmp_path / "view_prefixes.safetensors")
    assert torch.equal(prefixes["side"], trained.prefixes(["side"])[0])


def test_saving_again_replaces_the_files(trained, tmp_path):
    trained.save(tmp_path)
    with torch.no_grad():
        trained.view_prefixes.zero_()
    trained.save(tmp_path)
    assert load_file(tmp_path / "view_prefixes.safetensors")["front"].abs().sum() == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_foreign_or_damaged_files_are_refused(trained, loaded_prior, tmp_path):
    with pytest.raises(FileNotFoundError, match="no adapter at"):
        trained.load(tmp_path)
    trained.save(tmp_path)
    before = trained.prefixes(["front"]).clone()

    def attached(**options):
        adapter = LightAdapter(**options)
        adapter.attach(copy.deepcopy(loaded_prior))
        return adapter

    with pytest.raises(ValueError, match="rank"):
        attached(rank=3).load(tmp_path)
    with pytest.raises(ValueError, match="target_modules"):
        attached(rank=2, target_modules=["to_q"]).load(tmp_path)
    with pytest.raises(ValueError, match="prefix_words"):
        attached(rank=2, prefix_words="{view}").load(tmp_path)
    lora = tmp_path / "pytorch_lora_weights.safetensors"
    lora.write_bytes(lora.read_bytes()[:100])
    with pytest.raises(ValueError, match="is damaged"):
        trained.load(tmp_path)
    assert torch.equal(trained.prefixes(["front"]), before)


@pytest.mark.parametrize("target", ["no_such_layer", "conv1"])
def test_targets_must_be_linear_layers(prior, target):
    with pytest.raises(ValueError, match="must name linear layers"):
        LightAdapter(target_modules=[target]).attach(prior)


def test_options_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="must contain"):
        LightAdapter(prefix_words="front view")
    with pytest.raises(ValueError, match="2 or more"):
        LightAdapter(held_out_every=1)


def test_stops_after_its_budget():
    omega = LightAdapter(max_steps=3)
    assert [omega.stopped(step) for step in range(5)] == [False, False, False, True, True]
    assert not LightAdapter(max_steps=None).stopped(10**6)


def test_stops_when_the_held_out_loss_no_longer_falls():
    omega = LightAdapter(max_steps=None, patience=2, min_improvement=0.1)
    stopped = []
    for loss in (1.0, 0.8, 0.79, 0.5, 0.6, 0.46):
        omega.observe(loss)
        stopped.append(omega.stopped(0))
    assert stopped == [False, False, False, False, False, True]


def test_early_stopping_survives_a_checkpoint(tmp_path):
    omega = LightAdapter(max_steps=None, patience=2)
    omega.observe(1.0)
    omega.observe(2.0)
    torch.save(omega.state_dict(), tmp_path / "last.ckpt")
    resumed = LightAdapter(max_steps=None, patience=2)
    resumed.load_state_dict(torch.load(tmp_path / "last.ckpt", weights_only=True))
    resumed.observe(1.5)
    assert resumed.stopped(0)


def test_every_tenth_picture_is_held_out():
    train, held_out = LightAdapter(held_out_every=10).split(25)
    assert held_out.tolist() == [9, 19]
    assert sorted(train.tolist() + held_out.tolist()) == list(range(25))


def test_below_its_lowest_time_rows_are_the_frozen_priors(prior):
    omega = LightAdapter(rank=2, lowest_time=0.5)
    omega.attach(prior)
    for pair in omega.lora.values():
        torch.nn.init.normal_(pair["lora_B"].weight, std=0.3)
    clean_end = rows(prior)._replace(timesteps=torch.tensor([499, 500]))
    adapted = prior.predict_noise(clean_end)
    frozen = prior.predict_noise(clean_end._replace(adapters=("__base__",) * 2))
    assert torch.equal(adapted[0], frozen[0])
    assert not torch.allclose(adapted[1], frozen[1], atol=1e-3)
    first = next(iter(omega.lora.values()))["lora_B"].weight
    (none,) = torch.autograd.grad(adapted[0].sum(), first, retain_graph=True)
    (some,) = torch.autograd.grad(adapted[1].sum(), first)
    assert none.abs().max() == 0.0 < some.abs().max()


def test_cosine_decay_rises_and_falls_to_nothing():
    omega = LightAdapter(max_steps=200, cosine_decay=True)
    scales = [omega.learning_rate_scale(step) for step in range(201)]
    assert scales[0] == pytest.approx(0.05) and scales[200] == pytest.approx(0.0, abs=1e-12)
    assert scales[100] == pytest.approx(0.5)
    assert scales[:15] == sorted(scales[:15]) and scales[20:] == sorted(scales[20:], reverse=True)
    assert LightAdapter(max_steps=200).learning_rate_scale(150) == 1.0
    assert LightAdapter(max_steps=0, cosine_decay=True).learning_rate_scale(0) == 1.0


def test_the_optimizer_multiplies_both_schedules(prior):
    omega = LightAdapter(max_steps=200, cosine_decay=True, learning_rate=1e-2)
    omega.attach(prior)
    optimizer, _ = make_optimizer([], [omega], lambda step: 0.5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-2 * 0.5 * 0.05)


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_weights_decay_and_places_do_not(decay):
    """After 20,000 steps without gradients at 1e-2 a weight is exp(-2) of itself under 0.01."""
    scene = Mesh(num_levels=1, log2_table_size=4, hidden=4, vertex_lr=1e-2)
    optimizer, _ = make_optimizer([scene], [], lambda step: 1.0, decay)
    assert {group["name"]: group["weight_decay"] for group in optimizer.param_groups} == {
        "theta_0.grid": decay, "theta_0.mlp": decay, "theta_0.background": decay,
        "theta_0.vertices": 0.0,
    }  # fmt: skip
    before = {name: value.clone() for name, value in scene.named_parameters()}
    for parameter in scene.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(100):
        optimizer.step()
    now = dict(scene.named_parameters())
    assert torch.equal(now["vertices"], before["vertices"])
    table = next(name for name in before if name.endswith("grid.table"))
    torch.testing.assert_close(now[table], before[table] * (1.0 - 1e-2 * decay) ** 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"view_contrast": -1.0}, "view_contrast is -1.0"),
        ({"anchor": 1.0}, "set view_contrast too"),
        ({"cosine_decay": True, "max_steps": None}, "needs max_steps"),
    ],
)
def test_options_that_mean_nothing_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LightAdapter(**arguments)
