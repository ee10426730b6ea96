"""A classifier of poses, made in seconds from views of assets whose azimuths are known.

The poses are equal arcs of azimuth, the first of them about the front, so that over uniform cameras
each is seen equally often. The classifier is logistic regression on the features of a frozen
encoder; what it is worth is asked of views that it has not learned from, and its temperature is set
on those.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate, one_hot

from redream.method.noise import random_backgrounds
from redream.method.poses.features import PictureFeatures
from redream.types import References, key_generator

_SOFTNESS = (1, 2, 3)  # of a training picture: it is shown at so much less resolution
_NOISE = 0.03  # standard deviation of what is added to its colours
_FOLDS = 4  # of the views, where a single asset is all there is
_AT_ONCE = 64  # pictures encoded together


@dataclass(frozen=True)
class PoseClassifier:
    """Says from which arc of azimuths a picture was taken.

    Attributes:
        features: What it sees.
        centre: Mean of the features that it learned from.
        scale: Their standard deviation.
        weight: Of the regression.
        bias: Of the regression.
        temperature: By which logits are divided.
        accuracy: Share of the held-out views, all poses alike, that it named right.
        error: Expected calibration error on them, 0 to 1.
        num_views: Views that it learned from.
        held_out: What they were: ``assets`` in turn, or ``views`` of the only one.
    """

    features: PictureFeatures
    centre: Float[Tensor, " D"]
    scale: Float[Tensor, " D"]
    weight: Float[Tensor, "C D"]
    bias: Float[Tensor, " C"]
    temperature: float
    accuracy: float
    error: float
    num_views: int
    held_out: str

    @property
    def num_poses(self) -> int:
        """C."""
        return len(self.bias)

    def probabilities(self, pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C"]:
        """Probabilities of the poses, with gradients to the pictures.

        Args:
            pictures: In [0, 1].
        """
        seen = self.features.of(pictures)
        centre, scale, weight, bias = (
            each.to(seen) for each in (self.centre, self.scale, self.weight, self.bias)
        )
        logits = (seen - centre) / scale @ weight.T + bias
        return (logits / self.temperature).softmax(dim=1)

    @property
    def words(self) -> str:
        """What it is worth, in a few words."""
        return (
            f"{self.num_poses} poses told apart in {self.accuracy:.0%} of held-out {self.held_out} "
            f"(chance {1 / self.num_poses:.0%}), calibration error {self.error:.2f}, from "
            f"{self.num_views} views by {self.features.name}"
        )


def pose_of(azimuth_deg: Float[Tensor, " B"], num_poses: int) -> Int[Tensor, " B"]:
    """The arc of each azimuth: 0 is centred on the front, then toward +X."""
    width = 360.0 / num_poses
    return ((azimuth_deg + width / 2.0).remainder(360.0) / width).long().clamp_max(num_poses - 1)


def fit_classifier(
    features: PictureFeatures,
    references: References,
    num_poses: int = 4,
    seed: int = 0,
    ridge: float = 0.01,
) -> PoseClassifier:
    """Learns poses from rendered views.

    Each view is shown three times, over other colours and ever softer, as a denoised picture is.
    With two assets or more each is held out once, from a classifier of the others; of one asset
    every fourth view is. The temperature is set, and accuracy and calibration are measured, on what
    was held out; the classifier that is returned has learned from all.

    Args:
        features: What it sees.
        references: The views, of assets that face front.
        num_poses: C.
        seed: Draws colours and noise.
        ridge: Weight of the squared coefficients beside the mean loss.

    Returns:
        The classifier.

    Raises:
        ValueError: If there are too few views to learn from.
    """
    labels = pose_of(references.cameras.azimuth_deg.cpu(), num_poses)
    counts = torch.bincount(labels, minlength=num_poses)
    if int(counts.min()) < 2:
        raise ValueError(
            f"the views of the assets show {counts.tolist()} of {num_poses} poses, and 2 of each "
            "are needed: raise data.references.num_views or lower model.poses.num_poses"
        )
    seen = _see(features, references, seed)
    assets = references.asset_index.cpu()
    several = len(assets.unique()) > 1
    group = assets if several else torch.arange(len(labels)) % _FOLDS
    group, answers = group.repeat(len(_SOFTNESS)), labels.repeat(len(_SOFTNESS))
    logits = torch.empty(len(answers), num_poses, dtype=seen.dtype)
    for fold in group.unique():
        out = group == fold
        fitted = _regress(seen[~out], answers[~out], num_poses, ridge)
        logits[out] = _logits(seen[out], *fitted)
    temperature = fit_temperature(logits, answers)
    named = (logits.argmax(1) == answers).double()
    accuracy = torch.stack([named[answers == pose].mean() for pose in range(num_poses)]).mean()
    centre, scale, weight, bias = _regress(seen, answers, num_poses, ridge)
    return PoseClassifier(
        features,
        centre.float(),
        scale.float(),
        weight.float(),
        bias.float(),
        temperature=temperature,
        accuracy=float(accuracy),
        error=calibration_error((logits / temperature).softmax(1), answers),
        num_views=len(labels),
        held_out="assets" if several else "views",
    )


def fit_temperature(logits: Float[Tensor, "B C"], labels: Int[Tensor, " B"]) -> float:
    """The temperature at which logits say the likeliest labels (Guo et al., 2017).

    Args:
        logits: Of held-out pictures.
        labels: What they show.

    Returns:
        Between 1/20 and 20; the loss is convex in its inverse, which is found by bisection.
    """
    logits = logits.double()

    def slope(inverse: float) -> float:
        expected = ((logits * inverse).softmax(1) * logits).sum(1)
        return float((expected - logits.gather(1, labels[:, None])[:, 0]).mean())

    low, high = 1 / 20, 20.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if slope(middle) > 0.0 else (middle, high)
    return 1.0 / math.sqrt(low * high)


def calibration_error(
    probabilities: Float[Tensor, "B C"], labels: Int[Tensor, " B"], num_bins: int = 10
) -> float:
    """Expected calibration error: how far confidence is from accuracy, over bins of confidence."""
    confidence, named = probabilities.max(dim=1)
    right = (named == labels).to(confidence)
    place = (confidence * num_bins).long().clamp_max(num_bins - 1)
    gap = torch.zeros(num_bins, dtype=confidence.dtype).index_add_(0, place, confidence - right)
    return float(gap.abs().sum() / len(labels))


@torch.no_grad()
def _see(features: PictureFeatures, references: References, seed: int) -> Float[Tensor, "N D"]:
    """The features of all views, once for each softness, in float64 on the CPU."""
    generator = key_generator("poses", seed)
    parts = []
    for factor in _SOFTNESS:
        colors = random_backgrounds(len(references.rgba), generator)
        pictures = references._replace(rgba=references.rgba.cpu()).over(colors)
        size = pictures.shape[-2:]
        smaller = (max(1, size[0] // factor), max(1, size[1] // factor))
        for small in (smaller, size) if factor > 1 else ():
            pictures = interpolate(
                pictures, small, mode="bilinear", antialias=True, align_corners=False
            )
        noise = torch.randn(pictures.shape, generator=generator)
        pictures = (pictures + _NOISE * noise).clamp(0.0, 1.0)
        parts += [features.of(chunk).double() for chunk in pictures.split(_AT_ONCE)]
    return torch.cat(parts)


def _regress(
    seen: Float[Tensor, "N D"], labels: Int[Tensor, " N"], num_poses: int, ridge: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Multinomial logistic regression: centre, scale, weight and bias, all poses alike."""
    centre, scale = seen.mean(0), seen.std(0).clamp_min(1e-6)
    inputs = (seen - centre) / scale
    share = one_hot(labels, num_poses).to(inputs).mean(0)
    balance = 1.0 / share.clamp_min(1e-12)
    weight = torch.zeros(num_poses, inputs.shape[1], dtype=inputs.dtype, requires_grad=True)
    bias = torch.zeros(num_poses, dtype=inputs.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=200, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(inputs @ weight.T + bias, labels, balance)
        loss = loss + ridge * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return centre, scale, weight.detach(), bias.detach()


def _logits(
    seen: Tensor, centre: Tensor, scale: Tensor, weight: Tensor, bias: Tensor
) -> Float[Tensor, "N C"]:
    return (seen - centre) / scale @ weight.T + bias
