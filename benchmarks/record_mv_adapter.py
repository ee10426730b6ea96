r"""Records what MV-Adapter's authors' own code says, for the parity test.

It runs their attention, both text-to-multiview pipelines' adapters, cameras, what a network is told
of them, and the shifted noise of a checkout as they are, on miniatures whose weights follow from
their names, and writes shapes and outputs to a safetensors file. The widths of XL's encoder, which
they write into the code, are the miniature's here. Of ReDream only the weights' rule is used::

    pip install --target /tmp/peer einops
    PYTHONPATH=/tmp/peer python benchmarks/record_mv_adapter.py /path/to/MV-Adapter \
        tests/priors/recorded/mv_adapter.safetensors
"""

import importlib
import json
import sys
import types
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import DDPMScheduler, T2IAdapter, UNet2DConditionModel
from peer_modules import bare_packages
from safetensors.torch import save_file

FOLDER = Path(__file__).parents[1] / "tests" / "priors"


def main(checkout: str, out: str) -> None:
    """Records both networks, the cameras and the noise."""
    sys.path.insert(0, str(FOLDER))
    weights: Any = importlib.import_module("multiview_parity")
    parity: Any = importlib.import_module("mv_adapter_parity")
    inside = ("", ".loaders", ".models", ".pipelines", ".schedulers", ".utils", ".utils.mesh_utils")
    bare_packages(Path(checkout), ("mvadapter" + name for name in inside))
    sys.modules |= {name: types.ModuleType(name) for name in ("nvdiffrast", "nvdiffrast.torch")}
    loaders: Any = sys.modules["mvadapter.loaders"]
    loaders.CustomAdapterMixin = importlib.import_module(
        "mvadapter.loaders.custom_adapter"
    ).CustomAdapterMixin
    told = cameras(parity.AZIMUTHS_DEG)
    records = {"told": told, "alphas_cumprod": noise()}
    shapes: dict[str, Any] = {}
    for name, end in (("sd21", "sd"), ("sdxl", "sdxl")):
        module: Any = importlib.import_module(f"mvadapter.pipelines.pipeline_mvadapter_t2mv_{end}")
        pipeline = getattr(module, f"MVAdapterT2MV{end.upper()}Pipeline")
        unet = UNet2DConditionModel(**parity.LAYOUTS[name]).eval()
        model = SimpleNamespace(unet=unet)
        if name == "sdxl":
            narrow = [*unet.config.block_out_channels, unet.config.block_out_channels[-1]]
            module.T2IAdapter = partial(narrowed, narrow)
        pipeline._init_custom_adapter(model, num_views=parity.V)
        encoder = model.cond_encoder.eval()
        weights.fill(unet.state_dict())
        weights.fill(encoder.state_dict())
        adapter = {k: v for k, v in unet.state_dict().items() if "_mv" in k} | encoder.state_dict()
        shapes[name] = {
            "adapter": {key: list(each.shape) for key, each in adapter.items()},
            "unet": {k: list(v.shape) for k, v in unet.state_dict().items() if "_mv" not in k},
        }
        maps = told.repeat(2, 1)[:, :, None, None].expand(-1, -1, 64, 64)
        say = partial(answer, unet, encoder, parity.inputs(name))
        records[name] = say(maps)
        records[f"{name}.without_poses"] = say(
            torch.full_like(maps, 0.5)
        )  # neither direction nor place
        records[f"{name}.without_rows"] = say(maps, mv_scale=0.0)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    save_file(records, out, {"source": "MV-Adapter", "shapes": json.dumps(shapes)})
    print({key: float(value.std()) for key, value in records.items()}, file=sys.stderr)


def narrowed(narrow: list[int], channels: Any, **options: Any) -> T2IAdapter:  # noqa: ANN401
    """Their encoder, as wide as a miniature."""
    return T2IAdapter(channels=narrow, **options)


@torch.no_grad()
def answer(unet: Any, encoder: Any, given: Any, maps: torch.Tensor, mv_scale: float = 1.0) -> Any:  # noqa: ANN401
    """What a denoising step of their pipelines asks and hears."""
    features = [each.clone() for each in encoder(maps)]
    views = {"mv_scale": mv_scale, "num_views": 6}
    said: torch.Tensor = unet(
        **given,
        cross_attention_kwargs=views,
        down_intrablock_additional_residuals=features,
        return_dict=False,
    )[0]
    return said.contiguous()


def cameras(azimuths_deg: tuple[int, ...]) -> torch.Tensor:
    """What each pixel is told of their six cameras, as ``inference_t2mv_sdxl.py`` makes it."""
    camera = importlib.import_module("mvadapter.utils.mesh_utils.camera")
    geometry = importlib.import_module("mvadapter.utils.geometry")
    num = len(azimuths_deg)
    views = camera.get_orthogonal_camera(
        elevation_deg=[0] * num,
        distance=[1.8] * num,
        left=-0.55,
        right=0.55,
        bottom=-0.55,
        top=0.55,
        azimuth_deg=[each - 90 for each in azimuths_deg],
        device="cpu",
    )
    maps = geometry.get_plucker_embeds_from_cameras_ortho(views.c2w, [1.1] * num, 2)
    told: torch.Tensor = ((maps + 1.0) / 2.0).clamp(0, 1)
    assert torch.equal(told, told[:, :, :1, :1].expand_as(told))  # alike in every pixel
    return told[:, :, 0, 0].contiguous()


def noise() -> torch.Tensor:
    """Stable Diffusion's process, shifted as their scripts shift it."""
    module = importlib.import_module("mvadapter.schedulers.scheduling_shift_snr")
    plain = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    shifted = module.ShiftSNRScheduler.from_scheduler(
        plain, shift_mode="interpolated", shift_scale=8.0
    )
    alphas: torch.Tensor = shifted.alphas_cumprod
    return alphas.contiguous()


if __name__ == "__main__":
    main(*sys.argv[1:])
