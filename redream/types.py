"""The values that the rooms hand each other, and the legend of their shapes.

Shape legend, used in every annotation of the package:

====  ==========================================================
B     batch: views, cameras or rows of a noisy batch
H W   image height and width in pixels
h w   latent height and width
C     latent channels
L D   text tokens and their width
V F   mesh vertices and faces
N     points, rays or samples
====  ==========================================================

Images are float in [0, 1] with shape ``B 3 H W``. The world is right-handed with +Y up and an
asset's front facing +Z (glTF's own axes). See ``docs/conventions.md``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

Wrap = Literal["repeat", "clamp", "mirror"]
"""What a texture shows beyond its border."""


class Sampler(NamedTuple):
    """How textures are looked up (glTF 2.0, section 3.8.4.2).

    Attributes:
        wrap_u: What they show beyond their left and right border.
        wrap_v: What they show beyond their upper and lower border.
        nearest: Whether the nearest texel is shown, and not a blend of four.
    """

    wrap_u: Wrap = "repeat"
    wrap_v: Wrap = "repeat"
    nearest: bool = False


class Material(NamedTuple):
    """A glTF base colour and emission: factors, and textures that multiply them in linear light.

    Attributes:
        base_color: RGBA factor in [0, 1], sRGB-encoded as pictures are.
        texture: RGBA picture in [0, 1], row 0 at the top (v = 0, as glTF has it), or None.
        unlit: Whether the colour is shown without shading (``KHR_materials_unlit``).
        sampler: How both textures are looked up.
        emission: RGB factor of the light that is given out, in linear light; above 1 where
            ``KHR_materials_emissive_strength`` says so.
        emission_texture: RGB picture in [0, 1] that multiplies ``emission``, by the same texture
            coordinates, or None.
        name: What the file calls it; may be empty.
    """

    base_color: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    texture: Float[Tensor, "H W 4"] | None = None
    unlit: bool = False
    sampler: Sampler = Sampler()
    emission: tuple[float, float, float] = (0.0, 0.0, 0.0)
    emission_texture: Float[Tensor, "H W 3"] | None = None
    name: str = ""

    @property
    def has_texture(self) -> bool:
        """Whether texture coordinates are looked up."""
        return self.texture is not None or self.emission_texture is not None

    @property
    def emits(self) -> bool:
        """Whether it gives out light."""
        return any(value > 0.0 for value in self.emission)


class TriangleMesh(NamedTuple):
    """Triangles with everything that colours them, attributes given per face corner.

    Attributes:
        vertices: Positions in the world frame.
        faces: Indices into ``vertices``, counter-clockwise seen from outside.
        corner_normals: Unit shading normals.
        corner_uvs: glTF texture coordinates (origin at the top left).
        corner_colors: RGBA vertex colours in [0, 1]; ones where an asset has none.
        face_materials: Index into ``materials`` of each face.
        materials: The materials.
        face_nodes: Index into ``nodes`` of each face; None where there are no nodes.
        nodes: Names of the nodes or objects that the file has; may be empty.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    corner_normals: Float[Tensor, "F 3 3"]
    corner_uvs: Float[Tensor, "F 3 2"]
    corner_colors: Float[Tensor, "F 3 4"]
    face_materials: Int[Tensor, " F"]
    materials: tuple[Material, ...]
    face_nodes: Int[Tensor, " F"] | None = None
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asset:
    """What is known of a 3D asset without opening it.

    Attributes:
        uid: Identifier, unique in its store.
        caption: One sentence that describes the asset (c_ret in the paper).
        license: Short licence code such as ``cc0`` or ``by``; ``unknown`` where none is stated.
        author: Who made it.
        source: Where it is from (a URL or a file).
        categories: What its store files it under, such as ``("animals-pets",)``.
        num_faces: Triangles; None where nobody counted.
        num_animations: Animation clips; None where nobody counted.
        scores: Named similarities of a retrieval, for example ``{"text": 0.31, "image": 0.27}``.
        origin: Which source it came from: ``library`` for what was retrieved, ``generated``,
            ``own``, or the name that a mixture of sources gives it.
    """

    uid: str
    caption: str
    license: str = "unknown"
    author: str = "unknown"
    source: str = ""
    categories: tuple[str, ...] = ()
    num_faces: int | None = None
    num_animations: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    origin: str = "library"


