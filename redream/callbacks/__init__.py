"""What a run shows while it works, and what it leaves."""

from redream.callbacks.budget import Budget
from redream.callbacks.export import Export
from redream.callbacks.gpteval3d import GPTEval3D
from redream.callbacks.previews import Previews
from redream.callbacks.prior import MeasurePrior
from redream.callbacks.progress import Progress
from redream.callbacks.pulls import PullRatio
from redream.callbacks.status import Status

__all__ = [
    "Budget",
    "Export",
    "GPTEval3D",
    "MeasurePrior",
    "Previews",
    "Progress",
    "PullRatio",
    "Status",
]
