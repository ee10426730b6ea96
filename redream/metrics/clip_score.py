"""CLIP score and the rank of the prompt among captions (CLIP R-precision)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from redream.metrics.base import Metric, spread
from redream.retrieval.encoder import Encoder
from redream.types import Cameras


class ClipScore(Metric):
    """How well pictures fit the prompt, as judged by a CLIP that did not steer the distillation.

    ``clip_score`` is the mean cosine of picture and prompt over azimuths (Hessel et al., 2021,
    without its factor). ``rank`` is the place of the prompt among the captions by that mean, 1
    the best: the rank behind CLIP R-precision (Park et al., 2021); captions that tie with the
    prompt are counted before it.

    Args:
        encoder: The CLIP that judges.
        captions: The prompt's rivals, or a text file with one a line; no rank without them.
        num_views: Azimuths that are averaged.
        template: How a prompt or caption is worded; ``{}`` stands for it.
    """

    def __init__(
        self,
        encoder: Encoder,
        captions: list[str] | Path | None = None,
        num_views: int = 8,
        template: str = "{}",
    ) -> None:
        if isinstance(captions, Path):
            if not captions.is_file():
                raise FileNotFoundError(f"There is no file of captions at {captions}.")
            lines = captions.read_text("utf-8").splitlines()
            captions = [line.strip() for line in lines if line.strip()]
        if "{}" not in template:
            raise ValueError(f"template needs a {{}} where the prompt goes, got {template!r}.")
        self.encoder = encoder
        self.captions = captions or []
        self.num_views = num_views
        self.template = template

    @torch.no_grad()
    def measure(
        self, prompt: str, pictures: Float[Tensor, "B 3 H W"], cameras: Cameras
    ) -> dict[str, float]:
        """Gives ``clip_score`` in [-1, 1] and, with captions, ``rank`` and ``num_captions``."""
        chosen = pictures[spread(pictures.shape[0], self.num_views)]
        rivals = [caption for caption in self.captions if caption != prompt]
        similarity = self._similarity([prompt, *rivals], chosen)
        measures = {"clip_score": float(similarity[0])}
        if rivals:
            measures["rank"] = float(1 + (similarity[1:] >= similarity[0]).sum())
            measures["num_captions"] = float(similarity.numel())
        return measures

    def _similarity(
        self, captions: Sequence[str], pictures: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, " N"]:
        worded = [self.template.format(caption) for caption in captions]
        texts = torch.as_tensor(self.encoder.encode_texts(worded))
        images = torch.as_tensor(self.encoder.encode_images(pictures))
        return (texts @ images.T).mean(dim=1)
