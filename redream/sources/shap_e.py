"""Shap-E (Jun and Nichol, 2023) through diffusers: a text becomes a mesh with vertex colours."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache
from jaxtyping import Bool, Float, Int
from torch import Tensor

from redream.assets.color import linear_to_srgb
from redream.assets.parts import Part, join_parts
from redream.assets.writing import glb_bytes
from redream.meshes.triangles import vertex_normals
from redream.priors.families.loading import load_parts
from redream.sources.generator import Generator
from redream.types import Material

PARTS = ("prior", "text_encoder", "tokenizer", "scheduler", "shap_e_renderer")


class ShapE(Generator):
    """Makes meshes with Shap-E's text model; it runs on the CPU, too, and needs no picture.

    Args:
        model: A hub id, or a folder that ``ShapEPipeline.save_pretrained`` wrote; safetensors only.
        num_steps: Denoising steps; each asks the network twice (Heun).
        guidance_scale: Classifier-free guidance.
        grid_size: Points along each side of the grid in which the surface is looked for.
        device: Where to compute; ``auto`` takes the GPU where there is one.
        license: Of the meshes: the weights are under MIT.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        model: str = "openai/shap-e",
        num_steps: int = 64,
        guidance_scale: float = 15.0,
        grid_size: int = 128,
        device: str = "auto",
        license: str = "mit",
    ) -> None:
        if num_steps < 1 or grid_size < 4:
            raise ValueError(
                f"num_steps must be at least 1 and grid_size at least 4, not {num_steps} and "
                f"{grid_size}"
            )
        self.model, self.num_steps, self.guidance_scale = model, num_steps, guidance_scale
        self.grid_size, self.license = grid_size, license
        automatic = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(automatic if device == "auto" else device)
        self._loaded: Any = None
        self._digest: str | None = None

    @property
    def author(self) -> str:  # type: ignore[override]
        """Its name, and which weights."""
        return f"Shap-E ({self.model}, weights {self.digest})"

    @property
    def digest(self) -> str:
        """Twelve digits that tell these weights from others."""
        if self._digest is None:
            _ = self._pipeline
        assert self._digest is not None
        return self._digest

    def key(self) -> dict[str, object]:
        """The content of the model's folder, and the numbers."""
        return {
            "weights": self.digest,
            "num_steps": self.num_steps,
            "guidance_scale": self.guidance_scale,
            "grid_size": self.grid_size,
        }

    def lacks(self) -> list[str]:
        """The model, where it is neither a folder nor kept, or cannot be used."""
        folder = Path(self.model).expanduser()
        if folder.is_dir():
            missing = [part for part in PARTS if not (folder / part).is_dir()]
            return [f"{folder} lacks {part}/" for part in missing] or self._faults()
        if isinstance(try_to_load_from_cache(self.model, "model_index.json"), str):
            return self._faults()
        return [f"the weights of {self.model} are not here yet: their first use downloads them"]

    def _faults(self) -> list[str]:
        try:
            _ = self._pipeline
        except (ValueError, OSError) as error:
            return [str(error)]
        return []

    def rest(self) -> None:
        """Lets go of the weights."""
        self._loaded = None

    @torch.no_grad()
    def generate(self, prompt: str, seed: int, path: Path, picture: Path | None = None) -> None:
        """Makes one mesh; see :meth:`Generator.generate`. The seed draws the initial noise."""
        latent = self._pipeline(
            prompt,
            num_inference_steps=self.num_steps,
            guidance_scale=self.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="latent",
        ).images[0]
        path.write_bytes(self.decode(latent))

    @torch.no_grad()
    def decode(self, latent: Float[Tensor, "rows D"]) -> bytes:
        """The mesh of a latent, as a GLB with +Y up.

        Shap-E's own axes have +Z up, and its colours are linear light, as glTF's are.

        Raises:
            ValueError: If there is no surface.
        """
        renderer = self._pipeline.shap_e_renderer
        latent = latent[None].to(self.device)
        mesh = renderer.decode_to_mesh(latent, self.device, grid_size=self.grid_size)
        vertices = mesh.verts.float().cpu()
        faces = outward(vertices, mesh.faces.cpu())
        vertices = torch.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], dim=1)
        linear = torch.stack([mesh.vertex_channels[name] for name in "RGB"], dim=1)
        rgb = linear_to_srgb(linear.float().cpu().clamp(0.0, 1.0).numpy())
        part = Part(
            vertices.double().numpy(),
            faces.numpy(),
            vertex_normals(vertices, faces).double().numpy(),
            None,
            np.concatenate([rgb, np.ones((len(rgb), 1))], axis=1),
            Material(name="Shap-E"),
        )
        return glb_bytes(join_parts([part]), {"author": self.author, "license": self.license})

    @property
    def _pipeline(self) -> Any:  # noqa: ANN401  (diffusers')
        """The pipeline of diffusers, of parts whose every tensor is the files'."""
        if self._loaded is None:
            from diffusers import HeunDiscreteScheduler, PriorTransformer, ShapEPipeline
            from diffusers.pipelines.shap_e import ShapERenderer
            from transformers import CLIPTextModelWithProjection, CLIPTokenizer

            kinds = (
                PriorTransformer, CLIPTextModelWithProjection, CLIPTokenizer,
                HeunDiscreteScheduler, ShapERenderer,
            )  # fmt: skip
            folder, parts = load_parts(
                self.model, dict(zip(PARTS, kinds, strict=True)), torch.float32
            )
            decoder = parts["shap_e_renderer"].mesh_decoder
            require_tables(decoder.cases.cpu(), decoder.masks.cpu(), self.model)
            decoder.register_forward_hook(_require_surface)
            pipeline = ShapEPipeline(**parts).to(self.device)
            pipeline.set_progress_bar_config(disable=True)
            self._loaded = pipeline
            if self._digest is None:
                self._digest = digest_of_folder(folder)
        return self._loaded


