"""What is fuzzed: for each kind of input, good ones, how they are spoiled, and who reads them."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from mutations import spoil_bytes, spoil_glb, spoil_text, spoil_values

from redream.mini.prepare import WEIGHTS

REPOSITORY = Path(__file__).parents[2]
OBJAVERSE = REPOSITORY.parent / "shared" / "objaverse"
_LARGEST = 400_000  # bytes of a 3D file to start from


class Target:
    """One kind of input.

    Args:
        work: A folder for the good inputs; it may be shared by processes once it is made.
    """

    share = 1
    """Of so many inputs in all, how many are of this kind."""

    def __init__(self, work: Path) -> None:
        self.work = work

    def spoil(self, chance: random.Random, folder: Path) -> None:
        """Writes a spoilt input into an empty folder."""
        raise NotImplementedError

    def read(self, folder: Path) -> None:
        """Reads it as ReDream does; ValueError and OSError refuse it."""
        raise NotImplementedError


class Meshes(Target):
    """GLB, glTF, OBJ and PLY files."""

    share = 12

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.files = [
            path for path in sorted(OBJAVERSE.rglob("*.glb")) if path.stat().st_size < _LARGEST
        ]
        if not self.files:
            self.files = sorted(_library(work / "library").rglob("*.glb"))
        self.others = _other_formats(work / "formats")

    def spoil(self, chance: random.Random, folder: Path) -> None:
        if chance.random() < 0.15:
            source = chance.choice(self.others)
            spoilt = spoil_bytes(source.read_bytes(), chance)
        else:
            source = chance.choice(self.files)
            spoilt = spoil_glb(source.read_bytes(), chance)
        (folder / f"input{source.suffix}").write_bytes(spoilt)

    def read(self, folder: Path) -> None:
        from redream.assets import FolderStore, load_mesh

        (path,) = folder.iterdir()
        FolderStore(folder).assets()
        load_mesh(path)


class Configs(Target):
    """YAML for the four verbs."""

    share = 2

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        from lightning import Trainer

        from redream.data import RetrievalDataModule
        from redream.method.module import ReDream
        from redream.tools.parser import Parser, prepare_parser

        self.texts = [
            path.read_text("utf-8") for path in sorted((REPOSITORY / "configs").rglob("*.yaml"))
        ]
        prepare_parser({"trainer": Trainer, "model": ReDream, "data": RetrievalDataModule})
        self.parser = Parser()
        self.parser.add_argument("--config", action="config")
        self.parser.add_argument("--prompt", type=str, default="")
        self.parser.add_lightning_class_args(Trainer, "trainer")
        self.parser.add_lightning_class_args(ReDream, "model")
        self.parser.add_lightning_class_args(RetrievalDataModule, "data")
        for name in ("seed_everything", "ckpt_path"):
            self.parser.add_argument(f"--{name}")
        self.parser.link_arguments("prompt", "data.prompt")

    def spoil(self, chance: random.Random, folder: Path) -> None:
        text = chance.choice(self.texts)
        if chance.random() < 0.6:
            spoilt = yaml.safe_dump(spoil_values(yaml.safe_load(text), chance)).encode()
        else:
            spoilt = spoil_bytes(text.encode(), chance)
        (folder / "input.yaml").write_bytes(spoilt)

    def read(self, folder: Path) -> None:
        whole = ["--config", str(REPOSITORY / "configs" / "default.yaml")]  # some are parts
        self.parser.parse_args([*whole, "--config", str(folder / "input.yaml")])


class Indices(Target):
    """Index folders, searched with the embedded encoder."""

    share = 3

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        from redream.retrieval import Encoder

        self.index = _index(work)
        self.encoder = Encoder(str(WEIGHTS / "retrieval_clip"), device="cpu")

    def spoil(self, chance: random.Random, folder: Path) -> None:
        shutil.copytree(self.index, folder, dirs_exist_ok=True)
        path = folder / chance.choice(
            ("manifest.json", "manifest.json", "assets.parquet", "text.npy", "image.npy")
        )
        if path.suffix == ".json" and chance.random() < 0.8:
            path.write_text(json.dumps(spoil_values(json.loads(path.read_text()), chance)))
            return
        path.write_bytes(spoil_bytes(path.read_bytes(), chance))
        if path.suffix != ".json" and chance.random() < 0.7:  # a manifest that agrees
            manifest = json.loads((folder / "manifest.json").read_text())
            manifest["files"][path.name]["bytes"] = path.stat().st_size
            (folder / "manifest.json").write_text(json.dumps(manifest))

    def read(self, folder: Path) -> None:
        from redream.retrieval import EmbeddingIndex, Encoder, ExactRetriever
        from redream.retrieval.verifying import verify_index
        from redream.tools.retrieve import as_json, as_text, open_store

        Encoder(**EmbeddingIndex.open(folder).encoder)
        assets = ExactRetriever(index=folder, encoder=self.encoder).retrieve("a striped dog", 3)
        as_json(assets), as_text(assets)
        index = EmbeddingIndex.open(folder)
        open_store(index)
        try:
            verify_index(index)
        except ValueError as error:  # hardly a change escapes its hashes; what was read, was read
            assert len(str(error).splitlines()) == 1


class Checkpoints(Target):
    """A run's checkpoint and the config beside it."""

    share = 2

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.run = _run(work / "run")

    def spoil(self, chance: random.Random, folder: Path) -> None:
        shutil.copytree(self.run, folder, dirs_exist_ok=True)
        path = folder / chance.choice(("last.ckpt", "last.ckpt", "config.yaml"))
        path.write_bytes(spoil_bytes(path.read_bytes(), chance))

    def read(self, folder: Path) -> None:
        from redream.representations.checkpoint import load_particle

        load_particle(folder / "last.ckpt", 0)