class Cameras(NamedTuple):
    """A batch of pinhole cameras that look at the origin (psi in the paper).

    Attributes:
        c2w: Camera-to-world matrices, OpenGL axes (x right, y up, looking along -z).
        fovy_deg: Vertical field of view in degrees.
        azimuth_deg: 0 looks at the front from +Z, growing toward +X, in [-180, 180).
        elevation_deg: Growing upward, in [-90, 90].
        distance: Distance to the origin in world units.
    """

    c2w: Float[Tensor, "B 4 4"]
    fovy_deg: Float[Tensor, " B"]
    azimuth_deg: Float[Tensor, " B"]
    elevation_deg: Float[Tensor, " B"]
    distance: Float[Tensor, " B"]

    def select(self, index: slice | Tensor) -> "Cameras":
        """Selects cameras by a slice or an index tensor; the batch axis stays."""
        return Cameras(*(tensor[index] for tensor in self))

    def to(self, device: torch.device | str) -> "Cameras":
        """Moves the cameras to a device."""
        return Cameras(*(tensor.to(device) for tensor in self))

    @property
    def num(self) -> int:
        """How many cameras there are."""
        return self.c2w.shape[0]


class Views(NamedTuple):
    """What a renderer g(theta, psi) returns.

    Attributes:
        rgb: Colour premultiplied by opacity, that is, over black.
        opacity: Coverage in [0, 1].
        depth: Expected distance along the ray, 0 where nothing is hit.
        normal: World-space unit normals premultiplied by opacity.
        penalties: Unweighted regularisers by name (scalars); empty for meshes.
    """

    rgb: Float[Tensor, "B 3 H W"]
    opacity: Float[Tensor, "B 1 H W"]
    depth: Float[Tensor, "B 1 H W"]
    normal: Float[Tensor, "B 3 H W"]
    penalties: Mapping[str, Tensor]

    def over(self, background: Float[Tensor, "B 3 #H #W"]) -> Float[Tensor, "B 3 H W"]:
        """Composites the views over a background picture or colour in [0, 1]."""
        return self.rgb + (1.0 - self.opacity) * background

    def penalty(self, name: str) -> Float[Tensor, ""]:
        """A regulariser by its name.

        Raises:
            ValueError: If the representation has none of this name.
        """
        if name not in self.penalties:
            known = ", ".join(sorted(self.penalties)) or "none"
            raise ValueError(f"there is no penalty {name!r} here; the representation has {known}")
        return self.penalties[name]


class ImagePrompt(NamedTuple):
    """Pictures that say what an object looks like, a condition beside the prompt.

    Attributes:
        rgba: RGBA pictures in [0, 1], square, colour premultiplied by alpha.
        cameras: Where each was taken from; the object stands at the origin.
        depth: How far away each pixel is, in any unit and from any zero, larger is farther; None
            where nobody knows.
    """

    rgba: Float[Tensor, "B 4 H W"]
    cameras: Cameras
    depth: Float[Tensor, "B 1 H W"] | None = None

    def over(self, background: Float[Tensor, "#B 3 #H #W"]) -> Float[Tensor, "B 3 H W"]:
        """Composites the pictures over background pictures or a colour in [0, 1]."""
        return self.rgba[:, :3] + (1.0 - self.rgba[:, 3:]) * background

    def to(self, device: torch.device | str) -> "ImagePrompt":
        """Moves pictures and cameras to a device."""
        depth = None if self.depth is None else self.depth.to(device)
        return ImagePrompt(self.rgba.to(device), self.cameras.to(device), depth)


