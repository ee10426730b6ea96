r"""Records the VSD gradients that threestudio's own guidance code computes, for the parity test.

It runs ``stable_diffusion_vsd_guidance.py`` of a threestudio checkout as it is, on a miniature of
random weights, and writes inputs and gradients to a safetensors file. threestudio needs
diffusers 0.19, so it runs in an environment of its own, from which nothing of ReDream is imported::

    python tests/priors/parity.py /tmp
    pip install --target /tmp/peer --no-deps diffusers==0.19.3 transformers==4.30.2 \
        tokenizers==0.13.3 huggingface_hub==0.16.4 accelerate==0.21.0 importlib_metadata zipp
    PYTHONPATH=/tmp/peer python benchmarks/record_threestudio.py /path/to/threestudio /tmp \
        tests/priors/recorded/threestudio_vsd.safetensors
"""

import sys
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peer_modules import load_module
from safetensors.torch import save_file

GUIDANCE = "threestudio/models/guidance/stable_diffusion_vsd_guidance.py"
PARITY = Path(__file__).parents[1] / "tests" / "priors" / "parity.py"


def main(checkout: str, folders: str, out: str) -> None:
    """Records both arrangements: zeta on the prior's network, and on a v-predicting one."""
    parity = load_module("parity", PARITY)
    stand_in()
    guidance_module = load_module("guidance", Path(checkout) / GUIDANCE)
    records: dict[str, torch.Tensor] = {}
    for name, other in (("shared", "epsilon"), ("apart", "v_prediction")):
        guidance = guidance_module.StableDiffusionVSDGuidance(
            pretrained_model_name_or_path=f"{folders}/epsilon",
            pretrained_model_name_or_path_lora=f"{folders}/{other}",
            half_precision_weights=False,
        )
        parity.fill(guidance.unet, skip=("lora", "class_embedding"))
        parity.fill(guidance.unet_lora, skip=("lora", "class_embedding"))
        parity.fill_lora(
            (f"{path}.{layer}", getattr(processor, f"{layer}_lora"))
            for path, processor in (
                (key.removesuffix(".processor"), value)
                for key, value in guidance.unet_lora.attn_processors.items()
            )
            for layer in ("to_q", "to_k", "to_v", "to_out")
        )
        camera = guidance.camera_embedding.module
        parity.fill_camera(camera.linear_1, camera.linear_2)
        inputs = parity.inputs()
        torch.manual_seed(7)
        state = torch.get_rng_state()
        gradient, _ = guidance.compute_grad_vsd(
            inputs["latents"], inputs["text_vd"], inputs["text"], inputs["c2w"]
        )
        torch.set_rng_state(state)  # what it drew inside: first t, then the noise
        bounds = (guidance.min_step, guidance.max_step + 1)
        records[f"{name}.timesteps"] = torch.randint(*bounds, [len(gradient)])
        records[f"{name}.noise"] = torch.randn_like(inputs["latents"])
        records[f"{name}.gradient"] = gradient.contiguous()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    save_file(records, out, {"source": f"threestudio, {GUIDANCE}"})
    print({key: float(value.float().std()) for key, value in records.items()})


def stand_in() -> None:
    """The names that the guidance imports from the rest of threestudio, which needs CUDA."""
    package = types.ModuleType("threestudio")
    package.register = lambda name: lambda cls: cls  # type: ignore[attr-defined]
    package.info = package.warn = lambda message: None  # type: ignore[attr-defined]
    base, misc, processors, typed = (
        types.ModuleType(f"threestudio.{name}")
        for name in ("utils.base", "utils.misc", "models.prompt_processors.base", "utils.typing")
    )

    class BaseModule(torch.nn.Module):
        @dataclass
        class Config:
            pass

        def __init__(self, **options: Any) -> None:  # noqa: ANN401
            super().__init__()
            self.cfg, self.device = self.Config(**options), torch.device("cpu")
            self.configure()  # type: ignore[operator]

    base.BaseModule = BaseModule  # type: ignore[attr-defined]
    misc.C = lambda value, *steps: value  # type: ignore[attr-defined]
    misc.cleanup = lambda: None  # type: ignore[attr-defined]
    misc.parse_version = lambda text: text  # type: ignore[attr-defined]
    processors.PromptProcessorOutput = object  # type: ignore[attr-defined]
    for name in ("Any", "Dict", "List", "Optional", "Tuple", "Union"):
        setattr(typed, name, getattr(typing, name))

    class Shape:
        def __class_getitem__(cls, shape: Any) -> Any:  # noqa: ANN401
            return Any

    typed.Float = typed.Int = Shape  # type: ignore[attr-defined]
    typed.Tensor = torch.Tensor  # type: ignore[attr-defined]
    for module in (package, base, misc, processors, typed):
        sys.modules[module.__name__] = module


if __name__ == "__main__":
    main(*sys.argv[1:])
