"""What a full-size run holds of a GPU's memory, counted without one.

``python benchmarks/memory.py --page docs/memory.md`` counts every storage of the real
configurations of Stable Diffusion 1.5, 2.1, XL and 3 under PyTorch's FakeTensorMode, with ReDream's
own prior, adapters and passes; measures the bytes of a sample of the NeRF of configs/paper.yaml and
counts its samples in fog and on a solid; and says which parts of a run fit which card. Ten minutes
of one core. Each model is recorded when it is counted, with a digest of what was counted: a run
that was stopped goes on, and a model of which nothing changed is not counted again unless
``--again`` says so. ``--only "Stable Diffusion 2.1"`` counts one model.
``--recipe --page docs/splats.md`` counts configs/splats_gpu.yaml alone: passes, FLOPs and memory.
``--views --page docs/priors.md`` counts a step of each prior of several views or of pictures alone,
two minutes.
"""

import argparse
import hashlib
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import memory_recipe
import page
import torch
import views_models
import views_page
import views_step
import yaml
from memory_field import FIELDS, bytes_a_sample, cameras, count, field
from memory_models import MODELS
from memory_page import put
from memory_step import measure

from redream.files import whole_file

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benchmarks" / "memory.json"

ARRANGEMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "Stable Diffusion 2.1, two networks": ("Stable Diffusion 2.1", {"two": True}),
    **{name: (name, {}) for name in MODELS},
    **{
        f"{name}, gradient checkpointing": (name, {"gradient_checkpointing": True})
        for name in MODELS
    },
    "Stable Diffusion 2.1, two networks, gradient checkpointing": (
        "Stable Diffusion 2.1", {"two": True, "gradient_checkpointing": True},
    ),
}  # fmt: skip
"""What is counted, by the names of the page. Without "two networks" zeta shares the prior's."""

COUNTED = (
    "benchmarks/memory_counting.py", "benchmarks/memory_models.py", "benchmarks/memory_step.py",
    "redream/adapters", "redream/method/adaptation.py", "redream/method/early_backward.py",
    "redream/priors",
)  # fmt: skip
"""The code that is counted."""


def digest() -> str:
    """Of what a model's count depends on: our code and the libraries' versions."""
    parts = [f"{name} {version(name)}" for name in ("torch", "diffusers", "transformers", "peft")]
    for path in map(ROOT.joinpath, COUNTED):
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        parts += [each.read_text("utf-8") for each in files]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


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
    parser.add_argument("--views", action="store_true", help="count priors of views alone")
    parser.add_argument("--page", type=Path, help="page that is written")
    parser.add_argument("--record", type=Path, default=RECORD, help="file of the numbers")
    parser.add_argument("--again", action="store_true", help="count what is counted already")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.recipe:
        found = memory_recipe.count()
        if options.page is not None:
            page.put(options.page, "recipe", memory_recipe.table(found))
        print(json.dumps(found))
        return
    if options.views:
        views = {name: views_step.count_all(name) for name in views_models.ARRANGEMENTS}
        if options.page is not None:
            page.put(options.page, "views: memory", views_page.memory_table(views))
        print(json.dumps(views))
        return
    record: dict[str, Any] = {"models": {}}
    if options.record.is_file():
        record = json.loads(options.record.read_text("utf-8"))
    now = digest()
    for name in options.only or ARRANGEMENTS:
        if record["models"].get(name, {}).get("of") == now and not options.again:
            continue
        model, how = ARRANGEMENTS[name]
        record["models"][name] = {**measure(model, **how), "of": now}
        print(name, record["models"][name], file=sys.stderr, flush=True)
        write(record, options.record)
    record["field"] = count_field()
    write(record, options.record)
    if options.page is not None:
        put(record, options.page)
    print(json.dumps(record))


def write(record: dict[str, Any], path: Path) -> None:
    """Writes the record whole, models in the order of the page."""
    record |= {
        "command": "python benchmarks/memory.py --page docs/memory.md",
        "date": time.strftime("%Y-%m-%d"),
        "pytorch": torch.__version__,
        "models": {
            name: record["models"][name] for name in ARRANGEMENTS if name in record["models"]
        },
    }
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
