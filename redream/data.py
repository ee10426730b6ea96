"""The data of a run, as the paper's Fig. 2 draws it: retrieve, orient, render."""

from collections.abc import Iterator
from typing import Literal

from lightning import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset

from redream.assets import AssetRenderer, Orientation, ReferenceRenderer, Store, align_front
from redream.indexing.on_demand import supply_pictures
from redream.retrieval import Encoder, Retriever
from redream.types import Asset, Batch, Cameras, References, TriangleMesh, Views


class RetrievalDataModule(LightningDataModule):
    """Retrieves the N assets nearest to the prompt, turns them to face front, renders them.

    Args:
        prompt: What to make (c in the paper).
        retriever: Finds the assets.
        store: Loads them.
        encoder: A CLIP that finds the assets' fronts (App. B); None leaves them as they are.
        num_assets: N.
        references: Renders the views of Eq. 5; 100 an asset by default.
        front_axis: What tells an asset's sides from its front and back: ``side`` prompts, or its
            ``mirror`` symmetry.
    """

    def __init__(
        self,
        prompt: str,
        retriever: Retriever,
        store: Store,
        encoder: Encoder | None = None,
        num_assets: int = 3,
        references: ReferenceRenderer | None = None,
        front_axis: Literal["side", "mirror"] = "side",
    ) -> None:
        super().__init__()
        if not prompt.strip():
            raise ValueError(
                'the prompt is empty: say what to make, as in --prompt "a striped dog"'
            )
        self.prompt = prompt
        self.retriever, self.store, self.encoder = retriever, store, encoder
        self.num_assets = num_assets
        self.reference_renderer = references or ReferenceRenderer()
        self.front_axis: Literal["side", "mirror"] = front_axis
        self.assets: list[Asset] = []
        self.orientations: list[Orientation] = []
        self._meshes: list[TriangleMesh] = []
        self._renderers: list[AssetRenderer] = []

    def prepare_data(self) -> None:
        """Retrieves in a machine's first process, so that the others find all in the caches."""
        self._retrieve()

    def setup(self, stage: str) -> None:
        """Fig. 2, left: once a process, whatever the stage; the references once in all of them."""
        if self._renderers:
            return
        self._retrieve()
        captions = [asset.caption for asset in self.assets]
        is_first = self.trainer is None or self.trainer.is_global_zero
        views = self.reference_renderer.render(self._meshes, captions) if is_first else None
        if self.trainer is not None:
            views = self.trainer.strategy.broadcast(views)
        assert views is not None  # the first process has sent them
        self.references: References = views
        self._renderers = [AssetRenderer(mesh) for mesh in self._meshes]

    def _retrieve(self) -> None:
        if self.assets:
            return
        supply_pictures(self.retriever, self.store)
        assets = self.retriever.retrieve(self.prompt, self.num_assets)
        self._meshes = [self._orient(self.store.load(asset.uid), asset) for asset in assets]
        self.assets = [self.store.complete(asset) for asset in assets]

    def _orient(self, mesh: TriangleMesh, asset: Asset) -> TriangleMesh:
        if self.encoder is None:
            return mesh
        turned, orientation = align_front(
            mesh,
            asset.caption,
            self.encoder.encode_images,
            self.encoder.encode_texts,
            axis=self.front_axis,
        )
        self.orientations.append(orientation)
        return turned

    def render_asset(self, index: int, cameras: Cameras, height: int, width: int) -> Views:
        """Renders asset ``index`` (0 is the nearest), facing front, from any cameras."""
        device = cameras.c2w.device
        views = self._renderers[index].render(cameras.to("cpu"), height, width)
        rgb, opacity, depth, normal = (part.to(device) for part in views[:4])
        return Views(rgb, opacity, depth, normal, penalties={})

    def train_dataloader(self) -> "DataLoader[Batch]":
        """An endless stream of the prompt; the module keys its random numbers by the step."""
        return DataLoader(_Prompts(self.prompt), batch_size=None)

    def val_dataloader(self) -> "DataLoader[Batch]":
        """One batch: previews render the particles themselves."""
        return DataLoader(_Prompts(self.prompt, 1), batch_size=None)

    test_dataloader = val_dataloader
    predict_dataloader = val_dataloader


class _Prompts(IterableDataset[Batch]):
    def __init__(self, prompt: str, num: int | None = None) -> None:
        self.prompt, self.num = prompt, num

    def __iter__(self) -> Iterator[Batch]:
        step = 0
        while self.num is None or step < self.num:
            yield Batch(step, self.prompt)
            step += 1
