"""Our VSD gradient against those that threestudio's and ProlificDreamer's own code gave.

``benchmarks/record_threestudio.py`` and ``record_prolificdreamer.py`` recorded them: the same
weights, texts, cameras, times and noise; zeta on the prior's network, and on a second one that
predicts v.
"""

from pathlib import Path
from types import SimpleNamespace

import parity
import pytest
import torch
from safetensors.torch import load_file

from redream.adapters import VariationalAdapter
from redream.method.guidance import VSD, Scored
from redream.priors import StableDiffusionPrior
from redream.priors.miniature import save_miniature
from redream.priors.prompting import Conditioning
from redream.types import Cameras

RECORDED = Path(__file__).parent / "recorded"


def prior_of(folder, prediction_type):
    save_miniature(folder / prediction_type, prediction_type, **parity.UNET)
    prior = StableDiffusionPrior(str(folder / prediction_type))
    parity.fill(prior.family.denoiser)
    return prior


def zeta_on(host):
    zeta = VariationalAdapter(rank=parity.LORA_RANK, lora_alpha=parity.LORA_RANK)
    zeta.attach(host)
    parity.fill_lora(
        (
            path.replace("/", ".").removesuffix(".0"),
            SimpleNamespace(down=pair["lora_A"], up=pair["lora_B"]),
        )
        for path, pair in zeta.lora.items()
    )
    parity.fill_camera(zeta.camera[0], zeta.camera[2])
    return zeta


@pytest.mark.parametrize("arrangement", ["shared", "apart"])
@pytest.mark.parametrize("peer", ["threestudio", "prolificdreamer"])
def test_the_vsd_gradient_is_the_peers(peer, arrangement, tmp_path):
    recorded, given = load_file(RECORDED / f"{peer}_vsd.safetensors"), parity.inputs()
    prior = prior_of(tmp_path, "epsilon")
    other = None if arrangement == "shared" else prior_of(tmp_path, "v_prediction")
    zeta = zeta_on(other or prior)
    wanted, negative = given["text_vd"].chunk(2)
    plain = given["text"][:2]
    if peer == "prolificdreamer":  # tells zeta one text for all views
        plain = plain[:1].expand(2, -1, -1)
    vsd = VSD(zeta, other, scale=7.5)
    vsd.begin(
        prior, None, SimpleNamespace(plain=plain[:1], negative=negative, prompt="a dog", image=None)
    )
    vsd.text = plain
    some = torch.zeros(2)

    @torch.no_grad()
    def gradient_at(c2w):
        cameras = Cameras(c2w, some, some, some, some)
        noise, times = (recorded[f"{arrangement}.{each}"] for each in ("noise", "timesteps"))
        scored = Scored(given["latents"], noise, times, cameras, Conditioning(wanted), (), some, 0)
        return vsd.gradient(scored)

    gradient = gradient_at(given["c2w"])
    elsewhere = gradient_at(-given["c2w"])
    expected = recorded[f"{arrangement}.gradient"]

    def error(gradient):
        return float((gradient - expected).abs().max() / expected.abs().max())

    print(arrangement, error(gradient), error(elsewhere))
    assert error(gradient) < 1e-3 < error(elsewhere)
