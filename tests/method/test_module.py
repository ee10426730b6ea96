"""The method's sum of losses, on a random miniature of Stable Diffusion."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import paintings
import pytest
import torch
import trimesh
import yaml
from torch import nn
from two_discs import Discs

from redream import adapters
from redream.adapters import LightAdapter
from redream.assets import load_mesh
from redream.cameras import sample_cameras
from redream.losses import guidance_loss, sum_of
from redream.method import guidance
from redream.method.adaptation import AdaptationSchedule
from redream.method.cameras import CameraSampler
from redream.method.correction import Correction
from redream.method.guidance import SDS, VSD, Reuse
from redream.method.module import ReDream
from redream.method.pictures import Pictures
from redream.method.poses import PictureFeatures, UniformPoses
from redream.method.turns import Turns
from redream.method.warmup import Warmup
from redream.priors import BASE, GaussianPrior, Guided, StableDiffusionPrior
from redream.priors.miniature import save_miniature
from redream.priors.prompting import DebiasedPrompt, PerpNeg
from redream.representations import NeRF, Splats
from redream.schedules import Ramp, TimestepRange
from redream.tools import run
from redream.training.processes import Processes
from redream.types import NoisyRows, key_generator


class Painting(paintings.Painting):
    """A picture with a penalty."""

    def render(self, cameras, height, width):
        views = super().render(cameras, height, width)
        return views._replace(penalties={"sparsity": views.opacity.mean()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sd")
    save_miniature(path, "epsilon")
    return str(path)


def make(folder, **arguments):
    torch.manual_seed(0)
    defaults = dict(
        adapter=LightAdapter(),
        guidance=VSD(),
        representation=Painting,
        cameras=CameraSampler(render_size=16),
    )
    module = ReDream(prior=StableDiffusionPrior(folder), **(defaults | arguments))
    module._trainer = SimpleNamespace(datamodule=Discs(), global_step=0, current_epoch=0)
    module._fabric = None
    module.setup("fit")
    module.on_fit_start()
    randomise(module)
    return module


def randomise(module):
    """LoRA starts at zero, where its gradient is half dead; wake it up."""
    for adapter in (module.adapter, module.variational):
        if adapter is not None:
            for name, parameter in adapter.named_parameters():
                if "lora_B" in name or "camera.2" in name:
                    nn.init.normal_(parameter, std=0.05)


def terms(module, step=0):
    """Each named loss, its gradients by parameter group."""
    drawn = [module._draw(index, step) for index in module.turns.active(step)]
    gradients = module._gradients(drawn, step)
    losses = {"guidance": sum_of(map(guidance_loss, (d.latents for d in drawn), gradients))}
    if module.poses is not None:
        losses |= module.poses.act(drawn, gradients, module.guidance, step)[1]
    losses |= module._attraction.losses(drawn, step)
    losses |= module._denoising_losses(drawn, step)
    return losses


def groups(module):
    optimizer = module.configure_optimizers()["optimizer"]
    table = {}
    for group in optimizer.param_groups:
        name = "theta" if group["name"].startswith("theta") else group["name"]
        table.setdefault(name, []).extend(group["params"])
    return table


class Corners(PictureFeatures):
    """The colours of a picture, coarsely."""

    name = "corners"

    def of(self, pictures):
        return nn.functional.adaptive_avg_pool2d(pictures, 2).flatten(1)


def judged(**arguments):
    """Poses of assets that are alike from everywhere, judged all the same."""
    weight = Ramp(1.0, 1.0)
    return UniformPoses(
        **{"weight": weight, "num_poses": 2, "features": Corners(), "min_accuracy": 0.0} | arguments
    )


EXPECTED = {
    "guidance": {"theta"},
    "poses": {"theta"},
    "warmup": {"theta"},
    "shape": {"theta"},
    "variational": {"zeta"},
    "adapter": {"omega", "e_psi"},
}


@pytest.mark.parametrize("step", [0, 1], ids=["corrected", "plain"])
@pytest.mark.parametrize("through_network", [False, True], ids=["heard", "through"])
def test_each_loss_reaches_only_the_parameters_of_its_equation(folder, step, through_network):
    """That of the poses not even omega's, though it may go through the network."""
    poses = judged(through_network=through_network)
    module = make(folder, warmup=Warmup(shape_weight=Ramp(1.0, 1.0)), poses=poses)
    module._assets.starts = ["a mesh of the user's own"]
    module.poses.marginals.values[:] = torch.tensor([0.9, 0.1])  # an even one asks for nothing
    losses, named = terms(module, step), groups(module)
    assert set(named) == {"theta", "omega", "e_psi", "zeta"}
    assert set(losses) == set(EXPECTED)
    lines = []
    for name, loss in losses.items():
        norms = {}
        for group, parameters in named.items():
            found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            norms[group] = sum(float(g.norm()) for g in found if g is not None)
        lines.append(f"{name:12} " + " ".join(f"{g} {n:9.3g}" for g, n in norms.items()))
        assert {group for group, norm in norms.items() if norm > 0} == EXPECTED[name], lines[-1]
    print("\n".join(lines))


