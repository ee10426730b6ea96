"""The data of a run, as the paper's Fig. 2 draws it: retrieve, orient, render."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from lightning import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset

from redream.assets import (
    AssetRenderer,
    Orientation,
    OwnFiles,
    ReferenceRenderer,
    Store,
    align_front,
)
from redream.assets.orientation import FrontAxis
from redream.image_prompts import (
    ImageCamera,
    paint_image_prompt,
    png_of,
    read_image_prompt,
    require_rembg,
    save_picture,
)
from redream.indexing.on_demand import supply_pictures
from redream.priors import Prior
from redream.retrieval import Encoder, Retriever
from redream.retrieval.chosen import retrieve_chosen
from redream.retrieval.encoder import let_encoders_rest
from redream.retrieval.likeness import leave_out_unlike
from redream.sources.base import AssetSource, store_of
from redream.training.telling import tell
from redream.types import Asset, Cameras, ImagePrompt, References, TriangleMesh, Views


class RetrievalDataModule(LightningDataModule):
    """Retrieves the N assets nearest to the prompt, turns them to face front, renders them.

    Or takes the user's own files instead (App. F), from whose shapes and colours the particles
    then start: particle i from file i mod N.

    Args:
        prompt: What to make (c in the paper).
        retriever: Finds the assets.
        store: Loads them.
        encoder: A CLIP that finds the assets' fronts (App. B); None leaves them as they are.
        num_assets: N.
        least_likeness: What is retrieved and less like the prompt is left out while anything is as
            like it: 1 is as like as assets are like their own captions, 0 no more than any two
            are. 0.25, set on the embedded world's tuning prompts; nothing is left out of what is
            chosen, or where the source knows no likeness.
        references: Renders the views of Eq. 5; 100 an asset by default.
        front_axis: What tells an asset's sides from its front and back: ``side`` prompts, or its
            ``mirror`` symmetry; or ``highest``, the paper's rule: the front is where it is most
            like the front prompt.
        assets: One 3D file or several to take in the place of retrieved assets; no retriever and
            no store are needed then.
        chosen: Uids, as ``redream retrieve`` prints them, of the retrieved assets to take in the
            place of the nearest ``num_assets``. Beside ``assets`` they are taken, too, and your own
            files are then assets among others: particles do not start from them.
        captions: What these files show, a caption for each; by default the prompt.
        orient: Whether the encoder turns the assets; False where they face +Z already.
        up: Which axis of your own files points up: ``z`` for those of Blender's PLY export and of
            other tools whose +Z does.
        image: A picture of the object, for priors that are told one beside the prompt, and for
            generators that are shown one. Without it a prior of the run that reads prompts paints
            one, where another needs it.
        image_mask: A picture that is bright where the object is; by default the picture's own
            transparency, or what rembg finds (``pip install 'redream[image]'``).
        image_depth: A picture that is brighter the farther away a pixel is, of any scale, for the
            order of depths at the picture's view.
        image_camera: Where the picture was taken from.
        licenses: Licence codes, such as ``[cc0, by]``: nothing else is retrieved or generated,
            whatever the source. Your own files are yours.

    Raises:
        FileNotFoundError: If one of the files is missing.
        ValueError: If the prompt is empty, there is neither a file nor a retriever with its store,
            files and captions do not match, or the retriever cannot choose by licence.
    """

    def __init__(
        self,
        prompt: str,
        retriever: Retriever | None = None,
        store: Store | None = None,
        encoder: Encoder | None = None,
        num_assets: int = 3,
        least_likeness: float = 0.25,
        references: ReferenceRenderer | None = None,
        front_axis: FrontAxis = "side",
        assets: list[str] | str | None = None,
        captions: list[str | int | float | bool] | str | None = None,
        orient: bool = True,
        up: Literal["y", "z"] = "y",
        image: str | None = None,
        image_mask: str | None = None,
        image_depth: str | None = None,
        image_camera: ImageCamera = ImageCamera(),  # noqa: B008  (frozen)
        licenses: list[str] | None = None,
        chosen: list[str] | None = None,
    ) -> None:
        super().__init__()
        if not prompt.strip():
            raise ValueError(
                'the prompt is empty: say what to make, as in --prompt "a striped dog"'
            )
        self.prompt = prompt
        self.retriever, self.encoder = retriever, encoder
        self.own = own_files(assets, captions, prompt, up)
        self.chosen = chosen or []
        brought = store if retriever is None else store_of(retriever, store)
        self.store = brought if self.chosen else self.own or brought
        self.retrieves = self.own is None or bool(self.chosen)
        if self.store is None or (self.retrieves and retriever is None):
            raise ValueError(
                "there is nowhere to take assets from: set data.retriever and data.store, or "
                "data.assets to a 3D file"
            )
        self.image: ImagePrompt | None = None
        self.image_camera = image_camera
        if image is not None:
            self.image = read_image_prompt(image, image_camera, image_mask, image_depth)
            if isinstance(retriever, AssetSource):
                retriever.show(png_of(self.image))
        elif image_mask is not None or image_depth is not None:
            raise ValueError("data.image_mask and data.image_depth belong to data.image: set it")
        if licenses is not None and retriever is not None and self.retrieves:
            retriever.restrict(licenses)
        self.num_assets, self.least_likeness = num_assets, least_likeness
        self.reference_renderer = references or ReferenceRenderer()
        self.front_axis: FrontAxis = front_axis
        self.orient = orient
        self.assets: list[Asset] = []
        self.orientations: list[Orientation] = []
        self.meshes: list[TriangleMesh] = []
        self.starts: list[TriangleMesh] = []
        self._renderers: list[AssetRenderer] = []

    def prepare_data(self) -> None:
        """Retrieves in a machine's first process, so that the others find all in the caches."""
        self._retrieve()

    def setup(self, stage: str) -> None:
        """Fig. 2, left: once a process, whatever the stage; the references once in all of them."""
        if self._renderers:
            return
        self._retrieve()
        if stage == "fit":
            self._keep_image()
        captions = [asset.caption for asset in self.assets]
        is_first = self.trainer is None or self.trainer.is_global_zero
        views = self._render_references(captions) if is_first else None
        if self.trainer is not None:
            views = self.trainer.strategy.broadcast(views)
        assert views is not None  # the first process has sent them
        self.references: References = views
        self._renderers = [AssetRenderer(mesh) for mesh in self.meshes]
        let_encoders_rest()

    def _render_references(self, captions: Sequence[str]) -> References:
        """The views of all assets, in sets where the module's prior looks at sets."""
        module = None if self.trainer is None else self.trainer.lightning_module
        together = int(getattr(module, "views_per_set", 1))
        where = getattr(module, "set_azimuths_deg", None)
        return self.reference_renderer.render(self.meshes, captions, together, where)

    def _retrieve(self) -> None:
        if self.assets:
            return
        found = self.find()
        self.meshes = [self._orient(store.load(asset.uid), asset) for store, asset in found]
        self.starts = [] if self.retrieves else self.meshes
        self.assets = [store.complete(asset) for store, asset in found]

    def find(self) -> list[tuple[Store, Asset]]:
        """The assets of the run, each with the store that loads it: your own, then retrieved ones.

        Raises:
            ValueError: If there are not as many, or one that was chosen is not found.
        """
        own = [] if self.own is None else [(self.own, asset) for asset in self.own.assets()]
        if not self.retrieves:
            return list(own)
        assert self.retriever is not None and self.store is not None
        supply_pictures(self.retriever, self.store)
        self._let_paint(self.retriever)
        if self.chosen:
            assets = retrieve_chosen(self.retriever, self.prompt, self.chosen, self.num_assets)
        else:
            found = self.retriever.retrieve(self.prompt, self.num_assets)
            assets, line = leave_out_unlike(self.retriever, found, self.least_likeness)
            if line:
                tell(line)
        return [*own, *((self.store, asset) for asset in assets)]

    def _let_paint(self, retriever: Retriever) -> None:
        """Hands the run's prior to a source whose generator is shown a picture."""
        if self.trainer is None or not isinstance(retriever, AssetSource):
            return
        prior = getattr(self.trainer.lightning_module, "prior", None)
        if isinstance(prior, Prior):
            retriever.paint_with(prior.to(self.trainer.strategy.root_device))

    def _orient(self, mesh: TriangleMesh, asset: Asset) -> TriangleMesh:
        if self.encoder is None or not self.orient:
            return mesh
        turned, orientation = align_front(
            mesh,
            asset.caption,
            self.encoder.encode_images,
            self.encoder.encode_texts,
            size=self.encoder.image_size,
            axis=self.front_axis,
        )
        self.orientations.append(orientation)
        if asset.origin == "own" and orientation.has_front:
            tell(
                f"{asset.caption}: its front was found at {orientation.yaw_deg:.0f} degrees and "
                "turned to 0; --data.orient false leaves it"
            )
        return turned

    def require_cutter(self) -> None:
        """Makes sure that an object can be cut out of a picture that is painted."""
        require_rembg()

    def paint_image(self, prior: Prior) -> ImagePrompt:
        """Has a prior that reads prompts make the picture; the run's folder keeps it."""
        self.image = paint_image_prompt(prior, self.prompt, self.image_camera)
        if (path := self._keep_image()) is not None:
            tell(f"no data.image: {type(prior).__name__} painted one, {path}")
        return self.image

    def _keep_image(self) -> Path | None:
        """Writes what the object is to look like into the run's folder."""
        if self.image is None or self.trainer is None or not self.trainer.is_global_zero:
            return None
        path = Path(self.trainer.default_root_dir) / "image_prompt.png"
        save_picture(self.image, path)
        return path

    def render_asset(self, index: int, cameras: Cameras, height: int, width: int) -> Views:
        """Renders asset ``index`` (0 is the nearest), facing front, on the cameras' device."""
        device = cameras.c2w.device
        if self._renderers[index].device != device:
            self._renderers[index] = AssetRenderer(self.meshes[index], device=device)
        return self._renderers[index].render(cameras, height, width)

    def train_dataloader(self) -> "DataLoader[int]":
        """An endless stream of nothing: a step draws what it needs, keyed by its number."""
        return DataLoader(_Ticks(), batch_size=None)

    def val_dataloader(self) -> "DataLoader[int]":
        """One batch: previews render the particles themselves."""
        return DataLoader(_Ticks(1), batch_size=None)

    test_dataloader = val_dataloader
    predict_dataloader = val_dataloader


