"""What a full-size run holds of a GPU's memory, counted without one.

``python benchmarks/memory.py --page docs/memory.md`` counts every storage of the real
configurations of Stable Diffusion 1.5, 2.1, XL and 3 under PyTorch's FakeTensorMode, with ReDream's
own prior, adapters and passes; measures the bytes of a sample of the NeRF of configs/paper.yaml and
counts its samples in fog and on a solid; and says which parts of a run fit which card. Five minutes
of one core. ``--only "Stable Diffusion 2.1"`` counts one model. ``--recipe --page docs/splats.md``
counts configs/splats_gpu.yaml alone: passes, FLOPs and memory.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import memory_recipe
import page
import torch
import yaml
from memory_field import FIELDS, bytes_a_sample, cameras, count, field
from memory_models import MODELS
from memory_page import put
from memory_step import measure

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benchmarks" / "memory.json"

ARRANGEMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "Stable Diffusion 2.1, two networks": ("Stable Diffusion 2.1", {"two": True}),
    **{name: (name, {}) for name in MODELS},
    "Stable Diffusion XL, gradient checkpointing": (
        "Stable Diffusion XL", {"gradient_checkpointing": True},
    ),
    "Stable Diffusion 2.1, two networks, gradient checkpointing": (
        "Stable Diffusion 2.1", {"two": True, "gradient_checkpointing": True},
    ),
}  # fmt: skip
"""What is counted, by the names of the page. Without "two networks" zeta shares the prior's."""


def paper() -> tuple[dict[str, Any], dict[str, Any]]:
    """The NeRF's arguments and the cameras' ranges of configs/paper.yaml."""
    config = yaml.safe_load((ROOT / "configs" / "paper.yaml").read_text("utf-8"))["model"]
    arguments = dict(config["representation"]["init_args"])
    arguments.pop("penalties", None)
    ranges = {
        key: tuple(config["cameras"][key]) for key in ("elevation_deg", "distance", "fovy_deg")
    }
    return arguments, ranges


def count_field() -> dict[str, Any]:
    """Bytes a sample, and samples a pixel of each kind of field."""
    torch.manual_seed(0)
    arguments, ranges = paper()
    found: dict[str, Any] = {}
    for kind in FIELDS:
        nerf = field(arguments, kind)
        found[kind] = count(nerf, cameras(8, ranges))
        if kind == "fog":
            found["bytes"] = bytes_a_sample(nerf, cameras(1, ranges))
            found["parameters"] = 4 * sum(each.numel() for each in nerf.parameters())
            found["at_once"] = nerf.samples_at_once
    return found


def main(arguments: list[str]) -> None:
    """Counts, writes the record and the page, prints the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(ARRANGEMENTS), action="append")
    parser.add_argument("--recipe", action="store_true", help="count the recipe of minutes alone")
    parser.add_argument("--page", type=Path, help="page that is written")
    parser.add_argument("--record", type=Path, default=RECORD, help="file of the numbers")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.recipe:
        found = memory_recipe.count()
        if options.page is not None:
            page.put(options.page, "recipe", memory_recipe.table(found))
        print(json.dumps(found))
        return
    old = json.loads(options.record.read_text("utf-8")) if options.record.is_file() else {}
    models = dict(old.get("models", {}))
    for name in options.only or ARRANGEMENTS:
        model, how = ARRANGEMENTS[name]
        models[name] = measure(model, **how)
        print(name, models[name], file=sys.stderr, flush=True)
    record = {
        "command": "python benchmarks/memory.py --page docs/memory.md",
        "date": time.strftime("%Y-%m-%d"),
        "pytorch": torch.__version__,
        "models": {name: models[name] for name in ARRANGEMENTS if name in models},
        "field": count_field(),
    }
    options.record.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    if options.page is not None:
        put(record, options.page)
    print(json.dumps(record))


if __name__ == "__main__":
    main(sys.argv[1:])
