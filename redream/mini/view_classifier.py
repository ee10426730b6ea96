"""A view classifier trained on renders of known azimuth: the judge of the prior's view bias.

``python -m redream.mini.view_classifier --out WEIGHTS --work FOLDER`` trains it on every category
with a front, in every material and in clay, and prints its accuracy on unseen individuals.
"""

import argparse
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from redream.cameras import VIEW_NAMES
from redream.mini.categories import CATEGORIES
from redream.mini.dataset import Dataset, load_dataset
from redream.mini.soften import soften
from redream.mini.train_vae import pictures_to_tensor
from redream.mini.training import pick_device, train
from redream.mini.world import all_pairs, view_of
from redream.types import key_generator

AMBIGUOUS_DEG = 10.0  # pictures this near to a boundary between views are not judged


class ViewClassifier(nn.Module):
    """A small convolutional network: 64x64 pictures to front, side or back."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 24, 32, 48)
        blocks = [
            nn.Sequential(
                nn.Conv2d(before, after, 3, stride=2, padding=1),
                nn.GroupNorm(8, after),
                nn.SiLU(),
                nn.Conv2d(after, after, 3, padding=1),
                nn.GroupNorm(8, after),
                nn.SiLU(),
            )
            for before, after in zip(widths[:-1], widths[1:], strict=True)
        ]
        self.trunk = nn.Sequential(*blocks)
        self.head = nn.Linear(widths[-1] * 16, len(VIEW_NAMES))

    def forward(self, images: Float[Tensor, "B 3 64 64"]) -> Float[Tensor, "B 3"]:
        """Logits of :data:`redream.cameras.VIEW_NAMES` for pictures in [0, 1]."""
        logits: Tensor = self.head(self.trunk(images * 2.0 - 1.0).flatten(1))
        return logits

    @classmethod
    def load(cls, path: Path) -> "ViewClassifier":
        """Loads saved weights, in evaluation mode."""
        model = cls()
        model.load_state_dict({k: v.float() for k, v in load_file(path).items()})
        return model.eval()


def is_clear(azimuth_deg: float) -> bool:
    """Whether an azimuth is clearly within one view."""
    folded = abs((azimuth_deg + 180.0) % 360.0 - 180.0)
    return min(abs(folded - 45.0), abs(folded - 135.0)) > AMBIGUOUS_DEG


def train_view_classifier(
    data: Dataset, folder: Path, num_steps: int, batch_size: int = 64, seed: int = 0
) -> ViewClassifier:
    """Trains on clear views, mirrored, shifted, blurred and noisy as generated ones may be.

    Args:
        data: Pictures of categories with a front.
        folder: Where the checkpoint and the curve live.
        num_steps: Steps.
        batch_size: Pictures a step.
        seed: Seed of initialisation and order.

    Returns:
        The averaged classifier.
    """
    device = pick_device()
    torch.manual_seed(seed)
    model = ViewClassifier().to(device)
    clear = torch.tensor([i for i, r in enumerate(data.records) if is_clear(r["azimuth_deg"])])
    labels = torch.tensor([VIEW_NAMES.index(view_of(r["azimuth_deg"])) for r in data.records])

    def step(index: int) -> dict[str, Tensor]:
        generator = key_generator("train-views", seed, index)
        chosen = clear[torch.randint(len(clear), (batch_size,), generator=generator)]
        images = pictures_to_tensor(data.pictures[chosen.numpy()], device) / 2.0 + 0.5
        logits = model(soften(images, generator))
        target = labels[chosen].to(device)
        loss = functional.cross_entropy(logits, target)
        return {"loss": loss, "accuracy": (logits.argmax(1) == target).float().mean()}

    ema = train(step, nn.ModuleDict({"view": model}), folder, num_steps, 2e-3)
    ema.module.load_state_dict(ema.shadow)
    return model.eval()


@torch.no_grad()
def accuracy(model: ViewClassifier, data: Dataset) -> float:
    """Share of the clear views that are named right."""
    device = next(model.parameters()).device
    hits, total = 0, 0
    for start in range(0, len(data.records), 256):
        records = data.records[start : start + 256]
        images = pictures_to_tensor(data.pictures[start : start + 256], device) / 2.0 + 0.5
        named = model(images).argmax(1).tolist()
        for index, record in zip(named, records, strict=True):
            if is_clear(record["azimuth_deg"]):
                hits += VIEW_NAMES[index] == view_of(record["azimuth_deg"])
                total += 1
    return hits / total


def main() -> None:
    """Command line of the training recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--work", type=Path, required=True, help="data, checkpoint and curve")
    parser.add_argument("--num_pictures", type=int, default=8_000)
    parser.add_argument("--num_steps", type=int, default=2_000)
    arguments = parser.parse_args()
    pairs = [pair for pair in all_pairs() if CATEGORIES[pair[1]].has_front]
    data = load_dataset(
        arguments.work / "pictures", "uniform", arguments.num_pictures, 11, pairs, clay_share=0.25
    )
    unseen = load_dataset(arguments.work / "unseen", "uniform", 2_000, 12, pairs, clay_share=0.25)
    model = train_view_classifier(data, arguments.work / "model", arguments.num_steps)
    share = accuracy(model, unseen)
    print(f"accuracy on unseen renders: {share:.4f}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    state = {key: value.half() for key, value in model.cpu().state_dict().items()}
    save_file(state, arguments.out, {"accuracy": f"{share:.4f}"})


if __name__ == "__main__":
    main()
