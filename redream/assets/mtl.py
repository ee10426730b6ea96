"""Materials of Wavefront OBJ files, and every loss of one as a line."""

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from redream.assets.beside import find_beside
from redream.assets.color import srgb_to_linear
from redream.assets.textures import Textures
from redream.errors import first_line
from redream.types import Material, Sampler

_NUM_ARGUMENTS = {  # of the options of a map; those of a placement have up to three numbers
    "-blendu": 1, "-blendv": 1, "-boost": 1, "-mm": 2, "-texres": 1, "-clamp": 1, "-bm": 1,
    "-imfchan": 1, "-cc": 1, "-type": 1, "-colorspace": 1,
}  # fmt: skip
_PLACEMENTS = ("-o", "-s", "-t")
_MAPS = ("map_kd", "map_ke", "map_d")


class Map(NamedTuple):
    """A picture that a material names.

    Attributes:
        name: As it is written.
        folder: Of the library that names it.
        scale: Of texture coordinates, u and v.
        offset: Added after scaling.
        clamp: Whether the border goes on beyond it.
    """

    name: str
    folder: Path
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    clamp: bool = False


class Described(NamedTuple):
    """What a library says of a material: numbers by their keyword, and pictures by theirs."""

    numbers: dict[str, list[float]]
    maps: dict[str, Map]


def read_libraries(path: Path, names: list[str], losses: list[str]) -> dict[str, Described]:
    """Reads the material libraries of an OBJ file.

    Args:
        path: The OBJ file.
        names: What stands behind each ``mtllib``: a name, or several.
        losses: Takes a line for each library that is not there.

    Returns:
        The materials by name; of two of one name the last counts.
    """
    found: dict[str, Described] = {}
    for written in names:
        try:
            files = [find_beside(path, written)]  # a name may have blanks
        except (OSError, ValueError) as error:
            files = []
            for name in written.split() if len(written.split()) > 1 else ():
                try:
                    files.append(find_beside(path, name))
                except (OSError, ValueError) as missing:
                    losses.append(f"without a material library: {first_line(missing)}")
            if len(written.split()) <= 1:
                losses.append(f"without its materials: {first_line(error)}")
        for file in files:
            found |= _read_library(file)
    return found


def _read_library(file: Path) -> dict[str, Described]:
    found: dict[str, Described] = {}
    current = Described({}, {})
    for line in file.read_bytes().decode("utf-8", "replace").splitlines():
        key, _, rest = line.strip().replace("\t", " ").partition(" ")
        key, rest = key.lower(), rest.strip()
        if key == "newmtl":
            current = found[rest] = Described({}, {})
        elif key in _MAPS and rest:
            current.maps[key] = _parse_map(rest, file.parent)
        elif key in ("kd", "ke", "d", "tr", "illum"):
            numbers = [_number(each) for each in rest.removeprefix("-halo").split()]
            if numbers and None not in numbers:
                current.numbers[key] = [each for each in numbers if each is not None]
    return found


def _parse_map(text: str, folder: Path) -> Map:
    """Takes the options of a map from its file's name, which may have blanks."""
    words = re.split(r"\s+", text)
    placed: dict[str, tuple[float, float]] = {}
    clamp, place = False, 0
    while place < len(words) - 1 and words[place].lower() in (*_NUM_ARGUMENTS, *_PLACEMENTS):
        option = words[place].lower()
        place += 1
        if option in _PLACEMENTS:
            numbers: list[float] = []
            while place < len(words) - 1 and len(numbers) < 3:
                number = _number(words[place])
                if number is None:
                    break
                numbers.append(number)
                place += 1
            default = 1.0 if option == "-s" else 0.0
            both = [*numbers, default, default]
            placed[option] = (both[0], both[1])
        else:
            clamp = clamp or (option == "-clamp" and words[place].lower() == "on")
            place += _NUM_ARGUMENTS[option]
    name = " ".join(words[place:])
    return Map(name, folder, placed.get("-s", (1.0, 1.0)), placed.get("-o", (0.0, 0.0)), clamp)


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


