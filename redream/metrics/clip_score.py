"""CLIP score and the rank of the prompt among captions (CLIP R-precision)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from redream.metrics.base import Metric, labelled, spread
from redream.retrieval.encoder import Encoder
from redream.types import Cameras


class ClipScore(Metric):
    """How well pictures fit the prompt, as judged by a CLIP that did not steer the distillation.

    ``clip_score`` is the mean cosine of picture and prompt over azimuths (Hessel et al., 2021,
    without its factor of 2.5 and without cutting off at 0). ``rank`` is the place of the prompt
    among the captions by that mean, 1 the best. ``r_precision`` is the share of single pictures
    whose best caption is the prompt: over many prompts its mean is CLIP R-precision (Park et al.,
    2021; Jain et al., 2022). Captions that tie with the prompt count before it.

    The paper takes 120 azimuths and two CLIPs that retrieval never used, "OpenCLIP ViT-L/14
    trained on DataComp-1B" and "CLIP ViT-L/14": ``ViT-L-14`` with ``datacomp_xl_s13b_b90k``, and
    ``ViT-L-14-quickgelu`` with ``openai``.

    Args:
        encoder: The CLIP that judges.
        captions: The prompt's rivals, or a text file with one a line; no rank without them.
        num_views: Azimuths that are averaged; None averages every picture of the turntable.
        template: How a prompt or caption is worded; ``{}`` stands for it.
        label: Begins the measures' names, so that several judges can stand side by side.
    """

    def __init__(
        self,
        encoder: Encoder,
        captions: list[str] | Path | None = None,
        num_views: int | None = 8,
        template: str = "{}",
        label: str = "",
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
        self.label = label

    @torch.no_grad()
    def measure(
        self, prompt: str, pictures: Float[Tensor, "B 3 H W"], cameras: Cameras
    ) -> dict[str, float]:
        """Gives ``clip_score`` in [-1, 1] and, with captions, the three measures of rank."""
        chosen = pictures[spread(pictures.shape[0], self.num_views)]
        rivals = [caption for caption in self.captions if caption != prompt]
        cosines = self._cosines([prompt, *rivals], chosen)
        means = cosines.mean(dim=1)
        measures = {"clip_score": float(means[0])}
        if rivals:
            measures["rank"] = float(1 + (means[1:] >= means[0]).sum())
            wins = cosines[0] > cosines[1:].amax(dim=0)
            measures["r_precision"] = float(wins.float().mean())
            measures["num_captions"] = float(means.numel())
        return labelled(measures, self.label)

    def _cosines(
        self, captions: Sequence[str], pictures: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, "N B"]:
        worded = [self.template.format(caption) for caption in captions]
        texts = torch.as_tensor(self.encoder.encode_texts(worded))
        images = torch.as_tensor(self.encoder.encode_images(pictures))
        return texts @ images.T
