"""A masked language model's opinion on the view that a prompt depicts."""

import torch

from redream.cameras import VIEW_NAMES
from redream.errors import first_line


class MaskedViews:
    """P(view | prompt), read at the mask of "This image is depicting a [MASK] view of ...".

    Args:
        model: A BERT in transformers' format, a folder or a hub id.

    Raises:
        ValueError: If it does not load, or does not know the views as single words.
    """

    def __init__(self, model: str) -> None:
        from transformers import AutoModelForMaskedLM, AutoTokenizer

        try:
            safe = {"trust_remote_code": False}  # a model's own code is never run
            self.tokenizer = AutoTokenizer.from_pretrained(model, **safe)
            bert = AutoModelForMaskedLM.from_pretrained(model, use_safetensors=True, **safe)
            self.model = bert.eval()
        except Exception as error:
            raise ValueError(
                f"could not load the language model {model} ({first_line(error)}): download it "
                "first, or set language_model to null, which drops words of a list"
            ) from error
        ids = [self.tokenizer(view, add_special_tokens=False).input_ids for view in VIEW_NAMES]
        if any(len(tokens) != 1 for tokens in ids):
            raise ValueError(f"{model} does not know front, side and back as single words")
        self.view_ids = [tokens[0] for tokens in ids]

    @torch.no_grad()
    def probabilities(self, prompt: str) -> dict[str, float]:
        """The probability of each view among front, side and back."""
        text = f"This image is depicting a {self.tokenizer.mask_token} view of {prompt}"
        tokens = self.tokenizer(text, return_tensors="pt", truncation=True)
        at = (tokens.input_ids[0] == self.tokenizer.mask_token_id).nonzero()[0, 0]
        odds = self.model(**tokens).logits[0, at].softmax(-1)[self.view_ids]
        return dict(zip(VIEW_NAMES, (odds / odds.sum()).tolist(), strict=True))
