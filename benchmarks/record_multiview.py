r"""Records what the authors' own networks of MVDream and ImageDream say, for the parity tests.

It runs ``openaimodel.py`` of a checkout as it is, on miniatures whose weights follow from their
names, and writes names, shapes and outputs to a safetensors file. Of ReDream only the weights'
rule is used::

    pip install --target /tmp/peer einops
    PYTHONPATH=/tmp/peer python benchmarks/record_multiview.py mvdream /path/to/MVDream \
        tests/priors/recorded/mvdream.safetensors
    PYTHONPATH=/tmp/peer python benchmarks/record_multiview.py imagedream \
        /path/to/ImageDream/extern/ImageDream tests/priors/recorded/imagedream.safetensors
"""

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import torch
from peer_modules import bare_packages, load_module
from safetensors.torch import save_file

PARITY = Path(__file__).parents[1] / "tests" / "priors" / "multiview_parity.py"


def main(package: str, checkout: str, out: str) -> None:
    """Records each layout of a package."""
    parity = load_module("multiview_parity", PARITY)
    stand_in(package, Path(checkout))
    model = importlib.import_module(f"{package}.ldm.modules.diffusionmodules.openaimodel")
    cameras = importlib.import_module(f"{package}.camera_utils")
    records: dict[str, torch.Tensor] = {"cameras": camera_table(cameras)}
    shapes: dict[str, Any] = {}
    for name, options in parity.LAYOUTS[package].items():
        unet = model.MultiViewUNetModel(**options).eval()
        parity.fill(unet.state_dict())
        shapes[name] = {key: list(each.shape) for key, each in unet.state_dict().items()}
        given = parity.inputs(package, name)
        with torch.no_grad():
            records[name] = unet(given.pop("x"), **given).contiguous()
            given = parity.inputs(package, name)
            given["camera"] = torch.zeros_like(given["camera"])
            records[f"{name}.without_cameras"] = unet(given.pop("x"), **given).contiguous()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    save_file(records, out, {"source": package, "shapes": json.dumps(shapes)})
    print({key: float(value.std()) for key, value in records.items()}, file=sys.stderr)


def camera_table(module: Any) -> torch.Tensor:  # noqa: ANN401
    """Four cameras at 15 degrees, and the same farther away, as the network is told them."""
    near = module.get_camera(4, elevation=15, azimuth_start=20)
    far = near.clone().view(-1, 4, 4)
    far[:, :3, 3] *= 3.0
    return torch.cat([near, module.normalize_camera(far)])


def stand_in(package: str, checkout: Path) -> None:
    """The package without what its ``__init__`` imports, and attention without xformers."""
    inside = ("", ".ldm", ".ldm.modules", ".ldm.modules.diffusionmodules")
    bare_packages(checkout, (package + name for name in inside))
    if package == "imagedream":  # has no other attention
        xformers, ops = types.ModuleType("xformers"), types.ModuleType("xformers.ops")
        attention = torch.nn.functional.scaled_dot_product_attention
        ops.memory_efficient_attention = (  # type: ignore[attr-defined]
            lambda query, key, value, **_: attention(query, key, value)
        )
        xformers.ops = ops  # type: ignore[attr-defined]
        sys.modules |= {"xformers": xformers, "xformers.ops": ops}


if __name__ == "__main__":
    main(*sys.argv[1:])
