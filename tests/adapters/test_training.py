"""Which loss moves which parameters, on a real UNet."""

import pytest
import torch

from redream.adapters import LightAdapter, VariationalAdapter
from redream.cameras import turntable
from redream.losses import adapter_loss, guidance_loss, variational_loss, vsd_gradient
from redream.priors import Guided
from redream.schedules import score_weight
from redream.types import NoisyRows


class Stage:
    """A prior with both adapters and one picture theta, as the method uses them."""

    def __init__(self, prior):
        self.prior = prior
        self.omega = LightAdapter(rank=2, learning_rate=1e-2, prefix_learning_rate=1e-2)
        self.zeta = VariationalAdapter(rank=2, learning_rate=1e-2)
        for adapter in (self.omega, self.zeta):
            adapter.attach(prior)
        for pair in (*self.omega.lora.values(), *self.zeta.lora.values()):
            torch.nn.init.normal_(pair["lora_B"].weight, std=0.1)
        torch.nn.init.normal_(self.zeta.camera[2].weight, std=0.1)
        self.theta = torch.nn.Parameter(torch.rand(2, 3, 16, 16))
        self.cameras = turntable(2)
        self.latents = prior.encode_images(self.theta)
        self.noise = torch.randn_like(self.latents)
        self.timesteps = torch.tensor([300, 700])
        self.groups = {"theta": [self.theta]}
        for group in self.omega.parameter_groups() + self.zeta.parameter_groups():
            self.groups[group["name"]] = group["params"]

    def rows(self, adapter, latents, text, cameras=None):
        noisy = self.prior.add_noise(latents, self.noise, self.timesteps)
        return NoisyRows(noisy, self.timesteps, text, (adapter,) * len(latents), cameras)

    def prefixed(self, prompt):
        return self.prior.encode_prompts([prompt] * 2, self.omega.prefixes(["front", "back"]))

    def guidance(self):
        with torch.no_grad():
            prompt = self.prior.encode_prompts(["a dog"] * 2)
            eps, eps_zeta = self.prior.predict_guided(
                Guided(
                    self.rows("omega", self.latents, self.prefixed("a dog")),
                    3.0,
                    self.prior.encode_prompts([""]),
                ),
                Guided(
                    self.rows("zeta", self.latents, prompt, self.zeta.embed_cameras(self.cameras))
                ),
            )
        weight = score_weight("sigma_squared", *self.prior.signal_and_noise(self.timesteps))
        return guidance_loss(self.latents, vsd_gradient(eps, eps_zeta, weight))

    def variational(self):
        prompt = self.prior.encode_prompts(["a dog"] * 2)
        cameras = self.zeta.embed_cameras(self.cameras)
        rows = self.rows("zeta", self.latents.detach(), prompt, cameras)
        return variational_loss(self.prior.predict_noise(rows), self.noise)

    def adaptation(self):
        rows = self.rows("omega", self.latents.detach(), self.prefixed("a corgi"))
        return adapter_loss(self.prior.predict_noise(rows), self.noise)


@pytest.fixture
def stage(prior):
    return Stage(prior)


def reached(groups, loss):
    """For each group, whether all, some or none of its parameters have a gradient."""
    names = {}
    for name, parameters in groups.items():
        grads = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
        sizes = [0.0 if grad is None else grad.abs().sum().item() for grad in grads]
        names[name] = "all" if all(sizes) else "some" if any(sizes) else "none"
    return names


def test_each_loss_reaches_only_its_own_parameters(stage):
    table = {
        "Eq. 2": reached(stage.groups, stage.guidance()),
        "Eq. 4": reached(stage.groups, stage.variational()),
        "Eq. 5": reached(stage.groups, stage.adaptation()),
    }
    for name, row in table.items():
        print(name, row)
    none = dict.fromkeys(("theta", "omega", "e_psi", "zeta"), "none")
    assert table["Eq. 2"] == none | {"theta": "all"}
    assert table["Eq. 4"] == none | {"zeta": "all"}
    assert table["Eq. 5"] == none | {"omega": "all", "e_psi": "all"}


def test_only_the_views_in_the_batch_move_their_prefix(stage):
    (gradient,) = torch.autograd.grad(stage.adaptation(), stage.omega.view_prefixes)
    front, side, back = gradient.abs().sum((1, 2))
    assert front > 0 and back > 0 and side == 0


def test_mixed_rows_keep_gradients_apart(stage):
    """One forward pass for Eqs. 4 and 5 gives the gradients of two."""
    from redream.priors import join_rows

    prompt = stage.prior.encode_prompts(["a dog"] * 2)
    detached = stage.latents.detach()
    cameras = stage.zeta.embed_cameras(stage.cameras)
    zeta_rows = stage.rows("zeta", detached, prompt, cameras)
    omega_rows = stage.rows("omega", detached, stage.prefixed("a corgi"))
    eps = stage.prior.predict_noise(join_rows([zeta_rows, omega_rows]))
    joined = variational_loss(eps[:2], stage.noise) + adapter_loss(eps[2:], stage.noise)
    parameters = [p for name in ("zeta", "omega", "e_psi") for p in stage.groups[name]]
    together = torch.autograd.grad(joined, parameters)
    apart = torch.autograd.grad(stage.variational() + stage.adaptation(), parameters)
    for one, other in zip(together, apart, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_training_moves_the_adapters_and_nothing_else(stage):
    adapters = [p for name in ("zeta", "omega", "e_psi") for p in stage.groups[name]]
    trained = {id(p) for p in adapters}
    frozen = {n: p.clone() for n, p in stage.prior.named_parameters() if id(p) not in trained}
    assert frozen and not any(
        p.requires_grad for n, p in stage.prior.named_parameters() if n in frozen
    )
    before = [p.detach().clone() for p in adapters]
    optimizer = torch.optim.AdamW(
        stage.omega.parameter_groups() + stage.zeta.parameter_groups(), weight_decay=0.0
    )
    first = (stage.variational() + stage.adaptation()).item()
    for _ in range(30):
        optimizer.zero_grad()
        loss = stage.variational() + stage.adaptation()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.9 * first
    after = dict(stage.prior.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in frozen.items())
    assert all(not torch.equal(a, b) for a, b in zip(before, adapters, strict=True))


def test_parameter_groups_are_disjoint_and_named(stage):
    groups = stage.omega.parameter_groups() + stage.zeta.parameter_groups()
    assert [group["name"] for group in groups] == ["omega", "e_psi", "zeta"]
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in (*stage.omega.parameters(), *stage.zeta.parameters())}


def test_adapters_state_restores_their_predictions(stage, loaded_prior):
    import copy

    state = {"omega": stage.omega.state_dict(), "zeta": stage.zeta.state_dict()}
    torch.manual_seed(99)
    other = Stage(copy.deepcopy(loaded_prior))
    other.omega.load_state_dict(state["omega"])
    other.zeta.load_state_dict(state["zeta"])
    other.noise, other.latents = stage.noise, stage.latents
    assert torch.equal(other.variational(), stage.variational())
    assert torch.equal(other.adaptation(), stage.adaptation())
