r"""Records what Zero123's authors' own code says, for the parity test.

It runs their ``openaimodel.py``, ``modules.py`` and ``simple.py`` of a checkout as they are, on a
miniature whose weights follow from their names, and writes shapes and outputs to a safetensors
file. Of ReDream only the weights' rule is used::

    pip install --no-deps --target /tmp/peer einops kornia kornia_rs
    PYTHONPATH=/tmp/peer python benchmarks/record_zero123.py /path/to/zero123/zero123 \
        tests/priors/recorded/zero123.safetensors
"""

import ast
import importlib
import json
import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_modules import bare_packages
from safetensors.torch import save_file

FOLDER = Path(__file__).parents[1] / "tests" / "priors"


def main(checkout: str, out: str) -> None:
    """Records the network, the pose and what CLIP is shown."""
    sys.path.insert(0, str(FOLDER))
    parity: Any = importlib.import_module("zero123_parity")
    stand_in(Path(checkout))
    model = importlib.import_module("ldm.modules.diffusionmodules.openaimodel")
    unet = model.UNetModel(**parity.LAYOUT).eval()
    projection = torch.nn.Linear(parity.EMBEDDED + 4, parity.LAYOUT["context_dim"])
    for network in (unet, projection):
        parity.fill(network.state_dict())
    given = parity.inputs()
    pose = poses(Path(checkout), given["positions"])
    with torch.no_grad():
        condition = projection(torch.cat([given["picture"].expand(len(pose), -1), pose], dim=1))
        latents = given["latents"].expand(len(pose), -1, -1, -1)

        def say(condition: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
            stacked = torch.cat([given["x"], latents], dim=1)  # DiffusionWrapper's "hybrid"
            answer: torch.Tensor = unet(stacked, given["timesteps"], context=condition[:, None])
            return answer.contiguous()

        records = {
            "pose": pose,
            "eps": say(condition, latents),
            "unconditional": say(torch.zeros_like(condition), torch.zeros_like(latents)),
            "pixels": pixels(Path(checkout), given["pixels"])[:, :, ::16, ::16].contiguous(),
        }
    shapes = {
        "unet": {key: list(each.shape) for key, each in unet.state_dict().items()},
        "projection": {key: list(each.shape) for key, each in projection.state_dict().items()},
    }
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    save_file(records, out, {"source": "zero123", "shapes": json.dumps(shapes)})
    print({key: float(value.std()) for key, value in records.items()}, file=sys.stderr)


def poses(checkout: Path, positions: torch.Tensor) -> torch.Tensor:
    """``get_T`` of cameras at these places to the first of them."""
    names = ("cartesian_to_spherical", "get_T")
    methods = of_class(checkout / "ldm/data/simple.py", "ObjaverseData", names)
    views = [np.concatenate([np.eye(3), -each[:, None]], 1) for each in positions.double().numpy()]
    return torch.stack([methods.get_T(each, views[0]) for each in views])


def pixels(checkout: Path, picture: torch.Tensor) -> torch.Tensor:
    """What CLIP is shown of a picture in [0, 1]."""
    path, names = checkout / "ldm/modules/encoders/modules.py", ("preprocess",)
    methods = of_class(path, "FrozenCLIPImageEmbedder", names)
    methods.antialias = False
    methods.mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])
    methods.std = torch.tensor([0.26862954, 0.26130258, 0.27577711])
    shown: torch.Tensor = methods.preprocess(picture * 2.0 - 1.0)
    return shown


def of_class(path: Path, name: str, methods: tuple[str, ...]) -> Any:  # noqa: ANN401
    """An object with some methods of a class, whose module imports more than is needed."""
    tree = ast.parse(path.read_text("utf-8"))
    (found,) = [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name]
    chosen = [
        each for each in found.body if isinstance(each, ast.FunctionDef) and each.name in methods
    ]
    names: dict[str, Any] = {"np": np, "math": math, "torch": torch}
    if "preprocess" in methods:
        names["kornia"] = importlib.import_module("kornia")
    exec(compile(ast.Module(list(chosen), []), str(path), "exec"), names)  # the checkout's own code
    return type(name, (), {each: names[each] for each in methods})()


def stand_in(checkout: Path) -> None:
    """The package without what its ``util`` imports for demos."""
    bare_packages(checkout, ("ldm", "ldm.modules", "ldm.modules.diffusionmodules"))
    util: Any = types.ModuleType("ldm.util")
    util.exists = lambda each: each is not None
    util.instantiate_from_config = None
    omegaconf: Any = types.ModuleType("omegaconf.listconfig")
    omegaconf.ListConfig = list  # which they only ask types for
    sys.modules |= {"ldm.util": util, "omegaconf.listconfig": omegaconf}


if __name__ == "__main__":
    main(*sys.argv[1:])
