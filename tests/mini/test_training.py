"""The training loop of the embedded models: rates, resuming, what is measured beside."""

import csv
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from redream.mini.captions import short_caption
from redream.mini.prepare import WEIGHTS
from redream.mini.train_all import recipes
from redream.mini.train_prior import PATTERNS, STAGES, build_scheduler, noise_weight
from redream.mini.train_vae import build_vae, refine_decoder
from redream.mini.training import rate_factor, train
from redream.mini.world import HELD_OUT, PictureSampler, Recipe, seen_pairs


def test_the_rate_rises_stays_and_falls():
    rates = [rate_factor(i, 1100, 100, 0.3) for i in range(1101)]
    assert rates[0] == pytest.approx(0.05) and rates[50] == pytest.approx(0.525)
    assert rates[100:801] == pytest.approx([1.0] * 701)
    assert rates[950] == pytest.approx(0.51)  # halfway down, between 1 and 0.02
    assert rates[1100] == pytest.approx(0.02)
    assert all(after <= before for before, after in zip(rates[800:], rates[801:], strict=False))


def test_a_rate_may_fall_from_the_end_of_its_rise_on():
    assert rate_factor(600, 1100, 100, 1.0) == pytest.approx(0.51)
    assert rate_factor(100, 1100, 100, 1.0) == pytest.approx(1.0)


def problem(generator_seed=0):
    torch.manual_seed(generator_seed)
    model = nn.Linear(4, 1)
    goal = torch.tensor([1.0, -2.0, 3.0, 0.5])

    def step(index):
        batch = torch.randn(16, 4, generator=torch.Generator().manual_seed(index))
        return {"loss": (model(batch)[:, 0] - batch @ goal).square().mean()}

    return nn.ModuleDict({"model": model}), step


def run(folder, step, modules, num_steps=60, **options):
    return train(step, modules, folder, num_steps, 0.1, num_warmup_steps=5, log_every=10, **options)


def read_csv(path):
    return list(csv.DictReader(path.read_text().splitlines()))


class Killed(Exception):
    pass


def test_an_interrupted_training_ends_where_a_whole_one_does(tmp_path):
    whole = run(tmp_path / "whole", *reversed(problem())).shadow

    modules, step = problem()

    def dies(index):
        if index == 37:
            raise Killed
        return step(index)

    with pytest.raises(Killed):
        run(tmp_path / "cut", dies, modules, checkpoint_seconds=0.0)
    resumed = run(tmp_path / "cut", *reversed(problem(1))).shadow
    for name, value in whole.items():
        assert torch.allclose(resumed[name], value, atol=1e-6), name


def test_what_is_measured_beside_sees_the_averaged_parameters_without_gradients(tmp_path):
    modules, step = problem()
    seen = []

    def held_out():
        assert not torch.is_grad_enabled()
        seen.append(modules["model"].weight.detach().clone())
        return {"error": float(len(seen))}

    ema = run(tmp_path, step, modules, held_out=held_out, checkpoint_seconds=0.0)
    assert torch.equal(seen[-1], ema.shadow["model.weight"])
    assert not torch.equal(seen[-1], modules["model"].weight)
    rows = read_csv(tmp_path / "held_out.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, 61))
    assert float(rows[-1]["error"]) == 60


def test_only_what_requires_a_gradient_is_trained(tmp_path):
    modules, step = problem()
    modules["model"].bias.requires_grad_(False)
    before = modules["model"].bias.clone()
    run(tmp_path, step, modules)
    assert torch.equal(modules["model"].bias, before)


def test_a_refined_decoder_leaves_the_latents_alone_and_restores_better(tmp_path):
    torch.manual_seed(0)
    vae = build_vae()
    pictures = np.full((8, 64, 64, 3), 200, np.uint8)
    pictures[:, :32] = 40
    images = torch.from_numpy(pictures[:1]).permute(0, 3, 1, 2) / 127.5 - 1.0
    latents = vae.encode(images).latent_dist.mean.detach().clone()
    error = (vae.decode(latents).sample - images).square().mean().item()
    refined = refine_decoder(vae, pictures, tmp_path, 8, batch_size=2, unseen=pictures[:2])
    assert torch.allclose(refined.encode(images).latent_dist.mean, latents, atol=1e-5)
    assert (refined.decode(latents).sample - images).square().mean().item() < error
    (row,) = read_csv(tmp_path / "held_out.csv")
    assert row["step"] == "8" and float(row["psnr"]) > 0


def test_the_noises_weight_is_min_snr_and_grows_where_noise_drowns_the_picture():
    alphas = build_scheduler().alphas_cumprod
    snr = alphas / (1 - alphas)
    plain = noise_weight(alphas, 0.0)
    assert torch.allclose(plain, (5.0 / snr).clamp(max=1.0))
    assert torch.allclose(noise_weight(alphas, 0.2) / plain, 1 + 0.2 / snr)


def test_a_later_stage_shows_patterns_more_often_and_no_held_out_pair():
    pairs = STAGES["second"].pairs()
    assert set(pairs) == set(seen_pairs()) and not HELD_OUT & set(pairs)
    for pair in seen_pairs():
        assert pairs.count(pair) == (2 if pair[0] in PATTERNS else 1)
    assert STAGES["first"].pairs() == seen_pairs()


def test_short_captions_say_what_a_user_would():
    views = Recipe("views", None, 1.0, 1.0, 0.2, 0.2)
    sampler = PictureSampler(3, recipe=views)
    for sample in (sampler[index] for index in range(40)):
        short = short_caption(vars(sample))
        if sample.is_normal_map or sample.material == "clay":
            assert short == sample.caption
            continue
        view = next(view for view in ("front", "side", "back") if view in sample.caption)
        material = "" if sample.material == "plain" else f"{sample.material} "
        wanted = f"{material}{sample.category}, {view} view"
        assert short in (f"a {wanted}", f"an {wanted}")
        assert short.startswith("an ") == (wanted[0] in "aeiou")


def test_every_stage_goes_on_from_what_an_earlier_command_makes(tmp_path):
    made = []
    for command in recipes(tmp_path / "work", tmp_path / "out").values():
        options = dict(zip(command[1::2], command[2::2], strict=True))
        if "--initial" in options:
            assert options["--initial"] in made
        made.append(options["--out"])
    finished = {f"{tmp_path}/out/{name}" for name in ("prior", "retrieval_clip", "evaluation_clip")}
    assert finished <= set(made)


def test_finished_weights_go_on_with_the_second_stage_alone(tmp_path):
    whole = recipes(tmp_path / "work", tmp_path / "out")
    for name, command in recipes(tmp_path / "work", tmp_path / "out", initial=WEIGHTS).items():
        place = command.index("--initial") + 1
        assert command[place] == str(WEIGHTS / name)
        assert command[:place] == whole[name][:place]
        assert command[place + 1 :] == whole[name][place + 1 :]


@pytest.mark.slow
def test_one_command_makes_models_of_the_shipped_kind(tmp_path):
    command = [sys.executable, "-m", "redream.mini.train_all", "--scale", "0.001"]
    options = ["--num_pictures", "60", "--work", tmp_path / "work", "--out", tmp_path / "out"]
    subprocess.run([*command, *options], check=True)
    for path in sorted(WEIGHTS.rglob("*.safetensors")):
        shipped, made = load_file(path), load_file(tmp_path / "out" / path.relative_to(WEIGHTS))
        assert {name: value.shape for name, value in made.items()} == {
            name: value.shape for name, value in shipped.items()
        }
        assert all(value.isfinite().all() for value in made.values() if value.is_floating_point())
