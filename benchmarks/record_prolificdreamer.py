r"""Records the VSD gradients that ProlificDreamer's guidance code computes, for the parity test.

It runs ``nerf/sd.py`` and ``lora_unet.py`` of a checkout as they are, on a miniature of random
weights. They need diffusers 0.15, so this runs in an environment of its own, from which nothing of
ReDream is imported::

    python tests/priors/parity.py /tmp
    pip install --target /tmp/peer --no-deps diffusers==0.15.0 transformers==4.30.2 \
        tokenizers==0.13.3 huggingface_hub==0.16.4 accelerate==0.21.0 importlib_metadata zipp
    PYTHONPATH=/tmp/peer python benchmarks/record_prolificdreamer.py /path/to/prolificdreamer /tmp \
        tests/priors/recorded/prolificdreamer_vsd.safetensors
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from peer_modules import load_module
from record_threestudio import PARITY
from safetensors.torch import save_file
from torch import Tensor


class LoraUnet(torch.nn.Module):
    """Their ``LoraUnet`` is inside a trainer that needs CUDA: all rows see one text."""

    def __init__(self, unet: torch.nn.Module, text: Tensor) -> None:
        super().__init__()
        self.unet, self.text = unet, text

    def forward(self, x: Tensor, t: Tensor, c: Tensor, shading: str) -> Tensor:
        """Asks the network."""
        text = self.text.expand(len(x), -1, -1)
        answer: Tensor = self.unet(x, t, encoder_hidden_states=text, c=c, shading=shading)
        return answer


def main(checkout: str, folders: str, out: str) -> None:
    """Records both arrangements: zeta on the prior's weights, and on a v-predicting network."""
    from diffusers.models.attention_processor import LoRAAttnProcessor

    parity = load_module("parity", PARITY)
    lora_unet = load_module("lora_unet", Path(checkout) / "lora_unet.py")
    guidance_module = load_module("guidance", Path(checkout) / "nerf" / "sd.py")
    nothing = SimpleNamespace(from_pretrained=lambda *_, **__: torch.nn.Identity())
    for name in ("AutoencoderKL", "CLIPTokenizer", "CLIPTextModel"):
        setattr(guidance_module, name, nothing)  # latents and texts are given
    records: dict[str, Tensor] = {}
    for name, other in (("shared", "epsilon"), ("apart", "v_prediction")):
        options = SimpleNamespace(
            t_range=[0.02, 0.98], latent=True, sds=False, v_pred=other == "v_prediction"
        )
        guidance = guidance_module.StableDiffusion(
            "cpu", hf_key=f"{folders}/epsilon", opt=options
        ).requires_grad_(False)
        zeta = lora_unet.UNet2DConditionModel.from_pretrained(
            f"{folders}/{other}", subfolder="unet", low_cpu_mem_usage=False, device_map=None
        ).requires_grad_(False)
        widths = {  # as their trainer finds them, from the names of the layers
            "mid": zeta.config.block_out_channels[-1:],
            "up": zeta.config.block_out_channels[::-1],
            "down": zeta.config.block_out_channels,
        }
        processors = {}
        for key in zeta.attn_processors:
            kind, block = key.split("_")[0], key.split(".")[1]
            processors[key] = LoRAAttnProcessor(
                hidden_size=widths[kind][int(block) if kind != "mid" else 0],
                cross_attention_dim=None if "attn1" in key else zeta.config.cross_attention_dim,
            )
        zeta.set_attn_processor(processors)
        parity.fill(guidance.unet)
        shadings = ("lambertian_emb", "textureless_emb", "normal_emb")  # not asked for
        parity.fill(zeta, skip=("lora", "camera_emb", *shadings))
        parity.fill_lora(
            (f"{key.removesuffix('.processor')}.{layer}", getattr(processor, f"{layer}_lora"))
            for key, processor in zeta.attn_processors.items()
            for layer in ("to_q", "to_k", "to_v", "to_out")
        )
        parity.fill_camera(zeta.camera_emb[0], zeta.camera_emb[2])
        inputs = parity.inputs()
        latents = inputs["latents"].requires_grad_()
        wanted, negative = inputs["text_vd"].chunk(2)
        torch.manual_seed(7)
        state = torch.get_rng_state()
        loss, _, _ = guidance.train_step(
            torch.cat([negative, wanted]), latents, 7.5, LoraUnet(zeta, inputs["text"][:1]),
            inputs["c2w"].flatten(1), "albedo",
        )  # fmt: skip
        loss.backward()
        torch.set_rng_state(state)  # what it drew inside: first t, then the noise
        timestep = torch.randint(guidance.min_step, guidance.max_step + 1, [1])
        records[f"{name}.timesteps"] = timestep.repeat(len(latents))  # one for all views
        records[f"{name}.noise"] = torch.randn_like(latents)
        records[f"{name}.gradient"] = latents.grad * len(latents)  # its loss is a mean over views
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    save_file(records, out, {"source": "ProlificDreamer, nerf/sd.py and lora_unet.py"})
    print({key: float(value.float().std()) for key, value in records.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
