"""Tokenizers of the real kinds that know the lower-case letters and a few whole words."""

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPTokenizer, T5TokenizerFast

WORDS = ("front", "side", "back", "view", "a", "of", "dog", "corgi", "striped")


def letter_tokenizer(max_length: int) -> "CLIPTokenizer":
    """A CLIP tokenizer: byte pairs, a word's end marked."""
    from transformers import CLIPTokenizer

    tokens = ["<|startoftext|>", "<|endoftext|>"]
    tokens += [letter + end for letter in string.ascii_lowercase for end in ("", "</w>")]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces[:2] = [pieces[0] + pieces[1]]
            tokens.append(pieces[0])
    vocab = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(
        vocab=vocab, merges=list(dict.fromkeys(merges)), model_max_length=max_length
    )


def piece_tokenizer() -> "T5TokenizerFast":
    """A T5 tokenizer: a unigram model, a word's start marked."""
    from transformers import T5TokenizerFast

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    pieces += [(letter, -6.0) for letter in string.ascii_lowercase]
    pieces += [("▁" + word, -2.0) for word in WORDS]
    return T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=512)
