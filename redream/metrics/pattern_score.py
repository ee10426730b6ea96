"""Whether an object's pattern is the prompt's, and from how many sides."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from redream.metrics.base import Metric, labelled, spread
from redream.retrieval.encoder import Encoder
from redream.types import Cameras

PATTERNS = ("plain", "striped", "spotted", "chequered", "wooden", "marble", "golden")
"""The embedded world's materials."""


class PatternScore(Metric):
    """Asks a CLIP which pattern an object bears, from each of a few azimuths.

    A CLIP score hardly tells a striped vase from a spotted one. Here the prompt competes with
    itself, its pattern's word replaced by each of the others: "a striped vase" with "a spotted
    vase", "a golden vase" and so on. ``pattern_score`` is the share of azimuths from which the
    prompt's own pattern wins (a pattern on one side only scores that side's share), and
    ``pattern_right`` is 1 where it wins by the mean over azimuths, else 0: the one says all round,
    the other says what a viewer would call the whole. ``pattern_lead`` is by how much it wins: the
    mean over azimuths of its cosine less the best other's.

    ``docs/metrics_check.md`` has what it says of objects whose every side is known.

    Args:
        encoder: The CLIP that judges; not one that retrieved or oriented.
        patterns: The words that rule each other out; the embedded world's materials by default.
        num_views: Azimuths that are judged.
        label: Begins the measures' names, so that several judges can stand side by side.

    Raises:
        ValueError: If there are fewer than two patterns.
    """

    def __init__(
        self,
        encoder: Encoder,
        patterns: Sequence[str] = PATTERNS,
        num_views: int = 8,
        label: str = "",
    ) -> None:
        if len(set(patterns)) < 2:
            raise ValueError(f"patterns needs two words or more, got {list(patterns)}.")
        self.encoder = encoder
        self.patterns = list(dict.fromkeys(patterns))
        self.num_views = num_views
        self.label = label

    @torch.no_grad()
    def measure(
        self, prompt: str, pictures: Float[Tensor, "B 3 H W"], cameras: Cameras
    ) -> dict[str, float]:
        """Gives the three measures, or nothing unless the prompt names one of the patterns."""
        rivals = rival_prompts(prompt, self.patterns)
        if rivals is None:
            return {}
        own, wordings = rivals
        chosen = pictures[spread(pictures.shape[0], self.num_views)]
        texts = torch.as_tensor(self.encoder.encode_texts(wordings))
        cosines = torch.as_tensor(self.encoder.encode_images(chosen)) @ texts.T
        others = cosines.clone()
        others[:, own] = -torch.inf
        lead = cosines[:, own] - others.amax(dim=1)
        whole = cosines.mean(dim=0)
        measures = {
            "pattern_score": float((lead > 0).float().mean()),
            "pattern_right": float(int(whole.argmax()) == own),
            "pattern_lead": float(lead.mean()),
        }
        return labelled(measures, self.label)


def rival_prompts(prompt: str, patterns: Sequence[str]) -> tuple[int, list[str]] | None:
    """The prompt with its pattern's word replaced by each pattern.

    Args:
        prompt: For example "a striped vase".
        patterns: The words.

    Returns:
        Which of the patterns is the prompt's, and the wordings in the order of ``patterns``; None
        where the prompt names none of them, or several: what should be seen all round is then
        undecided.
    """
    words = prompt.split()
    bare = [word.strip(".,;:!?").lower() for word in words]
    named = [place for place, word in enumerate(bare) if word in patterns]
    if len({bare[place] for place in named}) != 1:
        return None
    wordings = []
    for pattern in patterns:
        replaced = list(words)
        for place in named:
            replaced[place] = words[place].lower().replace(bare[place], pattern)
        wordings.append(" ".join(replaced))
    return list(patterns).index(bare[named[0]]), wordings