def _require_surface(decoder: Any, given: Any, mesh: Any) -> None:  # noqa: ANN401
    """Says it where a latent is empty space; diffusers' colours would fail on no vertices."""
    if len(mesh.faces) == 0:
        raise ValueError("its latent has no surface: try another seed")


def require_tables(cases: Int[Tensor, "256 5 3"], masks: Bool[Tensor, "256 5"], model: str) -> None:
    """Refuses a mesh decoder whose tables of marching cubes are not such tables.

    diffusers makes them empty and relies on the weights to fill them. Whatever the triangles of a
    cube are, they touch each edge whose ends lie on two sides of the surface, and no other.

    Args:
        cases: Three edges of each of up to five triangles, for each pattern of eight corners.
        masks: Which of the triangles there are.
        model: Whose tables they are.

    Raises:
        ValueError: If they are empty or wrong; one line.
    """
    if not masks.any():
        raise ValueError(
            f"the mesh decoder of {model} has empty tables (shap_e_renderer's mesh_decoder.cases "
            "and .masks): its folder was written without its weights, so download the model again"
        )
    used = torch.zeros(256, 12, dtype=torch.bool)
    rows, triangles = masks.nonzero(as_tuple=True)
    edges = cases[rows, triangles].long()
    is_valid = cases.shape == (256, 5, 3) and bool(((edges >= 0) & (edges < 12)).all())
    if is_valid:
        used[rows[:, None], edges] = True
    if not is_valid or not torch.equal(used, crossed_edges()):
        raise ValueError(f"the mesh decoder of {model} has tables that are not marching cubes'")


def crossed_edges() -> Bool[Tensor, "256 12"]:
    """Which edges of a cube have one end inside, for each pattern of its corners.

    Corner (x, y, z) is bit x + 2 y + 4 z. The edges run along x, then y, then z; of each direction
    the first of the two other coordinates changes first.
    """
    patterns = torch.arange(256)
    columns = []
    for axis in range(3):
        first, second = (1 << each for each in range(3) if each != axis)
        for corner in (0, first, second, first + second):
            ends = (patterns >> corner) & 1, (patterns >> (corner + (1 << axis))) & 1
            columns.append(ends[0] != ends[1])
    return torch.stack(columns, dim=1)


def outward(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> Int[Tensor, "F 3"]:
    """The faces of a closed mesh, counter-clockwise seen from outside."""
    a, b, c = vertices.double()[faces].unbind(1)
    volume = (a * torch.linalg.cross(b, c)).sum()
    return faces.flip(1) if volume < 0.0 else faces


def digest_of_folder(folder: Path) -> str:
    """Twelve digits that tell the content of a model's folder from another's."""
    digest = hashlib.sha256()
    for part in PARTS:
        for path in sorted((folder / part).rglob("*")):
            if path.is_file() and path.suffix in (".safetensors", ".json", ".txt"):
                digest.update(f"{part}/{path.name} {path.stat().st_size}".encode())
                with path.open("rb") as file:
                    while chunk := file.read(1 << 20):
                        digest.update(chunk)
    return digest.hexdigest()[:12]