class _Ticks(IterableDataset[int]):
    def __init__(self, num: int | None = None) -> None:
        self.num = num

    def __iter__(self) -> Iterator[int]:
        return itertools.count() if self.num is None else iter(range(self.num))


def own_files(
    assets: list[str] | str | None,
    captions: Sequence[str | float] | str | None,
    prompt: str,
    up: Literal["y", "z"] = "y",
) -> OwnFiles | None:
    """The user's own files with their captions; None where there are none.

    Raises:
        FileNotFoundError: If one is missing.
        ValueError: If files and captions do not match.
    """
    if assets is None:
        if captions is not None:
            raise ValueError("data.captions describes your own files: set data.assets to them")
        return None
    files = [assets] if isinstance(assets, str) else assets
    if captions is None:
        found = OwnFiles(files, [prompt] * len(files), up)
        tell(f"data.assets without data.captions: taken to show the prompt, {prompt!r}")
        return found
    return OwnFiles(files, _listed(captions), up)


def _listed(captions: Sequence[str | float] | str) -> list[str]:
    """Captions as texts; YAML takes some of them for numbers.

    Raises:
        ValueError: If it takes one for true or false, as ``yes`` and ``off``.
    """
    listed = [captions] if isinstance(captions, str) else list(captions)
    for caption in listed:
        if isinstance(caption, bool):
            raise ValueError(
                f"data.captions has a word that YAML reads as {str(caption).lower()}: "
                "put it between quotes"
            )
    return [str(caption) for caption in listed]
