"""Raters whose preference is known."""

import numpy as np

PROMPTS = [f"a thing of kind {i}" for i in range(12)]
METHODS = ("Ours", "Good", "Poor")


def simulate(key, pairs, strength, num_raters, bias=0.0, seed=0):
    """Raters who prefer as Bradley and Terry say, and lean to the left by ``bias``.

    Each rater and each prompt has a taste of its own, so that answers are not independent.
    """
    rng = np.random.default_rng(seed)
    for number in range(num_raters):
        for pair in pairs:
            left, right = (pair["left"], pair["right"])[:: rng.choice([1, -1])]
            ours = [strength[key["films"][film]["method"]] for film in (left, right)]
            chance = 1.0 / (1.0 + np.exp(ours[1] - ours[0] - bias))
            chosen = left if rng.random() < chance else right
            yield {
                "rater": f"rater{number}", "pair": pair["pair"], "left": left, "right": right,
                "chosen": chosen, "again": 0, "seconds": 2.5,
            }  # fmt: skip
