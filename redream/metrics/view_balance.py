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
    degrees). A judge errs at single azimuths, so an arc needs some width; and a face seen from
    more than half of the circle is more than one face. ``benchmarks/metrics.py`` measures how
    often the count is right on objects with one face and with two.

    Args:
        judge: Says which side a picture shows.
        num_views: Azimuths that are judged.
        margin: By how much the front's probability must lead the next one.
        min_gap_deg: Fronts that are no farther apart than this are one.
        min_width_deg: Arcs narrower than this are the judge's errors.
        max_width_deg: An arc wider than this counts as two fronts.
        label: Begins the measures' names, so that several judges can stand side by side.
    """

    def __init__(
        self,
        judge: ViewJudge,
        num_views: int = 24,
        margin: float = 0.2,
        min_gap_deg: float = 30.0,
        min_width_deg: float = 45.0,
        max_width_deg: float = 180.0,
        label: str = "",
    ) -> None:
        self.judge = judge
        self.num_views = num_views
        self.margin = margin
        self.min_gap_deg = min_gap_deg
        self.min_width_deg, self.max_width_deg = min_width_deg, max_width_deg
        self.label = label

    def measure(
        self, prompt: str, pictures: Float[Tensor, "B 3 H W"], cameras: Cameras
    ) -> dict[str, float]:
        """Gives ``num_fronts`` and ``front_share``."""
        chosen = pictures[spread(pictures.shape[0], self.num_views)]
        probabilities = self.judge.probabilities(prompt, chosen)
        lead = probabilities[:, 0] - probabilities[:, 1:].amax(dim=1)
        is_front = (lead > self.margin).tolist()
        step = 360.0 / self.num_views
        widths = [step * width for width in arc_widths(is_front, self.min_gap_deg / step)]
        fronts = [width for width in widths if width >= self.min_width_deg]
        num_wide = sum(width > self.max_width_deg for width in fronts)
        measures = {
            "num_fronts": float(len(fronts) + num_wide),
            "front_share": sum(is_front) / self.num_views,
        }
        return labelled(measures, self.label)


def arc_widths(is_front: Sequence[bool], min_gap: float = 0.0) -> list[int]:
    """Finds the runs of true values on a circle.

    Args:
        is_front: One value per equally spaced azimuth; the last one neighbours the first.
        min_gap: Fronts whose places differ by no more than this are in one run (1 or less: only
            neighbours are).

    Returns:
        How many places each run covers, from its first front to its last.
    """
    places = [i for i, front in enumerate(is_front) if front]
    if not places:
        return []
    nearest, num = max(min_gap, 1.0), len(is_front)
    following = [*places[1:], places[0] + num]
    ends = [i for i, place in enumerate(places) if following[i] - place > nearest]
    if not ends:
        return [num]
    starts = [ends[-1] + 1 - len(places), *(end + 1 for end in ends[:-1])]
    return [
        places[end] - (places[start] - num if start < 0 else places[start]) + 1
        for start, end in zip(starts, ends, strict=True)
    ]