class Captions(Target):
    """CSV files of captions, as Cap3D has them."""

    share = 1

    def spoil(self, chance: random.Random, folder: Path) -> None:
        lines = [
            f'{number:032x},"a {word}, small"' for number, word in enumerate("dog cat".split())
        ]
        text = spoil_text("\n".join(lines * chance.choice((1, 20))), chance)
        data = text.encode("utf-8", "surrogatepass")
        if chance.random() < 0.4:
            data = spoil_bytes(data or b"a,b", chance)
        (folder / "input.csv").write_bytes(data)

    def read(self, folder: Path) -> None:
        from redream.assets.captions import read_captions

        read_captions(folder / "input.csv", {f"{0:032x}"})
        read_captions(folder / "input.csv")


class Prompts(Target):
    """Prompts, retrieved with and encoded."""

    share = 1

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        from redream.priors import StableDiffusionPrior
        from redream.retrieval import ExactRetriever

        self.retriever = ExactRetriever(index=_index(work))
        self.prior = StableDiffusionPrior(str(WEIGHTS / "prior"))

    def spoil(self, chance: random.Random, folder: Path) -> None:
        text = spoil_text(chance.choice(("a golden elephant", "dog", "a red\ncar")), chance)
        (folder / "input.txt").write_bytes(text.encode("utf-8", "surrogatepass"))

    def read(self, folder: Path) -> None:
        prompt = (folder / "input.txt").read_bytes().decode("utf-8", "surrogatepass")
        self.retriever.retrieve(prompt, 2)
        embedding = self.prior.encode_prompts([prompt])
        assert embedding.isfinite().all()


TARGETS: dict[str, Callable[[Path], Target]] = {
    "captions": Captions,
    "prompt": Prompts,
    "checkpoint": Checkpoints,
    "index": Indices,
    "config": Configs,
    "mesh": Meshes,
}


def _library(folder: Path) -> Path:
    """A few assets of the embedded library."""
    if not folder.is_dir():
        from redream.mini.library import write_library

        write_library(folder, per_category=1)
    return folder


def _other_formats(folder: Path) -> list[Path]:
    import trimesh

    if not folder.is_dir():
        folder.mkdir(parents=True)
        box = trimesh.creation.box()
        for name in ("plain.obj", "binary.ply"):
            box.export(folder / name)
        (folder / "ascii.ply").write_bytes(trimesh.exchange.ply.export_ply(box, encoding="ascii"))
        scene = trimesh.exchange.gltf.export_gltf(trimesh.Scene(box), embed_buffers=True)
        (folder / "inline.gltf").write_bytes(scene["model.gltf"])
    return sorted(folder.iterdir())


def _index(work: Path) -> Path:
    """A small index of the embedded encoder, which knows its store wherever it is copied."""
    folder = work / "indices" / "index"
    if not folder.is_dir():
        from redream.retrieval import Encoder
        from redream.retrieval.writing import write_index
        from redream.types import Asset

        encoder = Encoder(str(WEIGHTS / "retrieval_clip"), device="cpu")
        names = ("a striped dog", "a golden duck", "a wooden chair", "a red car")
        vectors = encoder.encode_texts(list(names)).numpy()
        reference = {"name": encoder.name, "init_args": encoder.init_args}
        store = {
            "class_path": "redream.assets.FolderStore",
            "init_args": {"path": str(_other_formats(work / "formats")[0].parent)},
        }
        assets = [Asset(f"{number}", name) for number, name in enumerate(names)]
        write_index(folder, assets, vectors, vectors, reference, store)
    return folder


def _run(folder: Path) -> Path:
    """A run's checkpoint of one small particle."""
    if not folder.is_dir():
        from redream.representations import NeRF

        folder.mkdir(parents=True)
        made = {"num_levels": 2, "log2_table_size": 8}
        state = {f"particles.0.{key}": value for key, value in NeRF(**made).state_dict().items()}
        torch.save({"state_dict": state, "epoch": 0, "global_step": 3}, folder / "last.ckpt")
        config = {"model": {"representation": {"class_path": "NeRF", "init_args": made}}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder
