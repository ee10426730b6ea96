"""The prompt as seen from each view, encoded as rarely as possible."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from redream.adapters import Adapter
from redream.cameras import VIEW_NAMES
from redream.priors import Prior, with_image
from redream.priors.prompting import Conditioning, Prompting, ViewWords
from redream.types import Cameras, ImagePrompt


class PromptTable:
    """Embeddings of the prompt, and of texts beside it, for front, side and back.

    While the adapter learns its prefixes they change each step. Once nothing changes any more all
    are kept, and the prior's text encoders leave memory.

    Args:
        prior: The prior, with its text encoders.
        prompting: What is said of each view, and what a camera sees of it.
        adapter: Gives the views' prefixes e_psi; None says the views in words.
        prompt: The user's prompt c.
        negative_prompt: Prompt of the unconditional rows.
        others: Texts that the guidance needs beside the prompt, from each view as well.
        image: What the object looks like; all but the unconditional rows say it.

    Attributes:
        plain: Embedding of the prompt without a view, zeta's.
        negative: Embedding of the negative prompt.
    """

    def __init__(
        self,
        prior: Prior,
        prompting: Prompting,
        adapter: Adapter | None,
        prompt: str,
        negative_prompt: str,
        others: Sequence[str] = (),
        image: ImagePrompt | None = None,
    ) -> None:
        self.prior, self.prompting, self.adapter, self.prompt = prior, prompting, adapter, prompt
        self.image = image
        has_prefixes = adapter is not None and adapter.prefixes(VIEW_NAMES) is not None
        say = prompting.words if has_prefixes else prompting.spoken
        self.spoken = [say(text, view) for text in (prompt, *others) for view in VIEW_NAMES]
        with torch.no_grad():
            plain, self.negative = prior.encode_prompts([prompt, negative_prompt]).split(1)
        self._seen = prior.image_tokens(image)
        self.plain = with_image(plain, self._seen)
        self._kept: Float[Tensor, "T V L D"] | None = None

    def put_to(
        self,
        prior: Prior,
        prompting: Prompting | None,
        negative_prompt: str,
        others: Sequence[str] = (),
    ) -> "PromptTable":
        """The same prompt and picture in another prior's words; see the class.

        Args:
            prior: The other prior.
            prompting: How it is told the views; None says them in words.
            negative_prompt: Prompt of its unconditional rows.
            others: Texts that its guidance needs beside the prompt.
        """
        said = prompting or ViewWords()
        return PromptTable(prior, said, None, self.prompt, negative_prompt, others, self.image)

    def condition(self, cameras: Cameras, step: int) -> list[Conditioning]:
        """What rows at these cameras are conditioned on, without gradients.

        Args:
            cameras: The cameras of the rows.
            step: The step.

        Returns:
            For the prompt, and for each other text.
        """
        with torch.no_grad():
            return [self.prompting.condition(table, cameras) for table in self._tables(step)]

    def _tables(self, step: int) -> Float[Tensor, "T V L D"]:
        if self._kept is not None:
            return self._kept
        names = list(VIEW_NAMES) * (len(self.spoken) // len(VIEW_NAMES))
        prefixes = None if self.adapter is None else self.adapter.prefixes(names)
        texts = with_image(self.prior.encode_prompts(self.spoken, prefixes), self._seen)
        tables: Tensor = texts.unflatten(0, (-1, len(VIEW_NAMES)))
        if self.adapter is None or self.adapter.stopped(step):
            self._kept = tables
            self.prior.free_text_encoders()
        return tables
