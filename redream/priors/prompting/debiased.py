"""Prompt debiasing: words that contradict a view are left out of it."""

from collections.abc import Mapping, Sequence

from redream.cameras import VIEW_NAMES
from redream.priors.prompting.view_words import ViewWords

FACE = (
    "face", "faces", "facial", "smile", "smiles", "smiling", "grin", "grinning", "frown",
    "frowning", "eye", "eyes", "eyed", "nose", "mouth", "lips", "teeth", "tongue", "beak",
    "snout", "whiskers", "beard", "mustache", "glasses", "sunglasses", "looking", "staring",
    "winking", "crying", "laughing", "angry", "happy", "sad", "portrait", "belly", "chest",
    "front",
)  # fmt: skip
"""Words of what is seen from the front alone."""

BEHIND = ("back", "backside", "rear", "behind", "tail")
"""Words of what is seen from behind alone."""


class DebiasedPrompt(ViewWords):
    """Prompt debiasing of Debiased-SDS (Hong et al., 2023, Sec. 4.3).

    The paper asks a masked language model how likely each view is with and without each word of
    the prompt, and drops the words that make the view unlikely. With ``language_model`` that is
    done here. Without one, which needs neither network nor weights, words of a list are dropped;
    the list stands for the model and knows faces and backs alone.

    Args:
        template: How a view is named where no prefix names it.
        front_deg: As of :class:`Prompting`.
        back_deg: As of :class:`Prompting`.
        language_model: A BERT in transformers' format, a folder or a hub id such as
            ``bert-base-uncased``; None to use the lists.
        threshold: A word is dropped where it lowers the view's probability below so much of the
            mean of both, 0.95 in the authors' code.
        contradictions: For each view the words to drop without a language model.
        keep: Words that are never dropped.
    """

    def __init__(
        self,
        template: str = "{prompt}, {view} view",
        front_deg: float = 45.0,
        back_deg: float = 135.0,
        language_model: str | None = None,
        threshold: float = 0.95,
        contradictions: Mapping[str, Sequence[str]] | None = None,
        keep: Sequence[str] = (),
    ) -> None:
        super().__init__(template, front_deg, back_deg)
        lists = {"front": BEHIND, "back": FACE} if contradictions is None else contradictions
        if unknown := set(lists) - set(VIEW_NAMES):
            raise ValueError(f"no view {', '.join(sorted(unknown))}: use {', '.join(VIEW_NAMES)}")
        self.contradictions = {view: {w.lower() for w in words} for view, words in lists.items()}
        self.keep = {word.lower() for word in keep}
        self.language_model, self.threshold = language_model, threshold
        self._by_model: dict[str, dict[str, str]] = {}

    def words(self, prompt: str, view: str) -> str:
        """The prompt without the words that contradict a view; never nothing."""
        if self.language_model is not None:
            if prompt not in self._by_model:
                self._by_model[prompt] = self._ask(prompt, self.language_model)
            return self._by_model[prompt][view]
        dropped = self.contradictions.get(view, set()) - self.keep
        kept = [word for word in prompt.split() if word.strip(",.;:!?").lower() not in dropped]
        return " ".join(kept) or prompt

    def _ask(self, prompt: str, model: str) -> dict[str, str]:
        """All views' words at once, so that the language model can leave memory."""
        from redream.priors.prompting.masked_views import MaskedViews

        views = MaskedViews(model)
        words = prompt.split()
        full = views.probabilities(prompt)
        kept: dict[str, list[str]] = {view: [] for view in VIEW_NAMES}
        for index, word in enumerate(words):
            part = views.probabilities(" ".join(words[:index] + words[index + 1 :]))
            for view in VIEW_NAMES:
                ratio = full[view] / (0.5 * (full[view] + part[view]))
                if ratio >= self.threshold or word.lower() in self.keep:
                    kept[view].append(word)
        return {view: " ".join(left) or prompt for view, left in kept.items()}
