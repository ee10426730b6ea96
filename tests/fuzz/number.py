"""A module of one number and data of nothing, by which whole commands take milliseconds."""

import torch
from lightning import LightningDataModule, LightningModule

from redream.training import checkpoints


class Number(LightningModule):
    """One number that a step changes."""

    stage = "training"  # with the losses, what callbacks see

    def __init__(self, num_particles: int = 2, rate: float = 0.1) -> None:
        super().__init__()
        self.number = torch.nn.Parameter(torch.ones(num_particles))
        self.rate = rate
        self.losses = {}

    def training_step(self, batch):
        return (self.number * batch.sum()).sum()

    def validation_step(self, batch):
        pass

    test_step = predict_step = validation_step

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.rate)

    def on_train_end(self):
        checkpoints.save_last_step(self.trainer)

    def on_save_checkpoint(self, checkpoint):
        checkpoints.mark_random_keys(checkpoint)
        checkpoints.mark_origin(checkpoint, self.trainer)

    def on_load_checkpoint(self, checkpoint):
        checkpoints.require_same_parts(checkpoint, self)
        checkpoints.require_origin_of(checkpoint, self.trainer)
        checkpoints.warn_of_other_random_keys(checkpoint)


class Nothing(LightningDataModule):
    """Eight ones."""

    def __init__(self, prompt: str) -> None:
        super().__init__()
        self.prompt = prompt

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(8, 1), batch_size=1)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader
