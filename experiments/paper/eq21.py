r"""Eq. 21 as a picture: the velocity that the retrieved assets alone add to the 2D prior's.

``python -m experiments.paper.eq21 --out DIR`` takes the adapters of the test prompts with a front
(what fig04.py has trained there is kept) and writes ``DIR/eq21.json``, its page and its pictures;
``--quick`` takes 2 prompts. It resumes, and may be started several times at once.

In the difference of both velocities zeta cancels: what is left is, before the particle's Jacobian,
w(t) times the adapted prior's noise minus the raw one's. It is measured on an object of the
embedded world, and on the same object with a second face glued on behind, where the truth is known:
at the back a good velocity leads from the false face to the true back.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from experiments.paper.adapted import CONFIG, Adapted, adapted
from experiments.paper.command_line import figure_parser, fronted_prompts
from experiments.paper.locks import digest, keep_each, slug
from experiments.paper.own_objects import scene_of
from experiments.paper.pictures import resized, write_small_png
from experiments.paper.record import Part, Picture, Record, Table, Text, write_record
from experiments.paper.table1 import show_estimate
from experiments.paper.world import WORLDS
from redream.cameras import turntable
from redream.metrics.statistics import estimate
from redream.mini.scene import Camera, Scene, render_scene
from redream.mini.two_faced import with_second_face
from redream.priors import BASE, Guided
from redream.schedules import score_weight
from redream.tools.output import labelled_sheet
from redream.types import NoisyRows, key_generator

AZIMUTHS_DEG = (0.0, 90.0, 180.0, 270.0)
NUM_NOISES = 8
TIMES = (0.4, 0.6, 0.8)  # shares of the diffusion, where views are decided
_SEEN_AT = 0.6
_SHOWN, _SIZE = 2, 96
BACK = AZIMUTHS_DEG.index(180.0)


def pictures_of(scene: Scene) -> Float[Tensor, "A 3 64 64"]:
    """A scene from all sides, over white."""
    rendered = render_scene(scene, [Camera(azimuth) for azimuth in AZIMUTHS_DEG], 64)
    return torch.from_numpy(rendered).permute(0, 3, 1, 2) / 255.0


def texts(found: Adapted) -> tuple[Tensor, Tensor]:
    """What the raw and the adapted prior are told of each azimuth."""
    views = found.model.prompting.view_names(turntable(len(AZIMUTHS_DEG)))
    prompting = found.model.prompting
    raw = found.prior.encode_prompts([prompting.spoken(found.prompt, view) for view in views])
    words = [prompting.words(found.prompt, view) for view in views]
    return raw, found.prior.encode_prompts(words, found.adapter.prefixes(views))


@torch.no_grad()
def velocities(
    found: Adapted, latents: Float[Tensor, "A C h w"]
) -> tuple[Float[Tensor, "A C h w"], Float[Tensor, "A C h w"], Float[Tensor, "2 A C h w"]]:
    """Both velocities' parts that are not zeta's, and what each prior takes the picture for.

    Returns:
        The velocity due to the assets (Eq. 21) and the raw prior's score difference with the noise
        in zeta's place, means over noises and times; and clean latents as the raw and the adapted
        prior see them, means over noises at one time.
    """
    prior, negative = found.prior, found.prior.encode_prompts([""])
    raw, own = texts(found)
    of_assets, of_prior = torch.zeros_like(latents), torch.zeros_like(latents)
    clean = latents.new_zeros(2, *latents.shape)
    for time in TIMES:
        timesteps = torch.full((len(latents),), round(time * prior.num_train_timesteps))
        alpha, sigma = prior.signal_and_noise(timesteps)
        weight = score_weight(found.model.guidance.weighting, alpha, sigma)
        for index in range(NUM_NOISES):
            noise = torch.randn(latents.shape, generator=key_generator("eq21", index))
            noisy = prior.add_noise(latents, noise, timesteps)
            eps = prior.predict_guided(
                *(
                    Guided(
                        NoisyRows(noisy, timesteps, text, (adapter,) * len(noisy)),
                        found.guidance_scale,
                        negative,
                    )
                    for text, adapter in ((raw, BASE), (own, found.adapter.name))
                )
            )
            share = weight / (NUM_NOISES * len(TIMES))
            of_assets -= share * (eps[1] - eps[0])  # what the particle descends is the opposite
            of_prior -= share * (eps[0] - noise)
            if time == _SEEN_AT:
                clean += torch.stack([(noisy - sigma * each) / alpha for each in eps]) / NUM_NOISES
    return of_assets, of_prior, clean


def measure(out: Path, prompt: str) -> dict[str, Any]:
    """Measures one prompt's velocity and draws it."""
    found, scene = adapted(prompt, out / "adapters"), scene_of(prompt, 0)
    facts: dict[str, Any] = {}
    rows = []
    latents = {}
    for name, each in (("one face", scene), ("two faces", with_second_face(scene))):
        pictures = pictures_of(each)
        with torch.no_grad():
            latents[name] = found.prior.encode_images(pictures)
        of_assets, of_prior, clean = velocities(found, latents[name])
        length, other = (v.flatten(1).norm(dim=1) for v in (of_assets, of_prior))
        facts[name] = {"assets": length.tolist(), "prior": other.tolist()}
        if name == "two faces":
            toward = (latents["one face"] - latents[name])[BACK].flatten()
            found_there = of_assets[BACK].flatten()
            facts["cosine"] = float(functional.cosine_similarity(found_there, toward, dim=0))
        rows += draw(prompt, name, pictures, of_assets, clean, found)
    write_small_png(labelled_sheet(rows), out / f"eq21_{slug(prompt)}.png")
    return facts