class NoisyRows(NamedTuple):
    """Rows for one forward pass of the denoiser, each with an adapter of its own or none.

    Attributes:
        latents: Noisy latents x_t.
        timesteps: Integer diffusion time of each row.
        text: Text embedding of each row.
        adapters: For each row the adapter that it is scored with: ``"omega"``, ``"zeta"`` or
            ``"__base__"`` for the frozen prior phi.
        cameras: Flattened camera embedding psi to be added to the time embedding; rows of
            adapters without a camera are zero. None when no row has one.
        poses: Camera-to-world matrices (OpenGL) that the pictures were taken with, whatever
            adapter scores them; zeros where a picture has none. None when no row has one.
    """

    latents: Float[Tensor, "B C h w"]
    timesteps: Int[Tensor, " B"]
    text: Float[Tensor, "B L D"]
    adapters: tuple[str, ...]
    cameras: Float[Tensor, "B E"] | None = None
    poses: Float[Tensor, "B 4 4"] | None = None

    def select(self, rows: slice) -> "NoisyRows":
        """Some of the rows."""
        cameras = None if self.cameras is None else self.cameras[rows]
        poses = None if self.poses is None else self.poses[rows]
        latents, text = self.latents[rows], self.text[rows]
        return NoisyRows(latents, self.timesteps[rows], text, self.adapters[rows], cameras, poses)


class References(NamedTuple):
    """Rendered views of the N retrieved assets, facing front, rendered once.

    Attributes:
        rgba: RGBA pictures in [0, 1], colour premultiplied by alpha.
        cameras: The cameras of all pictures, in the same order, flattened to ``N*M``.
        captions: The caption of each asset.
        asset_index: The asset each picture shows.
        views_per_set: So many neighbours show one asset from one elevation and distance, at equal
            steps of the circle; 1 where each picture stands alone.
    """

    rgba: Float[Tensor, "B 4 H W"]
    cameras: Cameras
    captions: tuple[str, ...]
    asset_index: Int[Tensor, " B"]
    views_per_set: int = 1

    def over(self, background: Float[Tensor, "#B 3 #H #W"]) -> Float[Tensor, "B 3 H W"]:
        """Composites the pictures over background pictures or a colour in [0, 1]."""
        return self.rgba[:, :3] + (1.0 - self.rgba[:, 3:]) * background


class RetrievedAssets(Protocol):
    """What the module needs of the data: the N retrieved assets, facing front.

    Attributes:
        prompt: The user's prompt c.
        references: Their views.
        meshes: The assets themselves.
        starts: Meshes that the particles start from, in turn; none where assets only attract.
        image: The picture that the object is to look like; None where there is only the prompt.
    """

    prompt: str
    references: References
    meshes: "list[TriangleMesh]"
    starts: "list[TriangleMesh]"
    image: ImagePrompt | None

    def render_asset(self, index: int, cameras: Cameras, height: int, width: int) -> Views:
        """Renders asset ``index`` (0 is the nearest) from any cameras."""

    def paint_image(self, prior: Any) -> ImagePrompt:  # noqa: ANN401  (types know no priors)
        """Has a prior that reads prompts make the picture that is missing."""


KEY_RULE = 2  # of key_generator; counted up when the numbers of a key change


def key_generator(use: str, *keys: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Makes a random generator for one use, keyed for instance by (seed, step, particle).

    The same use and keys give the same numbers whatever the order of particles or the number of
    processes. Any other use or keys give unrelated ones: the seed is hashed together with all of
    them, so that one seed's numbers are not another's at another step. On the CPU PyTorch keeps 32
    bits of a seed, so that two of some hundred thousand streams are the same by chance, but none
    by rule.

    Args:
        use: What the numbers are for, such as ``"draw"``; no two uses share theirs.
        *keys: Integers such as seed, step and particle.
        device: Where the generator lives.

    Returns:
        A fresh generator.
    """
    named = " ".join(map(str, (use, *keys)))
    digest = blake2b(named.encode(), digest_size=8).digest()
    seed = int.from_bytes(digest, "little") & 0x7FFFFFFFFFFFFFFF
    return torch.Generator(device=device).manual_seed(seed)


@contextmanager
def drawing_from(use: str, *keys: int) -> Iterator[None]:
    """Keys what draws without a generator inside; outside nothing was drawn.

    Args:
        use: As in :func:`key_generator`.
        *keys: Likewise.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_generator(use, *keys).initial_seed())
        yield


def particle_seed(seed: int, index: int) -> int:
    """The seed of a particle: that of no other particle of any other run's seed.

    Args:
        seed: The run's seed.
        index: Of the particle.

    Returns:
        The particle's own seed; its index where the run's is 0.
    """
    return (seed << 20) + index
