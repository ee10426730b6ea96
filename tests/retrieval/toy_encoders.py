"""Encoders whose answers are known, and a random CLIP in open_clip's own folder format."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from redream.retrieval import Encoder

NAMED = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}


class ColorEncoder(Encoder):
    """Pictures to their mean colour, texts to the sum of the colours they name."""

    def __init__(self, name: str = "colours") -> None:
        super().__init__(model="colours", pretrained="none", device="cpu")
        self.name = name

    @property
    def image_size(self):
        return 16

    @property
    def preprocessing(self):
        return {}

    def encode_texts(self, texts):
        colors = torch.full((len(texts), 3), 0.01)
        for row, text in enumerate(texts):
            for name, color in NAMED.items():
                colors[row] += torch.tensor(color) * text.split().count(name)
        return torch.nn.functional.normalize(colors, dim=-1)

    def encode_images(self, images):
        return torch.nn.functional.normalize(images.mean((2, 3)) + 0.01, dim=-1)


class VectorEncoder(ColorEncoder):
    """Texts to random vectors of a given length, the same for the same text."""

    def __init__(self, dimension: int) -> None:
        super().__init__(f"vectors-{dimension}")
        self._dimension = dimension

    def encode_texts(self, texts):
        rows = [
            torch.randn(self._dimension, generator=torch.Generator().manual_seed(len(text)))
            for text in texts
        ]
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1)


def small_tokenizer():
    from transformers import CLIPTokenizer

    letters = list("abcdefghijklmnopqrstuvwxyz")
    tokens = [
        *letters,
        *(letter + "</w>" for letter in letters),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    return CLIPTokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=[], model_max_length=12)


def save_random_clip(folder: Path, own_tokenizer: bool, seed: int = 0, **preprocess) -> Path:
    """A random miniature CLIP as a ``local-dir:`` of open_clip."""
    import open_clip

    folder.mkdir(parents=True)
    text = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    if own_tokenizer:
        tokenizer = small_tokenizer()
        tokenizer.save_pretrained(folder)
        text |= {"vocab_size": len(tokenizer), "hf_tokenizer_name": "tokenizer"}
    config = {
        "embed_dim": 24,
        "vision_cfg": {
            "image_size": 32,
            "layers": 1,
            "width": 16,
            "head_width": 8,
            "patch_size": 8,
        },
        "text_cfg": text,
    }
    torch.manual_seed(seed)
    model = open_clip.model.CLIP(**config)
    document = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder
