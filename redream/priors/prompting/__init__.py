"""How a prompt is put for each view, and what it is pushed away from."""

from redream.priors.prompting.base import Conditioning, Prompting
from redream.priors.prompting.debiased import DebiasedPrompt
from redream.priors.prompting.perp_neg import PerpNeg
from redream.priors.prompting.view_words import ViewWords

__all__ = ["Conditioning", "DebiasedPrompt", "PerpNeg", "Prompting", "ViewWords"]
