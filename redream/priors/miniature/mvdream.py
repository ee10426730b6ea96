"""An MVDream of random weights: a small Stable Diffusion that is told cameras."""

import json
from pathlib import Path
from typing import Any

from redream.plain_data import read_json
from redream.priors.miniature.stable_diffusion import save_miniature


def save_miniature_mvdream(folder: str | Path, seed: int = 0, **unet: Any) -> None:  # noqa: ANN401
    """Writes a whole folder as ``redream convert`` does, in about a second.

    Pictures are 16x16, latents 4x8x8, prompts 16 tokens 16 wide.

    Args:
        folder: Where :class:`redream.priors.MVDreamPrior` will find it.
        seed: Seed of the weights.
        **unet: Further options of the ``UNet2DConditionModel``.
    """
    told = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 16}
    save_miniature(folder, seed=seed, **{**told, **unet})
    index = Path(folder) / "model_index.json"
    stated = read_json(index) | {"_class_name": "MVDreamPipeline"}
    index.write_text(json.dumps(stated, indent=2), "utf-8")
