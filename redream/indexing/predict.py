"""A build in Lightning's predict loop: on every device, process and node that it is given."""

from collections.abc import Iterator, Sequence

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch.utils.data import DataLoader, DistributedSampler

from redream.indexing.build import IndexBuild, ShownAsset
from redream.indexing.progress import AssetProgress
from redream.indexing.shards import Shard
from redream.retrieval import EmbeddingIndex


class EmbeddingModule(LightningModule):
    """Embeds batches of assets on the device that Lightning gives it.

    Args:
        build: What is built.
        num_workers: Processes that make pictures ahead, for each device.
    """

    def __init__(self, build: IndexBuild, num_workers: int = 0) -> None:
        super().__init__()
        self.build, self.num_workers = build, num_workers
        self.allow_zero_length_dataloader_with_multiple_devices = True  # few assets, many devices

    def predict_dataloader(self) -> "DataLoader[list[ShownAsset]]":
        """This process's share of the pending assets."""
        num = len(self.build.pending)
        share = Share(num, self.trainer.global_rank, self.trainer.world_size)
        return self.build.batches(share, self.num_workers)

    def transfer_batch_to_device(
        self, batch: list[ShownAsset], device: torch.device, dataloader_idx: int
    ) -> list[ShownAsset]:
        """Leaves the pictures to the encoder, which moves as many as it encodes at once."""
        return batch

    def on_predict_start(self) -> None:
        """Moves the encoder to this process's device."""
        self.build.encoder.to(self.device)

    def predict_step(self, batch: Sequence[ShownAsset], batch_idx: int) -> Shard:
        """One batch, one shard."""
        return self.build.embed(batch)


class Share(DistributedSampler[int]):
    """Every ``world_size``-th asset, from ``rank`` on; none is repeated to even out the shares."""

    def __init__(self, num: int, rank: int, world_size: int) -> None:
        self._rows = range(rank, num, world_size)

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class ShardWriter(BasePredictionWriter):
    """Keeps each shard as soon as it is embedded, and shows how far all processes are."""

    def __init__(self, build: IndexBuild) -> None:
        super().__init__("batch")
        self.build = build
        self._progress: AssetProgress | None = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Opens the bar, in the first process alone."""
        if trainer.is_global_zero:
            total = len(self.build.assets)
            self._progress = AssetProgress(total, total - len(self.build.pending))
            self._progress.__enter__()

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Shard,
        batch_indices: Sequence[int] | None,
        batch: Sequence[ShownAsset],
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Writes a shard."""
        self.build.keep(prediction)
        if self._progress is not None:  # the other processes are about as far
            self._progress.advance(len(batch) * trainer.world_size)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Waits for the other processes; one without a share comes here at once."""
        trainer.strategy.barrier("every shard is written")
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Closes the bar, so that the error stands below it."""
        self._close()

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None


def run_build(build: IndexBuild, trainer: Trainer, num_workers: int = 0) -> EmbeddingIndex | None:
    """Embeds what is pending in the trainer's processes, then makes the index in the first.

    Args:
        build: What is built.
        trainer: Lightning's trainer; the nodes of several must share the folder.
        num_workers: Processes that make pictures ahead, for each device.

    Returns:
        The index; None in the other processes.
    """
    if build.pending:
        trainer.callbacks.append(ShardWriter(build))  # type: ignore[attr-defined]
        trainer.predict(EmbeddingModule(build, num_workers), return_predictions=False)
    return build.assemble() if trainer.is_global_zero else None
