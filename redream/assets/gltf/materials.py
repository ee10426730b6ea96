"""A glTF file's materials: base colours, emission, samplers, and the pictures they name."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from redream.assets.color import linear_to_srgb
from redream.assets.gltf.accessors import Accessors, linked_bytes
from redream.assets.gltf.extensions import way_out
from redream.assets.gltf.header import Json
from redream.assets.textures import Textures
from redream.types import Material, Sampler, Wrap

_WRAPS: dict[int, Wrap] = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
_NEAREST = 9728
_SPECULAR_GLOSSINESS = "KHR_materials_pbrSpecularGlossiness"


class UvSet(NamedTuple):
    """Where a texture's coordinates are from.

    Attributes:
        number: Of ``TEXCOORD_number``.
        transform: ``KHR_texture_transform``, or None.
    """

    number: int
    transform: Json | None


class ShownMaterial(NamedTuple):
    """A material, and what the vertices must bring for it.

    Attributes:
        material: The material, its alpha mode written into its alpha values.
        uvs: Which texture coordinates its textures take; None without a texture.
        cutoff: Of the alpha of vertex colours: None blends, a number is its alpha from which it
            shows, and minus infinity makes it opaque.
    """

    material: Material
    uvs: UvSet | None
    cutoff: float | None


class Materials:
    """The materials of a file, each read when it is asked for; what is lost is remembered.

    Args:
        header: The file's JSON.
        accessors: Its buffers, in which pictures may lie.
        path: The file, beside which pictures may lie.
    """

    def __init__(self, header: Json, accessors: Accessors, path: Path) -> None:
        self._header, self._accessors, self._path = header, accessors, path
        self._shown: dict[int | None, ShownMaterial] = {}
        self._textures = Textures(num_pictures(header))
        self._lost: list[str] = []

    def lost(self) -> list[str]:
        """What is not shown as the file says, a line each."""
        unread = [f"without picture {key}: {why}" for key, why in self._textures.unread.items()]
        return list(dict.fromkeys([*unread, *self._lost]))

    def of(self, number: int | None) -> ShownMaterial:
        """A material by its index; None is the format's default."""
        if number not in self._shown:
            described = {} if number is None else self._header["materials"][number]
            self._shown[number] = self._read(described)
        return self._shown[number]

    def _read(self, described: Json) -> ShownMaterial:
        pbr = _base_color(described)
        factor = np.array(pbr.get("baseColorFactor", (1.0, 1.0, 1.0, 1.0)), dtype=np.float64)
        alpha, cutoff = float(factor[3]), _cutoff(described)
        slot, texture = pbr.get("baseColorTexture"), None
        if slot is not None:
            texture = self._base_texture(slot, cutoff, alpha)
        if cutoff is not None:
            alpha = 1.0 if texture is not None or alpha >= cutoff else 0.0
        if texture is not None and cutoff == -math.inf and not factor[:3].any():
            texture = None  # black, whatever it shows
        red, green, blue = (float(value) for value in linear_to_srgb(factor[:3]))
        material = Material(
            (red, green, blue, alpha), texture, name=str(described.get("name") or "")
        )
        uvs = None
        if texture is not None and slot is not None:
            uvs, material = _uv_set(slot), material._replace(sampler=self._sampler(slot))
        if "KHR_materials_unlit" in described.get("extensions", {}):
            return ShownMaterial(material._replace(unlit=True), uvs, cutoff)
        return self._with_emission(described, ShownMaterial(material, uvs, cutoff))

    def _base_texture(
        self, slot: Json, cutoff: float | None, factor: float
    ) -> Float[Tensor, "H W 4"] | None:
        """The base colour's picture; its alpha times the factor is compared with the cutoff."""
        key, read = self._picture(slot)
        if read is None:
            return None
        if cutoff is not None and cutoff != -math.inf:
            cutoff = cutoff / factor if factor > 0.0 else math.inf if cutoff > 0.0 else -math.inf
        return self._textures.rgba(key, read, cutoff)

    def _with_emission(self, described: Json, shown: ShownMaterial) -> ShownMaterial:
        """Adds the light that a material gives out."""
        extensions = described.get("extensions", {})
        strong = extensions.get("KHR_materials_emissive_strength", {})
        strength = float(strong.get("emissiveStrength", 1.0))
        factor = [float(each) * strength for each in described.get("emissiveFactor", (0.0,) * 3)]
        if not any(each > 0.0 for each in factor):
            return shown
        red, green, blue = factor
        slot, glow = described.get("emissiveTexture"), None
        if slot is not None:
            key, read = self._picture(slot)
            glow = None if read is None else self._textures.rgb(key, read)
            if glow is None:
                return shown  # the factor alone would make it glow all over
            if shown.uvs is None:
                sampler = self._sampler(slot)
                shown = shown._replace(
                    uvs=_uv_set(slot), material=shown.material._replace(sampler=sampler)
                )
            elif shown.uvs != _uv_set(slot):
                self._lost.append(
                    "emission by other texture coordinates than the base colour's: not shown"
                )
                return shown
        material = shown.material._replace(emission=(red, green, blue), emission_texture=glow)
        return shown._replace(material=material)

    def _picture(self, slot: Json) -> tuple[int, Callable[[], bytes] | None]:
        """The picture that a texture shows: its number, and how to read it where that is known."""
        texture = self._header["textures"][slot["index"]]
        source = _source(texture)
        if source is None:
            extensions = texture.get("extensions", {})
            names = ", ".join(extensions) or "no picture"
            line = f"a texture of {names}, which is not read: {way_out(extensions)}"
            if {*extensions} & {*self._header.get("extensionsRequired", ())}:
                raise ValueError(f"it needs {line}")
            self._lost.append(line)
            return -1, None
        image = self._header["images"][source]

        def read() -> bytes:
            if "bufferView" in image:
                return self._accessors.view(image["bufferView"])
            return linked_bytes(self._path, image["uri"])

        return source, read

    def _sampler(self, slot: Json) -> Sampler:
        texture = self._header["textures"][slot["index"]]
        if "sampler" not in texture:
            return Sampler()
        sampler = self._header["samplers"][texture["sampler"]]
        return Sampler(
            _WRAPS.get(sampler.get("wrapS", 10497), "repeat"),
            _WRAPS.get(sampler.get("wrapT", 10497), "repeat"),
            sampler.get("magFilter") == _NEAREST,
        )


