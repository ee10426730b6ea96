"""The prompt as seen from each view, encoded as rarely as possible."""

import torch
from jaxtyping import Float
from torch import Tensor

from redream.adapters import LightAdapter
from redream.cameras import VIEW_NAMES
from redream.priors import Prior
from redream.priors.prompting import Conditioning, Prompting
from redream.types import Cameras


class PromptTable:
    """Embeddings of the prompt for front, side and back.

    While the adapter learns its prefixes they change each step. Once nothing changes any more all
    are kept, and the prior's text encoders leave memory.

    Args:
        prior: The prior, with its text encoders.
        prompting: What is said of each view, and what a camera sees of it.
        adapter: Gives the views' prefixes e_psi; None says the views in words.
        prompt: The user's prompt c.
        negative_prompt: Prompt of the unconditional rows.

    Attributes:
        plain: Embedding of the prompt without a view, zeta's.
        negative: Embedding of the negative prompt.
    """

    def __init__(
        self,
        prior: Prior,
        prompting: Prompting,
        adapter: LightAdapter | None,
        prompt: str,
        negative_prompt: str,
    ) -> None:
        self.prior, self.prompting, self.adapter = prior, prompting, adapter
        say = prompting.spoken if adapter is None else prompting.words
        self.spoken = [say(prompt, view) for view in VIEW_NAMES]
        with torch.no_grad():
            texts = prior.encode_prompts([prompt, negative_prompt])
        self.plain, self.negative = texts.split(1)
        self._kept: Float[Tensor, "V L D"] | None = None

    def condition(self, cameras: Cameras, step: int) -> Conditioning:
        """What rows at these cameras are conditioned on, without gradients."""
        with torch.no_grad():
            return self.prompting.condition(self._views(step), cameras)

    def _views(self, step: int) -> Float[Tensor, "V L D"]:
        if self._kept is not None:
            return self._kept
        prefixes = None if self.adapter is None else self.adapter.prefixes(VIEW_NAMES)
        views = self.prior.encode_prompts(self.spoken, prefixes)
        if self.adapter is None or self.adapter.stopped(step):
            self._kept = views
            self.prior.free_text_encoders()
        return views