def test_nothing_of_the_prior_trains(folder):
    module = make(folder)
    trained = {
        id(p)
        for group in module.configure_optimizers()["optimizer"].param_groups
        for p in group["params"]
    }
    frozen = [p for n, p in module.prior.named_parameters() if "lora" not in n]
    assert frozen and all(id(p) not in trained and not p.requires_grad for p in frozen)


def test_random_numbers_do_not_depend_on_the_order_or_number_of_particles(folder):
    few, many = make(folder, num_particles=1), make(folder, num_particles=3)
    alone, among = few._draw(0, 7), many._draw(0, 7)
    many._draw(2, 7)
    torch.testing.assert_close(alone.noise, among.noise)
    torch.testing.assert_close(alone.cameras.c2w, among.cameras.c2w)
    assert not torch.equal(among.noise, many._draw(1, 7).noise)
    assert not torch.equal(among.noise, many._draw(0, 8).noise)


def test_guidance_of_one_particle_does_not_depend_on_the_others(folder):
    few, many = make(folder, num_particles=1), make(folder, num_particles=3)
    alone = few._gradients([few._draw(0, 3)], 3)[0]
    together = many._gradients([many._draw(i, 3) for i in (2, 0)], 3)[1]
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


def test_correction_vanishes_where_the_particle_is_its_asset(folder):
    module = make(folder, num_particles=1, correction=Correction(weight=Ramp(1.0, 1.0)))
    drawn = module._draw(0, 0)
    latents = module.prior.encode_images(module._attraction.image(drawn))
    gradient = module._gradients([drawn._replace(latents=latents)], 0)[0]
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-4, rtol=0)
    uncorrected = module._gradients([drawn._replace(latents=latents)], 1)[0]
    assert uncorrected.abs().max() > 1e-2


@pytest.mark.parametrize(
    ("num_particles", "a_step", "num_fits"), [(2, 2, 1), (3, 1, 1), (6, 2, 1), (3, 2, 1), (3, 1, 4)]
)
def test_every_particle_is_corrected_as_often_as_the_others(
    num_particles, a_step, num_fits, folder
):
    guidance = VSD() if num_fits == 1 else Reuse(VSD(), num_fits)
    counts = dict(num_particles=num_particles, particles_per_step=a_step)
    module = make(folder, **counts, guidance=guidance)
    assert module.correction.period == 3
    corrected, scored = [0] * num_particles, [0] * num_particles
    for step in range(0, 3 * 6 * num_fits * num_particles, num_fits):  # those that score
        weight = module.correction.at(step, module.turns.steps_a_round)
        for index in module.turns.active(step):
            scored[index] += 1
            corrected[index] += weight > 0.0
    assert len(set(corrected)) == len(set(scored)) == 1
    assert 3 * corrected[0] == scored[0]


@pytest.mark.parametrize(("num_particles", "a_step", "num_fits"), [(2, 2, 1), (2, 1, 1), (3, 2, 4)])
def test_turns_know_the_turn_before(num_particles, a_step, num_fits):
    turns, before = Turns(num_particles, a_step, num_fits), [-1] * num_particles
    for step in range(40):
        for index in turns.active(step):
            assert turns.since(index, step) == step - before[index]
            before[index] = step


