"""A small CLIP tokenizer whose words are the embedded world's own."""

from collections.abc import Iterable
from pathlib import Path

from transformers import CLIPTokenizer

CONTEXT_LENGTH = 24


def build_tokenizer(words: Iterable[str]) -> CLIPTokenizer:
    """Builds a byte-pair tokenizer that knows each of ``words`` as one token.

    Letters and digits are in the vocabulary too, so that any text can be encoded. The
    end-of-text token has the largest id, which is where CLIP text towers pool.

    Args:
        words: Lower-case words of the captions.

    Returns:
        A tokenizer in the ordinary CLIP format, padding with the end-of-text token.
    """
    symbols = list("abcdefghijklmnopqrstuvwxyz0123456789.,-'!?")
    vocabulary: list[str] = symbols + [symbol + "</w>" for symbol in symbols]
    merges: list[tuple[str, str]] = []
    known = set(vocabulary)
    for word in sorted(set(words)):
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:  # merge from the right: suffixes end words, prefixes do not
            right = pieces[-2] + pieces[-1]
            if right not in known:
                merges.append((pieces[-2], pieces[-1]))
                vocabulary.append(right)
                known.add(right)
            pieces = [*pieces[:-2], right]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    table = {token: index for index, token in enumerate(vocabulary)}
    return CLIPTokenizer(vocab=table, merges=merges, model_max_length=CONTEXT_LENGTH)


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Writes the tokenizer's files."""
    tokenizer.save_pretrained(folder)
