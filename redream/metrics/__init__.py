"""How good a result is: metrics on pictures from all around, on surfaces, and on priors."""

from redream.metrics.base import Metric
from redream.metrics.clip_score import ClipScore
from redream.metrics.geometry import GeometryTruth
from redream.metrics.kernel_distance import KernelDistance, kernel_distance
from redream.metrics.pattern_score import PatternScore
from redream.metrics.perceptual import LPIPS, ClipDistance, PerceptualDistance
from redream.metrics.prior_balance import PriorBalance, measure_prior
from redream.metrics.smoothness import ALPIPS
from redream.metrics.success import SuccessRate, orientation_success, wilson_interval
from redream.metrics.view_balance import ClipViewJudge, ViewBalance, ViewJudge

__all__ = [
    "ALPIPS",
    "LPIPS",
    "ClipDistance",
    "ClipScore",
    "ClipViewJudge",
    "GeometryTruth",
    "KernelDistance",
    "Metric",
    "PatternScore",
    "PerceptualDistance",
    "PriorBalance",
    "SuccessRate",
    "ViewBalance",
    "ViewJudge",
    "kernel_distance",
    "measure_prior",
    "orientation_success",
    "wilson_interval",
]
