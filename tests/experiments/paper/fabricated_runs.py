"""What finished runs leave, without making them."""

import json

import torch

from experiments.paper.runs import DONE
from redream.export.turntable import contact_sheet, write_film, write_png


def finish(run, samples=2760, particles=None, **measures):
    """Leaves what a finished run leaves: of one particle, or of several as measures of each."""
    run.folder.mkdir(parents=True, exist_ok=True)
    metrics = {"prompt": run.prompt, "particles": particles or [measures]}
    budget = {"passes": samples, "unet_samples": 9, "unet_calls": 9, "steps": 690, "seconds": 100.0}
    done = {"recipe": run.recipe, "commit": "abc", "seconds": 120.0}
    for name, facts in (("metrics.json", metrics), ("budget.json", budget), (DONE, done)):
        (run.folder / name).write_text(json.dumps(facts))


def draw(run, colours, size=32):
    """Leaves each particle's turntable, of one colour (RGB), and its grey nearest asset."""
    for index, colour in enumerate(colours):
        frames = torch.tensor(colour).view(1, 3, 1, 1).expand(24, 3, size, size)
        write_film(frames, run.folder / f"turntable_{index}.mp4", 16)
    write_png(torch.full((3, size, size), 0.5), run.folder / "retrieval" / "asset_0.png")


def grow(run, shades, samples_per_step=8, every=30, size=32):
    """Leaves previews of four sides every 30 steps and at the end, 7 steps later, and the budget.

    Each is of one shade of grey.
    """
    points = []
    for index, shade in enumerate(shades):
        step = (index + 1) * every if index + 1 < len(shades) else index * every + 7
        views = torch.full((4, 3, size, size), shade)
        write_png(contact_sheet([views]), run.folder / "previews" / f"step_{step:06d}.png")
        points.append({"steps": step, "passes": step * samples_per_step, "seconds": step * 0.1})
    path = run.folder / "budget.json"
    path.write_text(
        json.dumps({**points[-1], "unet_samples": 9, "unet_calls": 9, "curve": points[:-1]})
    )
