"""How many fronts an object shows: the Janus problem as a number."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from redream.cameras import VIEW_NAMES
from redream.metrics.base import Metric, labelled, spread
from redream.retrieval.encoder import Encoder
from redream.types import Cameras


class ViewJudge(ABC):
    """Says which side of an object a picture shows."""

    @abstractmethod
    def probabilities(
        self, prompt: str, pictures: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, "B 3"]:
        """Judges pictures.

        Args:
            prompt: What the object is.
            pictures: Views in [0, 1].

        Returns:
            Probabilities of front, side and back (the order of ``cameras.VIEW_NAMES``).
        """


class ClipViewJudge(ViewJudge):
    """Judges by the similarity of a picture to "..., front view", "..., side view", "...".

    Args:
        encoder: The CLIP that judges.
        template: How a view is worded.
        logit_scale: Factor on cosines before the softmax; CLIP's own learned scale is 100.
    """

    def __init__(
        self, encoder: Encoder, template: str = "{prompt}, {view} view", logit_scale: float = 100.0
    ) -> None:
        if "{view}" not in template:
            raise ValueError(f"template needs a {{view}} in it, got {template!r}.")
        self.encoder = encoder
        self.template = template
        self.logit_scale = logit_scale

    @torch.no_grad()
    def probabilities(
        self, prompt: str, pictures: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, "B 3"]:
        """Softmax over the cosines with the three views' texts."""
        wordings = [self.template.format(prompt=prompt, view=view) for view in VIEW_NAMES]
        texts = torch.as_tensor(self.encoder.encode_texts(wordings))
        images = torch.as_tensor(self.encoder.encode_images(pictures))
        return (self.logit_scale * images @ texts.T).softmax(dim=-1)


class ViewBalance(Metric):
    """Counts the separate arcs of azimuths from which an object seems to show its front.

    One is right; two or more are the Janus problem. ``num_fronts`` is that count and
    ``front_share`` the share of azimuths that show a front (a quarter, if front means within 45
    degrees).

    Args:
        judge: Says which side a picture shows.
        num_views: Azimuths that are judged.
        margin: By how much the front's probability must lead the next one.
        min_gap_deg: Fronts that are no farther apart than this are one.
        label: Begins the measures' names, so that several judges can stand side by side.
    """

    def __init__(
        self,
        judge: ViewJudge,
        num_views: int = 24,
        margin: float = 0.2,
        min_gap_deg: float = 30.0,
        label: str = "",
    ) -> None:
        self.judge = judge
        self.num_views = num_views
        self.margin = margin
        self.min_gap_deg = min_gap_deg
        self.label = label

    def measure(
        self, prompt: str, pictures: Float[Tensor, "B 3 H W"], cameras: Cameras
    ) -> dict[str, float]:
        """Gives ``num_fronts`` and ``front_share``."""
        chosen = pictures[spread(pictures.shape[0], self.num_views)]
        probabilities = self.judge.probabilities(prompt, chosen)
        lead = probabilities[:, 0] - probabilities[:, 1:].amax(dim=1)
        is_front = (lead > self.margin).tolist()
        num_fronts = count_arcs(is_front, self.min_gap_deg * self.num_views / 360.0)
        measures = {
            "num_fronts": float(num_fronts),
            "front_share": sum(is_front) / self.num_views,
        }
        return labelled(measures, self.label)


def count_arcs(is_front: Sequence[bool], min_gap: float = 0.0) -> int:
    """Counts the runs of true values on a circle.

    Args:
        is_front: One value per equally spaced azimuth; the last one neighbours the first.
        min_gap: Fronts whose places differ by no more than this count as one run (1 or less: only
            neighbours do).

    Returns:
        The number of runs; 1 where all are true, 0 where none is.
    """
    places = [i for i, front in enumerate(is_front) if front]
    if not places:
        return 0
    nearest = max(min_gap, 1.0)
    following = [*places[1:], places[0] + len(is_front)]
    gaps = [after - place for place, after in zip(places, following, strict=True)]
    return max(1, sum(gap > nearest for gap in gaps))