class MtlMaterials:
    """The materials of an OBJ file, made when faces use them.

    A picture takes the place of its colour, as Blender has it: many exporters write ``Kd 0 0 0``
    beside one. Opacity is ``d`` (or ``1 - Tr``) times ``map_d``; the alpha of ``map_Kd`` is none.

    Args:
        path: The OBJ file.
        described: The materials by name.
        losses: Takes a line for each picture that is not shown.
    """

    def __init__(self, path: Path, described: dict[str, Described], losses: list[str]) -> None:
        self._path, self._described, self._losses = path, described, losses
        pictures = {(m.name, m.folder) for each in described.values() for m in each.maps.values()}
        self._textures = Textures(len(pictures))

    def of(self, name: str) -> Material:
        """A material; a white one where the libraries have none of this name."""
        if name not in self._described:
            return Material(name=name)
        numbers, maps = self._described[name]
        alpha = numbers["d"][0] if "d" in numbers else 1.0 - numbers.get("tr", [0.0])[0]
        color = self._base_color(name, maps.get("map_kd"))
        rgb = _rgb(numbers.get("kd"), (1.0, 1.0, 1.0)) if color is None else (1.0, 1.0, 1.0)
        texture = self._with_opacity(color, self._opacity(name, maps.get("map_d")))
        emission, glow = _rgb(numbers.get("ke"), (0.0, 0.0, 0.0)), None
        if "map_ke" in maps:
            file = self._file(name, maps["map_ke"])
            glow = None if file is None else self._textures.rgb(file, file.read_bytes)
            emission = (0.0, 0.0, 0.0) if glow is None else (1.0, 1.0, 1.0)
        red, green, blue = (float(each) for each in srgb_to_linear(np.array(emission)))
        clamp = any(each.clamp for each in maps.values())
        return Material(
            (*rgb, min(max(alpha, 0.0), 1.0)),
            texture,
            unlit=numbers.get("illum") == [0.0],
            sampler=Sampler("clamp", "clamp") if clamp else Sampler(),
            emission=(red, green, blue),
            emission_texture=glow,
            name=name,
        )

    def placement(self, name: str) -> tuple[tuple[float, float], tuple[float, float]]:
        """Scale and offset of a material's texture coordinates."""
        maps = self._described[name].maps if name in self._described else {}
        shown = next((maps[key] for key in _MAPS if key in maps), None)
        return ((1.0, 1.0), (0.0, 0.0)) if shown is None else (shown.scale, shown.offset)

    def __contains__(self, name: str) -> bool:
        return name in self._described

    def pictures(self) -> list[str]:
        """The pictures that all materials name."""
        return [m.name for each in self._described.values() for m in each.maps.values()]

    def unread(self) -> list[str]:
        """A line for each picture that is there and cannot be read."""
        unread = self._textures.unread
        return [f"without picture {Path(str(file)).name}: {why}" for file, why in unread.items()]

    def _base_color(self, material: str, named: Map | None) -> Float[Tensor, "H W 4"] | None:
        """The picture of the colour, whose alpha is no opacity."""
        file = None if named is None else self._file(material, named)
        return None if file is None else self._textures.rgba(file, file.read_bytes, -math.inf)

    def _opacity(self, material: str, named: Map | None) -> np.ndarray | None:
        """A picture's alpha, or its greys where it has none, ``H W`` bytes."""
        file = None if named is None else self._file(material, named)
        pixels = None if file is None else self._textures.pixels(file, file.read_bytes)
        if pixels is None:
            return None
        has_alpha = bool((pixels[..., 3] < 255).any())
        return pixels[..., 3] if has_alpha else np.array(Image.fromarray(pixels).convert("L"))

    @staticmethod
    def _with_opacity(
        color: Float[Tensor, "H W 4"] | None, opacity: np.ndarray | None
    ) -> Float[Tensor, "H W 4"] | None:
        if opacity is None:
            return color
        if color is None:
            shown = torch.ones(*opacity.shape, 4)
        else:
            opacity = np.array(Image.fromarray(opacity).resize((color.shape[1], color.shape[0])))
            shown = color.clone()
        shown[..., 3] = torch.from_numpy(opacity / np.float32(255.0))
        return shown

    def _file(self, material: str, named: Map) -> Path | None:
        try:
            return find_beside(self._path, named.name, named.folder)
        except (OSError, ValueError) as error:
            self._losses.append(f"material {material!r} without a picture: {first_line(error)}")
            return None


def _rgb(
    numbers: list[float] | None, default: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Three numbers in [0, 1]; one stands for all three."""
    if not numbers:
        return default
    three = (numbers * 3)[:3] if len(numbers) < 3 else numbers[:3]
    red, green, blue = (min(max(each, 0.0), 1.0) for each in three)
    return red, green, blue