def test_every_particles_grid_is_pruned_where_they_take_turns(folder):
    def field(seed):
        return NeRF(seed, num_levels=2, log2_table_size=6, hidden=8, num_steps=16)

    module = make(folder, num_particles=2, particles_per_step=1, representation=field)
    seen = [set(), set()]
    for step in range(64):
        (index,) = module.turns.active(step)
        before = module.particles[index].occupancy.density.clone()
        module._draw(index, step)
        if not torch.equal(before, module.particles[index].occupancy.density):
            seen[index].add(step // 16)
    assert seen[0] == seen[1] == {0, 1, 2, 3}


def test_warmup_compares_over_the_same_background(folder):
    module = make(folder, num_particles=1)
    drawn = module._draw(0, 0)
    asset = module._attraction.image(drawn)
    corner = drawn.background.expand_as(asset)[..., 0, 0]
    torch.testing.assert_close(asset[..., 0, 0], corner)


class OnGrey(Painting):
    """A painting before a background that it learns."""

    def __init__(self, seed):
        super().__init__(seed)
        self.grey = nn.Parameter(torch.tensor(0.5))

    def background(self, cameras, height, width):
        return self.grey.expand(cameras.num, 3, height, width)


def test_a_background_does_not_learn_what_the_particle_lacks_of_its_asset(folder):
    module = make(folder, num_particles=1, representation=OnGrey, pictures=Pictures(0.0))
    found = terms(module)
    particle = module.particles[0]
    warmup = torch.autograd.grad(
        found["warmup"], [particle.grey, particle.picture], allow_unused=True, retain_graph=True
    )
    assert warmup[0] is None and warmup[1].abs().sum() > 0
    (guidance,) = torch.autograd.grad(found["guidance"], [particle.grey])
    assert guidance != 0.0  # the prior sees it


def test_the_pulls_are_the_gradients_of_their_equations_at_the_pictures(folder):
    """One step's ratio, against both gradients taken apart."""
    module = make(folder, num_particles=2)
    drawn = [module._draw(index, 0) for index in range(2)]
    gradients = module._gradients(drawn, 0)
    guidance = sum_of(map(guidance_loss, (d.latents for d in drawn), gradients))
    prior = torch.autograd.grad(guidance, [d.image for d in drawn], retain_graph=True)
    asset = []
    for each in drawn:
        behind = each.background.detach()
        image = each.views.over(behind).detach()
        target = module._attraction.image(each)
        scale = 2.0 * each.latents[0].numel() / image.numel() / module.warmup.sigma**2
        asset.append(scale * (image - target))
    lengths = [torch.cat([g.flatten() for g in group]).norm() for group in (asset, prior)]
    warmup = module._attraction.losses(drawn, 0)["warmup"]
    (warmup + guidance).backward()
    torch.testing.assert_close(module.pulls.take_ratio(), lengths[0] / lengths[1])
    assert module.pulls.take_ratio() is None


def test_white_backgrounds_and_drawn_latents_are_parameters(folder):
    def backgrounds(**arguments):
        module = make(folder, num_particles=1, adapter=None, pictures=Pictures(1.0, **arguments))
        return torch.cat([module._draw(0, step).background[0, :, 0, 0] for step in range(12)])

    assert (backgrounds(white_share=1.0) == 1.0).all()
    assert (backgrounds(white_share=0.0) < 1.0).all()
    drawn = [
        make(folder, num_particles=1, pictures=Pictures(sample_latents=drawn_from))
        for drawn_from in (False, True, True)
    ]
    means, one, same = (each._draw(0, 3).latents for each in drawn)
    assert torch.equal(one, same) and not torch.equal(one, means)  # keyed by seed and step
    assert not torch.equal(drawn[1]._adaptation.latents, drawn[0]._adaptation.latents)
    assert torch.equal(drawn[1]._adaptation.latents, drawn[2]._adaptation.latents)
    own, asset = (drawn[1]._encode(0, 3, torch.full((1, 3, 16, 16), grey)) for grey in (0.2, 0.2))
    assert torch.equal(own, asset)  # what App. B compares has the same random numbers
    drawn[1].turns = Turns(1, 1, num_fits=2)  # a score serves two steps
    kept = [drawn[1]._encode(0, step, torch.full((1, 3, 16, 16), 0.2)) for step in (2, 3, 4)]
    assert torch.equal(kept[0], kept[1]) and not torch.equal(kept[0], kept[2])


ONE_STEP = Warmup(steps=1, shape_weight=Ramp(0.5, 0.5), sigma=0.1)
NEVER = Correction(period=0)


def test_only_an_own_asset_keeps_its_silhouettes_and_to_the_end(folder):
    module = make(folder, num_particles=1, warmup=ONE_STEP)
    drawn = module._draw(0, 9)
    assert module._attraction.losses([drawn], 9) == {}  # retrieved
    module._assets.starts = ["a mesh of the user's own"]
    disc = module._assets.render_asset(0, drawn.cameras, 16, 16).opacity
    (found,) = module._attraction.losses([drawn], 9).values()
    weight = 50.0 * drawn.latents[0].numel()
    torch.testing.assert_close(found, weight * (drawn.views.opacity - disc).square().mean())
    kept = drawn._replace(views=drawn.views._replace(opacity=disc))
    assert module._attraction.losses([kept], 9) == {"shape": 0.0}


def test_particles_take_turns(folder):
    module = make(folder, num_particles=3, particles_per_step=2)
    seen = [module.turns.active(step) for step in range(3)]
    assert seen == [[0, 1], [2, 0], [1, 2]]


def test_particles_take_assets_best_first_or_nearest(folder):
    module = make(folder, num_particles=3)
    assert module.asset_of.tolist() == [0, 1, 0]
    nearest = make(folder, num_particles=2, warmup=Warmup(assignment="nearest"))
    green = module._assets.render_asset(1, sample_cameras(1, key_generator("test", 0)), 16, 16)
    with torch.no_grad():
        nearest.particles[0].picture.copy_(green.rgb)
        nearest.particles[0].alpha.copy_(green.opacity * 20 - 10)
    particles, assets = list(nearest.particles), nearest._assets
    assert nearest.warmup.assign(particles, assets, 16, "cpu")[0] == 1


def test_without_adapters_it_is_sds(folder):
    module = make(folder, adapter=None, guidance=SDS(), correction=NEVER)
    losses = terms(module, 1)
    assert set(losses) == {"guidance", "warmup"}


def test_checkpoints_hold_what_trains_and_not_the_prior(folder):
    module = make(folder)
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    keys = checkpoint["state_dict"].keys()
    assert not any(key.startswith("prior.") for key in keys)
    for part in ("particles.0", "particles.1", "adapter.lora", "adapter.view_prefixes"):
        assert any(key.startswith(part) for key in keys), part
    assert any(key.startswith("variational.camera") for key in keys)
    other = make(folder)
    other.load_state_dict(checkpoint["state_dict"], strict=False)
    for mine, theirs in zip(module.adapter.parameters(), other.adapter.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("arguments", [{"num_particles": 0}, {"particles_per_step": 3}])
def test_impossible_counts_are_refused(folder, arguments):
    with pytest.raises(ValueError, match="particles"):
        make(folder, **arguments)


def test_a_step_minimises_one_finite_sum(folder):
    module = make(folder)
    module.log_dict = module.log = lambda *args, **kwargs: None
    loss = module.training_step(0, 0)
    assert loss.ndim == 0 and torch.isfinite(loss)


def test_a_prior_that_hosts_no_adapters_says_so():
    with pytest.raises(ValueError, match="GaussianPrior hosts no adapters"):
        ReDream(GaussianPrior(), Painting, SDS(), LightAdapter())


def train(module, num_steps):
    """Real steps of the optimiser; the sum of all losses at each."""
    module.log_dict = module.log = lambda *args, **kwargs: None
    optimizer = module.configure_optimizers()["optimizer"]
    losses = []
    for step in range(num_steps):
        module._trainer.global_step = step
        optimizer.zero_grad()
        loss = module.training_step(0, step)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", ["v_prediction", "xl", "3", "3 without T5"])
def test_every_family_distils_and_adapts(family_folders, name):
    module = make(str(family_folders[name]), num_particles=1, adapter=LightAdapter(max_steps=3))
    own = {n: p.detach().clone() for n, p in module.named_parameters() if "prior." not in n}
    losses = train(module, 5)
    assert torch.tensor(losses).isfinite().all()
    now = dict(module.named_parameters())
    assert all(not torch.equal(value, now[n]) for n, value in own.items())


def test_text_encoders_leave_once_the_prefixes_are_frozen(folder):
    module = make(folder, num_particles=1, adapter=LightAdapter(max_steps=2))
    train(module, 2)
    assert module.prior.family.encoders
    cameras = sample_cameras(2, key_generator("test", 0))
    expected = module.guidance.prompts.condition(cameras, 1)[0].text
    frozen = module.guidance.prompts.condition(cameras, 2)[0].text
    assert not module.prior.family.encoders
    assert torch.equal(frozen, expected)
    assert torch.equal(module.guidance.prompts.condition(cameras, 3)[0].text, expected)


def test_without_an_adapter_each_text_is_encoded_once(folder, monkeypatch):
    said = []
    plain = StableDiffusionPrior.encode_prompts
    monkeypatch.setattr(
        StableDiffusionPrior,
        "encode_prompts",
        lambda self, prompts, *rest: (said.extend(prompts), plain(self, prompts, *rest))[1],
    )
    module = make(folder, adapter=None)
    train(module, 3)
    views = [f"a dog, {view} view" for view in ("front", "side", "back")]
    assert said == ["a dog", "", *views]


def test_a_second_prior_hosts_zeta(sd_folders):
    """Equal networks under two names give the gradient of one shared network."""
    folder = str(sd_folders["epsilon"])
    shared = make(folder, num_particles=1)
    apart = make(folder, num_particles=1, guidance=VSD(prior=StableDiffusionPrior(folder)))
    apart.variational.load_state_dict(shared.variational.state_dict())
    apart.adapter.load_state_dict(shared.adapter.state_dict())
    assert not apart.variational_prior.family.encoders
    for step in (0, 1):
        one, two = (m._gradients([m._draw(0, step)], step)[0] for m in (shared, apart))
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)
    one, two = (m._denoising_losses([m._draw(0, 1)], 1) for m in (shared, apart))
    torch.testing.assert_close(one, two)


def test_a_v_predicting_prior_beside_an_epsilon_one(sd_folders):
    """Eq. 4 in the network's own terms is the error of v, as ProlificDreamer trains it."""
    other = StableDiffusionPrior(str(sd_folders["v_prediction"]))
    module = make(str(sd_folders["epsilon"]), num_particles=1, guidance=VSD(prior=other))
    drawn = module._draw(0, 1)
    rows = module.guidance.ask([drawn], 1, Processes()).rows
    alpha, sigma = other.signal_and_noise(rows.timesteps)
    clean = drawn.latents.detach()
    noise = (rows.latents - alpha * clean) / sigma
    v = (other.predict_noise(rows) - sigma * rows.latents) / alpha
    expected = (v - (alpha * noise - sigma * clean)).square().mean()
    loss = module._denoising_losses([module._draw(0, 1)], 1)["variational"]
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    assert torch.isfinite(torch.tensor(train(module, 2))).all()


def test_priors_that_see_different_noise_cannot_be_mixed(sd_folders, family_folders):
    flow = StableDiffusionPrior(str(family_folders["3"]))
    with pytest.raises(ValueError, match="different noise schedules") as error:
        make(str(sd_folders["epsilon"]), guidance=VSD(prior=flow))
    assert "\n" not in str(error.value)


def test_scores_are_clipped_by_a_ramp(folder):
    module = make(
        folder, num_particles=1, guidance=VSD(clip=Ramp(0.0, 0.2, 1, 2)), correction=NEVER
    )
    free = make(folder, num_particles=1, correction=NEVER)
    drawn = module._draw(0, 2)
    clipped, full = (m._gradients([drawn], 2)[0] for m in (module, free))
    assert torch.equal(clipped, full.clamp(-0.2, 0.2)) and full.abs().max() > 0.2
    assert module._gradients([module._draw(0, 1)], 1)[0].abs().max() == 0


def test_resolution_and_guidance_are_ramps(folder):
    ramps = dict(
        cameras=CameraSampler(render_size=Ramp(8, 16, 2, 2)),
        guidance=VSD(scale=Ramp(1.0, 7.5, 2, 2)),
    )
    module = make(folder, num_particles=1, correction=NEVER, **ramps)
    assert [module.cameras.size_at(step) for step in (0, 1, 2)] == [8, 8, 16]
    drawn = module._draw(0, 2)
    constant = make(folder, num_particles=1, correction=NEVER, guidance=VSD(scale=1.0))
    assert torch.equal(module._gradients([drawn], 0)[0], constant._gradients([drawn], 0)[0])
    assert not torch.equal(module._gradients([drawn], 2)[0], constant._gradients([drawn], 2)[0])


@pytest.mark.parametrize("prompting", [PerpNeg(), DebiasedPrompt()])
def test_promptings_work_under_vsd(folder, prompting):
    module = make(folder, num_particles=1, prompting=prompting)
    assert torch.tensor(train(module, 2)).isfinite().all()


def test_score_jacobian_chaining_is_sds_of_uniform_weight(folder):
    """SJC in its own variables: z = x + s n, the gradient -(D(z) - x) / s with s = sigma/alpha."""
    module = make(
        folder, num_particles=1, adapter=None, guidance=SDS(weighting="uniform"), correction=NEVER
    )
    drawn = module._draw(0, 1)
    prior, latents = module.prior, drawn.latents.detach()
    alpha, sigma = prior.signal_and_noise(drawn.timesteps)
    s = sigma / alpha
    z = latents + s * drawn.noise
    (conditioning,) = module.guidance.prompts.condition(drawn.cameras, 1)
    rows = NoisyRows(z / (1 + s.square()).sqrt(), drawn.timesteps, conditioning.text, (BASE,))
    (eps,) = prior.predict_guided(Guided(rows, 7.5, module.guidance.prompts.negative))
    denoised = z - s * eps
    torch.testing.assert_close(
        module._gradients([drawn], 1)[0], -(denoised - latents) / s, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("apart", [False, True], ids=["one network", "two networks"])
@pytest.mark.parametrize("step", [0, 1], ids=["corrected", "plain"])
def test_a_shared_x_t_scores_as_before_and_teaches_zeta_what_it_scored(folder, step, apart):
    other = StableDiffusionPrior(folder) if apart else None
    module = make(folder, guidance=VSD(prior=other, share_noise=True))
    drawn = [module._draw(index, step) for index in module.turns.active(step)]
    rows = module.guidance.ask(drawn, step, Processes()).rows
    scored = [module.prior.add_noise(d.latents, d.noise, d.timesteps) for d in drawn]
    torch.testing.assert_close(rows.latents, torch.cat(scored).detach())
    passes, plain = [], StableDiffusionPrior.predict_noise

    def counted(self, rows):
        passes.append((rows.adapters, torch.is_grad_enabled()))
        return plain(self, rows)

    StableDiffusionPrior.predict_noise = counted
    try:
        losses = module._denoising_losses(drawn, step)
        shared = module._gradients(drawn, step)
    finally:
        StableDiffusionPrior.predict_noise = plain
    assert not shared[0].requires_grad and losses["variational"].requires_grad
    zeta = [grad for adapters, grad in passes for name in adapters if name == "zeta"]
    assert zeta == [True] * 2 + [False] * (2 if step == 0 else 0)
    for mine, expected in zip(shared, module._gradients(drawn, step), strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-4)


def test_a_shared_x_t_trains(folder):
    assert torch.tensor(train(make(folder, guidance=VSD(share_noise=True)), 3)).isfinite().all()


def test_lightnings_mixed_precision_agrees(folder):
    module = make(folder, num_particles=1)
    module.log_dict = module.log = lambda *args, **kwargs: None
    plain = module.training_step(0, 1)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = module.training_step(0, 1)
    mixed.backward()
    torch.testing.assert_close(mixed.float(), plain, rtol=0.02, atol=0)
    assert all(p.grad.dtype == torch.float32 for p in module.variational.parameters())


def test_an_asset_is_drawn_once_a_step_for_all_who_ask(folder):
    """At full size a render of an asset is what the step waits for."""
    module = make(folder, num_particles=2)
    render, asked = module._assets.render_asset, []
    module._assets.render_asset = lambda index, *rest: asked.append(index) or render(index, *rest)
    for step in (0, 1):
        module._trainer.global_step = step
        drawn = [module._draw(index, step) for index in range(2)]
        pictures = [module._attraction.image(each) for each in drawn]  # App. B
        module._attraction.losses(drawn, step)  # Eq. 3
        assert asked == [0, 1] * (step + 1)
        for each, picture in zip(drawn, pictures, strict=True):
            background = each.background.expand_as(picture)[..., 0, 0]
            torch.testing.assert_close(picture[..., 0, 0], background)  # of this very step


def test_the_warm_up_teaches_the_background_nothing(folder):
    """It would paint there what the particle lacks of its asset."""
    module = make(folder, num_particles=1, pictures=Pictures(0.0))
    backdrop = nn.Parameter(torch.full((1, 3, 1, 1), 0.3))
    module.particles[0].background = lambda *_: backdrop.expand(-1, -1, 16, 16)
    drawn = module._draw(0, 0)
    module._attraction.losses([drawn], 0)["warmup"].backward()
    assert module.particles[0].picture.grad.abs().sum() > 0
    assert backdrop.grad is None


def test_the_host_of_zeta_needs_no_autoencoder(folder):
    module = make(folder, guidance=VSD(prior=StableDiffusionPrior(folder)), num_particles=1)
    assert module.variational_prior.family.vae is None
    assert torch.isfinite(sum(terms(module).values()))


OVERLAYS = Path(__file__).parents[2] / "configs" / "methods"


def built(value):
    """What a configuration describes, as the command line makes it."""
    if not isinstance(value, dict):
        return value
    inside = {name: built(each) for name, each in value.items()}
    if "class_path" in inside:
        found = getattr(guidance, value["class_path"], None) or getattr(
            adapters, value["class_path"]
        )
        return found(**inside.get("init_args", {}))
    if "high" in inside:
        return TimestepRange(**inside)
    return Ramp(**inside) if "start" in inside else inside


@pytest.mark.filterwarnings("ignore:the prompt")
@pytest.mark.parametrize("name", ["asd", "csd", "dsd", "ism", "reuse", "sdi", "sds_bridge"])
def test_each_way_runs_beside_the_rest_of_the_method(folder, name):
    """20 steps with omega and e_psi, warm-up, correction: all finite, and the particle moves."""
    overlay = yaml.safe_load((OVERLAYS / f"{name}.yaml").read_text("utf-8"))["model"]["guidance"]
    overlay["init_args"] |= {"begin_step": 10} if name == "sds_bridge" else {}
    module = make(
        folder, num_particles=1, guidance=built(overlay), adapter=LightAdapter(max_steps=10),
        warmup=Warmup(steps=5), adaptation=AdaptationSchedule(batch_size=2),
    )  # fmt: skip
    before = module.particles[0].picture.detach().clone()
    assert torch.tensor(train(module, 20)).isfinite().all()
    assert (module.particles[0].picture - before).abs().max() > 0.05
    assert set(module.losses) == {"guidance"}  # the 20th step scores nothing new, warms nothing up


@pytest.mark.filterwarnings("ignore:the prompt")
@pytest.mark.parametrize("way", [VSD, guidance.ASD])
def test_poses_are_kept_even_beside_the_rest_of_the_method(folder, way):
    """Its overlay, 20 steps with omega and e_psi, warm-up, correction."""
    overlay = yaml.safe_load((OVERLAYS / "uniform_poses.yaml").read_text("utf-8"))
    poses = judged(**built(overlay["model"]["poses"]) | {"num_poses": 2})
    module = make(
        folder, num_particles=2, guidance=way(), adapter=LightAdapter(max_steps=10), poses=poses,
        warmup=Warmup(steps=5), adaptation=AdaptationSchedule(batch_size=2),
    )  # fmt: skip
    assert torch.tensor(train(module, 20)).isfinite().all()
    expected = {"guidance", "poses"} | ({"variational"} if way is VSD else set())
    assert set(module.losses) == expected and float(module.losses["poses"]) > 0
    assert module.poses.marginals.counts.sum() == module.poses.shown.counts.sum() == 40


def test_a_checkpoint_keeps_what_was_counted(folder):
    checkpoint, module = {"state_dict": {}}, make(folder, poses=judged(), num_particles=1)
    train(module, 3)
    module.on_save_checkpoint(checkpoint)
    again = make(folder, poses=judged(), num_particles=1)
    again.on_fit_start()
    assert not torch.equal(again.poses.marginals.values, module.poses.marginals.values)
    again.poses.load_state(checkpoint["poses"])
    assert torch.equal(again.poses.marginals.values, module.poses.marginals.values)
    assert int(again.poses.shown.counts.sum()) == 3


class OnlyAnAdapter(adapters.Adapter):
    """What a plugin has to give, and nothing more."""

    name = "only"

    def attach(self, prior):
        self.layers = prior.add_lora(self.name, 2, 2.0, ("to_q",))

    def parameter_groups(self):
        return [{"name": "only", "params": list(self.parameters()), "lr": 1e-3}]


@pytest.mark.parametrize("role", ["omega", "zeta"])
def test_a_class_that_extends_the_adapter_alone_is_an_adapter(folder, role, tmp_path):
    """In omega's place Eq. 5 trains it and views are said in words; in zeta's place Eq. 4 does."""
    mine = OnlyAnAdapter()
    module = make(
        folder, num_particles=1, adapter=mine if role == "omega" else None,
        guidance=VSD(mine) if role == "zeta" else SDS(),
    )  # fmt: skip
    before = [each.detach().clone() for each in mine.parameters()]
    assert torch.tensor(train(module, 2)).isfinite().all()
    assert any(not torch.equal(a, b) for a, b in zip(before, mine.parameters(), strict=True))
    if role == "omega":
        assert module.guidance.prompts.spoken[0] == "a dog, front view"
        assert {"adapter", "guidance"} <= set(module.losses)
        mine.save(tmp_path / "adapter")
        assert (tmp_path / "adapter" / "adapter.safetensors").stat().st_size > 0


def test_the_command_line_takes_it_too(tmp_path, monkeypatch, capsys):
    (tmp_path / "only_mine.py").write_text(
        "from redream.adapters import Adapter\n"
        "class Only(Adapter):\n"
        "    name = 'only'\n"
        "    def __init__(self, width: int = 3):\n        super().__init__()\n"
        "    def attach(self, prior): pass\n"
        "    def parameter_groups(self): return []\n"
    )
    monkeypatch.setenv("REDREAM_PLUGINS", f"adapters={tmp_path / 'only_mine.py'}:Only")
    options = ["--model.adapter=Only", "--model.adapter.width=5", "--prompt=a dog"]
    with pytest.raises(SystemExit) as leaving:
        run.main(
            "fit", [f"--config={OVERLAYS.parent / 'default.yaml'}", *options, "--print_config"]
        )
    assert leaving.value.code == 0
    found = yaml.safe_load(capsys.readouterr().out)["model"]["adapter"]
    assert found == {"class_path": "only_mine.Only", "init_args": {"width": 5}}


def test_particles_start_on_retrieved_assets_where_asked(folder, tmp_path, monkeypatch):
    """Particle i on asset i mod N; none of them is held to the asset's silhouettes."""
    for name, color in (("a", [255, 0, 0, 255]), ("b", [0, 0, 255, 255])):
        box = trimesh.creation.box((1.0, 0.3 if name == "a" else 1.0, 1.0))
        box.visual.vertex_colors = color
        (tmp_path / f"{name}.ply").write_bytes(box.export(file_type="ply"))
    meshes = [load_mesh(tmp_path / f"{name}.ply") for name in "ab"]
    monkeypatch.setattr(Discs, "meshes", meshes, raising=False)
    made = dict(representation=partial(Splats, num_splats=60), num_particles=3)
    warmup = Warmup(start_on_assets=True, steps=0, shape_weight=Ramp(1.0, 1.0))
    module = make(folder, warmup=warmup, **made)
    colors = [0.5 + 0.2820948 * each.splats.base.mean((0, 1)) for each in module.particles]
    heights = [float(each.splats.means[:, 1].detach().abs().max()) for each in module.particles]
    for color, wanted in zip(colors, ([1, 0, 0], [0, 0, 1], [1, 0, 0]), strict=True):
        torch.testing.assert_close(color.detach(), torch.tensor(wanted).float(), atol=0.02, rtol=0)
    assert heights[0] < 0.3 < 0.45 < heights[1]
    assert not torch.equal(module.particles[0].splats.means, module.particles[2].splats.means)
    assert "shape" not in terms(module)
    without = make(folder, **made)
    assert float(without.particles[0].splats.logits.detach().sigmoid().max()) < 0.2
