"""How good a result is: metrics on pictures from all around."""

from redream.metrics.base import Metric
from redream.metrics.clip_score import ClipScore
from redream.metrics.view_balance import ClipViewJudge, ViewBalance, ViewJudge

__all__ = ["ClipScore", "ClipViewJudge", "Metric", "ViewBalance", "ViewJudge"]