def num_pictures(header: Json) -> int:
    """How many pictures the materials show."""
    textures, found = header.get("textures", ()), set()
    for material in header.get("materials", ()):
        slots = (_base_color(material).get("baseColorTexture"), material.get("emissiveTexture"))
        found |= {slot.get("index") for slot in slots if slot is not None}
    shown = (textures[number] for number in found if isinstance(number, int))
    return len({_source(texture) for texture in shown})


def _base_color(described: Json) -> Json:
    """The factor and texture of the base colour, also from the older specular-glossiness way."""
    glossy = described.get("extensions", {}).get(_SPECULAR_GLOSSINESS)
    if glossy is None:
        return dict(described.get("pbrMetallicRoughness", {}))
    renamed = {"diffuseFactor": "baseColorFactor", "diffuseTexture": "baseColorTexture"}
    return {new: glossy[old] for old, new in renamed.items() if old in glossy}


def _cutoff(described: Json) -> float | None:
    mode = described.get("alphaMode", "OPAQUE")
    if mode == "BLEND":
        return None
    return float(described.get("alphaCutoff", 0.5)) if mode == "MASK" else -math.inf


def _source(texture: Json) -> int | None:
    """The picture of a texture that can be read: WebP's where there is one."""
    webp = texture.get("extensions", {}).get("EXT_texture_webp", {})
    found = webp.get("source", texture.get("source"))
    return found if isinstance(found, int) else None


def _uv_set(slot: Json) -> UvSet:
    transform = slot.get("extensions", {}).get("KHR_texture_transform")
    number = int(slot.get("texCoord", 0))
    if transform is None:
        return UvSet(number, None)
    return UvSet(int(transform.get("texCoord", number)), transform)
