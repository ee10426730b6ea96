"""The embedded world's own measures: what the prior can do, and what adaptation teaches it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from redream.mini.categories import CATEGORIES
from redream.mini.materials import MATERIALS
from redream.mini.view_classifier import ViewClassifier
from redream.mini.world import Pair
from redream.retrieval import Encoder

BACK = 2


def describe(pair: Pair) -> str:
    """Words a pair: "a MATERIAL CATEGORY", or "a CATEGORY" for plain ones."""
    material, category = pair
    return f"a {category}" if material == "plain" else f"a {material} {category}"


@dataclass(frozen=True)
class Recognition:
    """Shares of samples that the evaluation CLIP names right.

    Attributes:
        category: Top-1 among all categories.
        material: Top-1 among all materials, the category given.
        num: Samples.
    """

    category: float
    material: float
    num: int


def recognise(
    encoder: Encoder, pairs: Sequence[Pair], pictures: Float[Tensor, "B 3 H W"]
) -> Recognition:
    """Asks the evaluation CLIP what pictures show.

    Args:
        encoder: The evaluation CLIP.
        pairs: The (material, category) that each picture should show.
        pictures: Samples in [0, 1].

    Returns:
        The shares named right.
    """
    categories, materials = list(CATEGORIES), list(MATERIALS)
    seen = encoder.encode_images(pictures)
    named = (seen @ encoder.encode_texts([f"a {name}" for name in categories]).T).argmax(1)
    tables = {
        category: encoder.encode_texts([f"a {material} {category}" for material in materials])
        for category in {category for _, category in pairs}
    }
    right = [categories[int(index)] == pair[1] for index, pair in zip(named, pairs, strict=True)]
    painted = [
        materials[int((tables[category] @ vector).argmax())] == material
        for vector, (material, category) in zip(seen, pairs, strict=True)
    ]
    return Recognition(sum(right) / len(pairs), sum(painted) / len(pairs), len(pairs))


@torch.no_grad()
def obeys_back(judge: ViewClassifier, pictures: Float[Tensor, "B 3 H W"]) -> float:
    """Share of pictures that show a back, as the view classifier sees it."""
    return float((judge(pictures).argmax(1) == BACK).float().mean())
