"""A generator as a retriever: a prompt becomes N meshes, kept in a folder and ranked."""

import csv
import hashlib
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from redream.assets import FolderStore, Store, load_mesh
from redream.assets.face_counts import stated_faces
from redream.assets.own import MAX_FACES
from redream.escaping import on_one_line
from redream.export.turntable import png_bytes
from redream.files import cache_folder, whole_file
from redream.locks import alone_in
from redream.metrics.prior_balance import sample_pictures
from redream.plain_data import as_json
from redream.priors import Prior
from redream.retrieval import Encoder
from redream.sources.base import AssetSource
from redream.sources.generator import Generator
from redream.sources.small import StoreRetriever
from redream.types import Asset, TriangleMesh

_UID = re.compile(r"([0-9a-f]{16})-\d+")


class GenerativeRetriever(AssetSource):
    """Generates assets in the place of finding some; then they are as retrieved ones are.

    A mesh is made once for a prompt, a seed and whatever the generator says that it follows from,
    and kept in a folder: a run that is taken up, exported or measured makes nothing again.

    Args:
        generator: Makes the meshes.
        encoder: Compares their pictures with the prompt, as an index's are: the retrieval CLIP.
        num_meshes: N; as many seeds are tried, and the best come first.
        seed: The first of the seeds.
        cache_dir: Where meshes are kept; ``generated`` in ``$REDREAM_CACHE`` by default.
        picture_prompt: What the run's prior paints for a generator that is shown a picture;
            ``{prompt}`` stands for the prompt. Where the run has ``data.image``, that is shown.
        guidance_scale: Classifier-free guidance of that picture.

    Raises:
        ValueError: If ``num_meshes`` is below 1, or ``picture_prompt`` does not show the prompt.
    """

    is_made = True

    def __init__(
        self,
        generator: Generator,
        encoder: Encoder,
        num_meshes: int = 3,
        seed: int = 0,
        cache_dir: str | Path | None = None,
        picture_prompt: str = "{prompt}",
        guidance_scale: float = 7.5,
    ) -> None:
        if num_meshes < 1:
            raise ValueError(f"num_meshes is {num_meshes}, and must be at least 1")
        if "{prompt}" not in picture_prompt:
            raise ValueError(f"picture_prompt is {picture_prompt!r}, and must have {{prompt}}")
        self.generator, self.encoder = generator, encoder
        self.num_meshes, self.seed = num_meshes, seed
        self.picture_prompt, self.guidance_scale = picture_prompt, guidance_scale
        folder = cache_folder() / "generated" if cache_dir is None else Path(cache_dir).expanduser()
        self.store: GeneratedMeshes = GeneratedMeshes(folder)
        self._ranking = StoreRetriever(self.store, encoder)
        self._prior: Prior | None = None
        self._picture: bytes | None = None
        self._is_allowed = True

    def paint_with(self, prior: Prior) -> None:
        """Gives it the run's prior, for generators that are shown a picture."""
        self._prior = prior

    def show(self, picture: bytes) -> None:
        """Gives it the user's picture: nothing is painted then."""
        self._picture = picture

    def restrict(self, licenses: Sequence[str]) -> None:
        """Makes nothing at all unless the generator's licence is among these."""
        licence = self.generator.license
        self._is_allowed = licence in licenses and licence != "unknown"

    def most(self) -> int:
        """How many meshes it makes of a prompt."""
        return self.num_meshes if self._is_allowed else 0

    def retrieve(self, prompt: str, k: int) -> list[Asset]:
        """Makes the N meshes, unless they are there, and gives the ``k`` best.

        Raises:
            ValueError: If the prompt is empty, ``k`` is above N, or a mesh cannot be made.
        """
        if not prompt.strip():
            raise ValueError("the prompt is empty: say what to generate")
        if not 1 <= k <= self.most():
            why = "" if self._is_allowed else f": its licence is {self.generator.license}"
            raise ValueError(
                f"asked for {k} assets, but {type(self.generator).__name__} makes "
                f"{self.most()} of a prompt{why or ' (num_meshes)'}"
            )
        folder = self.make(prompt)
        seeds = range(self.seed, self.seed + self.num_meshes)
        wanted = {f"{folder.name}-{seed}" for seed in seeds}
        licence = self.generator.license  # in full: what stands in brackets may forbid regions
        made = [
            replace(asset, license=licence)
            for asset in self.store.of(folder)
            if asset.uid in wanted
        ]
        return self._ranking.rank(prompt, made)[:k]

    def make(self, prompt: str) -> Path:
        """The folder of a prompt's meshes, which are made where they are missing."""
        folder = self.store.path / self._key(prompt)
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):
            for seed in range(self.seed, self.seed + self.num_meshes):
                path = folder / f"{folder.name}-{seed}.glb"
                if not path.is_file():
                    self._generate(prompt, seed, path)
            self._describe(prompt, folder)
        self.generator.rest()
        return folder

    def _generate(self, prompt: str, seed: int, path: Path) -> None:
        try:
            with whole_file(path) as temporary, tempfile.TemporaryDirectory() as beside:
                picture = None
                if self.generator.needs_picture:
                    picture = Path(beside) / "picture.png"
                    picture.write_bytes(self._picture or self._paint(prompt, seed))
                self.generator.generate(prompt, seed, temporary, picture)
                require_mesh(temporary)
        except (ValueError, OSError) as error:
            reason = on_one_line(str(error))
            raise ValueError(
                f"{type(self.generator).__name__} made no mesh of {prompt!r} with seed {seed}: "
                f"{reason}"
            ) from error

    def _paint(self, prompt: str, seed: int) -> bytes:
        """A picture of the prompt from the front, as PNG."""
        asked = self.picture_prompt.replace("{prompt}", prompt)
        pictures = sample_pictures(
            self._needed_prior, [asked], self.guidance_scale, seed, view="front"
        )
        return png_bytes(pictures[0].cpu())

    @property
    def _needed_prior(self) -> Prior:
        if self._prior is None:
            raise ValueError(
                "it is shown a picture, which a run's prior paints: use it in `redream fit`, set "
                "data.image to a picture of your own, or give a generator that reads the {prompt}"
            )
        return self._prior

    def _key(self, prompt: str) -> str:
        """Sixteen hexadecimal digits of all that a prompt's meshes follow from."""
        kind = type(self.generator)
        follows: dict[str, object] = {
            "class": f"{kind.__module__}.{kind.__qualname__}",
            "generator": self.generator.key(),
            "prompt": prompt,
        }
        if self.generator.needs_picture and self._picture is not None:
            follows["picture"] = hashlib.sha256(self._picture).hexdigest()
        elif self.generator.needs_picture:
            follows["picture"] = [
                self.picture_prompt, self.guidance_scale, digest_of(self._needed_prior),
            ]  # fmt: skip
        text = json.dumps(as_json(follows), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _describe(self, prompt: str, folder: Path) -> None:
        """Writes beside the meshes what they show and whose they are, where that is not said."""
        uids = sorted(path.stem for path in folder.glob("[!.]*.glb"))
        facts = {
            "license": self.generator.license,
            "author": self.generator.author,
            "source": f"generated for {on_one_line(prompt)!r}",
        }
        text = json.dumps({uid: facts for uid in uids}, indent=1)
        path = folder / "annotations.json"
        if path.is_file() and path.read_text("utf-8") == text:
            return
        with whole_file(folder / "captions.csv") as temporary:
            with temporary.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows((uid, prompt) for uid in uids)
        with whole_file(path) as temporary:
            temporary.write_text(text, "utf-8")


class GeneratedMeshes(Store):
    """All meshes that were generated into one place, a :class:`FolderStore` for each prompt.

    Args:
        path: The folder of folders; it may not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def assets(self) -> list[Asset]:
        """Lists all that was made, prompt by prompt."""
        folders = sorted(path.parent for path in self.path.glob("*/annotations.json"))
        return [asset for folder in folders for asset in self.of(folder)]

    def of(self, folder: Path) -> list[Asset]:
        """The meshes of one folder."""
        return [replace(each, origin="generated") for each in FolderStore(folder).assets()]

    def load(self, uid: str) -> TriangleMesh:
        """Loads a mesh, normalised to radius 0.9."""
        match = _UID.fullmatch(uid)
        if match is None or not (self.path / match[1]).is_dir():
            raise ValueError(f"{self.path} has no generated mesh {uid!r}: generate it again")
        return FolderStore(self.path / match[1]).load(uid)

    def reference(self) -> dict[str, object]:
        """How to make this store again."""
        arguments = {"path": str(self.path.resolve())}
        return {"class_path": "redream.sources.generative.GeneratedMeshes", "init_args": arguments}


def require_mesh(path: Path) -> None:
    """Refuses a file that is no mesh, before it is kept.

    Raises:
        ValueError: If it is missing, cannot be read, or has too many faces.
    """
    if not path.is_file() or path.is_symlink():
        raise ValueError("it left no GLB file")
    num_faces = stated_faces(path)
    if num_faces > MAX_FACES:
        raise ValueError(f"its mesh has {num_faces:,} faces, and {MAX_FACES:,} are the most")
    try:
        load_mesh(path, strict=True)
    except ValueError as error:
        raise ValueError(f"what it left is no mesh: {str(error).partition(': ')[2]}") from error


def digest_of(prior: Prior) -> str:
    """What tells a frozen prior from another: a digest of its weights, adapters left out."""
    digest = hashlib.sha256()
    for name, tensor in sorted([*prior.named_parameters(), *prior.named_buffers()]):
        if tensor.requires_grad:
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(plain.numpy().tobytes())
    return digest.hexdigest()[:16]
