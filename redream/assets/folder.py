"""Any folder of 3D files as a store."""

import warnings
from pathlib import Path
from typing import Any

from redream.assets.annotations import asset_record, file_facts
from redream.assets.base import Store
from redream.assets.captions import name_some, read_captions
from redream.assets.file_names import named_files, spoken_names
from redream.assets.loading import SUFFIXES, UpAxis, load_mesh
from redream.plain_data import read_json
from redream.types import Asset, TriangleMesh


class FolderStore(Store):
    """A folder of .glb, .gltf, .obj or .ply files, searched with its subfolders.

    Files and folders whose name begins with a dot are left out.

    An asset's uid is its file's stem. Where several files have one stem, as ShapeNet, Google
    Scanned Objects and Khronos's samples have them (``chair_1/meshes/model.obj``), each has its
    path in the folder instead, without the suffix: ``chair_1/meshes/model``; and where several have
    that one, too, with its suffix. So a uid changes only when a file of the same name is added.

    An asset's licence, author, source, categories and counts come from
    ``annotations.json`` in the folder (``{uid: {"license": ..., "author": ..., "source": ...,
    "categories": [...], "num_faces": ..., "num_animations": ...}}``, or Objaverse's annotations),
    else from the GLB's own ``asset.extras`` and header. An asset without a caption is called by
    its file's name, or by what its path has that others of its name have not.

    Args:
        path: The folder.
        captions: Captions as Cap3D has them, a CSV without a header of ``uid,caption``; by default
            ``captions.csv`` in the folder where there is one.
        up: Which axis of the files points up: ``z`` for those of Blender's PLY export, Gazebo or
            Google Scanned Objects; the front then faces -Y.

    Raises:
        FileNotFoundError: If the folder or the captions are missing.
        ValueError: If the folder has no 3D file, or ``up`` is wrong.
    """

    def __init__(
        self, path: str | Path, captions: str | Path | None = None, up: UpAxis = "y"
    ) -> None:
        if up not in ("y", "z"):
            raise ValueError(f"up must be y or z, not {up!r}")
        self.path = Path(path).expanduser()
        if not self.path.is_dir():
            raise FileNotFoundError(f"there is no asset folder at {self.path}")
        self._captions_path = None if captions is None else Path(captions).expanduser().resolve()
        if self._captions_path is not None and not self._captions_path.is_file():
            raise FileNotFoundError(f"there is no captions file at {captions}")
        self.up = up
        self._files = named_files(self.path)
        if not self._files:
            raise ValueError(f"{self.path} has no 3D file: put {', '.join(SUFFIXES)} files into it")

    def assets(self) -> list[Asset]:
        """Lists the folder's assets, ordered by path."""
        captions, annotations = self._captions(), self._annotations()
        spoken = spoken_names(self._files)
        return [
            asset_record(
                uid,
                captions.get(uid) or spoken[uid],
                str(file.relative_to(self.path)),
                annotations.get(uid, {}),
                file_facts(file),
            )
            for uid, file in self._files.items()
        ]

    def load(self, uid: str) -> TriangleMesh:
        """Loads an asset, normalised to radius 0.9."""
        return load_mesh(self.file(uid), up=self.up)

    def file(self, uid: str) -> Path:
        """The file of an asset.

        Raises:
            ValueError: If the uid is unknown.
        """
        if uid not in self._files:
            raise ValueError(f"{self.path} has no asset {uid!r}: rebuild the index that named it")
        return self._files[uid]

    def reference(self) -> dict[str, object]:
        """How to make this store again, with absolute paths."""
        arguments = {"path": str(self.path.resolve())}
        if self._captions_path is not None:
            arguments["captions"] = str(self._captions_path)
        if self.up != "y":
            arguments["up"] = self.up
        return {"class_path": "redream.assets.FolderStore", "init_args": arguments}

    def _captions(self) -> dict[str, str]:
        path = self._captions_path or self.path / "captions.csv"
        if self._captions_path is None and not path.is_file():
            return {}
        captions = read_captions(path, self._files)
        without = [uid for uid in self._files if uid not in captions]
        if without:
            warnings.warn(
                f"{path} has no caption for {len(without)} of {len(self._files)} assets, "
                f"called by their files' names: {name_some(without)}",
                stacklevel=3,
            )
        return captions

    def _annotations(self) -> dict[str, dict[str, Any]]:
        path = self.path / "annotations.json"
        if not path.is_file():
            return {}
        try:
            annotations = read_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON ({error}): mend or remove it") from error
        if not isinstance(annotations, dict):
            raise ValueError(f"{path} must be an object of uid to annotation")
        for uid, annotation in annotations.items():
            if not isinstance(annotation, dict):
                raise ValueError(f"{path} must have an object for {uid}, as in {{'license': 'by'}}")
        return annotations