@torch.no_grad()
def draw(
    prompt: str,
    name: str,
    pictures: Float[Tensor, "A 3 H W"],
    velocity: Float[Tensor, "A C h w"],
    clean: Float[Tensor, "2 A C h w"],
    found: Adapted,
) -> list[tuple[str, Float[Tensor, "A 3 size size"]]]:
    """The views, what both priors take them for, and how long the velocity is where."""
    length = velocity.norm(dim=1, keepdim=True)
    heat = 1.0 - (length / length.max()).expand(-1, 3, -1, -1)  # dark is long
    lines = [
        (f"{prompt}, {name}, from four sides", pictures),
        ("what the raw prior takes it for", found.prior.decode_latents(clean[0])),
        ("what the adapted prior takes it for", found.prior.decode_latents(clean[1])),
        ("Eq. 21: length of the assets' velocity", functional.interpolate(heat, (_SIZE, _SIZE))),
    ]
    return [(text, resized(each, _SIZE)) for text, each in lines]


def record(kept: Mapping[str, Any], prompts: Sequence[str], quick: bool) -> Record:
    """How long the velocity is on each side, and whether it leads from a false face to a back."""
    rows = []
    for name in ("one face", "two faces"):
        ratios = [
            [a / p for a, p in zip(each[name]["assets"], each[name]["prior"], strict=True)]
            for each in kept.values()
        ]
        sides = [show_estimate(estimate(list(side))) for side in zip(*ratios, strict=True)]
        rows.append([name, *sides])
    cosines = [each["cosine"] for each in kept.values()]
    right = sum(cosine > 0.0 for cosine in cosines)
    about = (
        f"{len(kept)} prompt(s), {NUM_NOISES} noises at each of {len(TIMES)} times. Length of the "
        "assets' velocity as a share of the raw prior's (with the noise in zeta's place), by "
        "azimuth; 95% intervals over prompts. At the back of an object with a second "
        "face, its cosine with the way from the false face to the true back is "
        f"{mean(cosines):.2f} in the mean, and positive for {right} of {len(cosines)} prompt(s); a "
        "random direction's is 0."
    )
    shown = [
        Picture(f"eq21_{slug(prompt)}.png", f"Eq. 21's velocity: {prompt}; dark is long.")
        for prompt in list(kept)[:_SHOWN]
    ]
    head = ["object", *(f"{azimuth:g}°" for azimuth in AZIMUTHS_DEG)]
    parts: list[Part] = [Text(about), Table(head, rows), *shown]
    title = "Eq. 21: the velocity of the retrieved assets"
    return Record(title, parts, dict(kept), quick, len(kept), len(prompts))


def main() -> None:
    """Measures and writes the record."""
    arguments = figure_parser(__doc__, "2 prompts").parse_args()
    out = arguments.out.resolve()
    prompts = fronted_prompts(WORLDS["embedded"], 2 if arguments.quick else None)
    recipe = digest(CONFIG.read_bytes(), TIMES, NUM_NOISES)
    kept = keep_each(out / "pieces" / "eq21", prompts, recipe, partial(measure, out))
    print(write_record(record(kept, prompts, arguments.quick), out / "eq21.json"))


if __name__ == "__main__":
    main()
