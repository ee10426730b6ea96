"""What a PLY file's header says of its elements."""

from typing import NamedTuple

import numpy as np

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_MAX_HEADER = 1 << 20


class Property(NamedTuple):
    """A property of an element: a number, or a list of numbers with its length in front.

    Attributes:
        name: Its name.
        kind: NumPy's type of its numbers.
        length: NumPy's type of its length; None for a single number.
    """

    name: str
    kind: str
    length: str | None


class Lists(NamedTuple):
    """Lists of numbers, one after the other.

    Attributes:
        values: All numbers.
        counts: How many of them each list has.
    """

    values: np.ndarray
    counts: np.ndarray


class Element(NamedTuple):
    """Rows of one kind: numbers and lists by the property's name.

    Attributes:
        num: How many rows.
        numbers: ``num`` of each property that is a number.
        kinds: NumPy's type of each property that is a number.
        lists: Those that are lists.
    """

    num: int
    numbers: dict[str, np.ndarray]
    kinds: dict[str, str]
    lists: dict[str, Lists]


class Header(NamedTuple):
    """What a PLY file says of itself.

    Attributes:
        order: ``<`` or ``>``, the order of bytes; empty where its numbers are words.
        elements: Name, number of rows and properties of each, in the file's order.
        pictures: What its comments name as its textures.
        start: Where its numbers begin.
    """

    order: str
    elements: list[tuple[str, int, list[Property]]]
    pictures: list[str]
    start: int


def parse_header(data: bytes) -> Header:
    """Reads the header.

    Raises:
        ValueError: If there is none, or it has what is not read.
    """
    head, mark, rest = data[:_MAX_HEADER].partition(b"end_header")
    if not mark or not data.startswith(b"ply"):
        raise ValueError("it is not a PLY file")
    start = len(head) + len(mark) + rest.find(b"\n") + 1
    order: str | None = None
    described: list[tuple[str, int, list[Property]]] = []
    pictures: list[str] = []
    for line in head.decode("utf-8", "replace").splitlines():
        words = line.split()
        if words[:1] == ["format"] and len(words) > 1:
            order = _ORDERS.get(words[1])
        elif [word.lower() for word in words[:2]] == ["comment", "texturefile"]:
            pictures.append(line.split(None, 2)[2].strip())
        elif words[:1] == ["element"] and len(words) == 3:
            described.append((words[1], int(words[2]), []))
        elif words[:1] == ["property"] and described:
            described[-1][2].append(_parse_property(words))
    if order is None:
        raise ValueError("its header states no format that is read")
    return Header(order, described, pictures, start)


def _parse_property(words: list[str]) -> Property:
    is_list = len(words) == 5 and words[1] == "list"
    kinds = words[2:4] if is_list else words[1:2]
    if not all(kind in _TYPES for kind in kinds) or len(words) != (5 if is_list else 3):
        raise ValueError(f"its header has a property that is not read: {' '.join(words)}")
    length = _TYPES[words[2]] if is_list else None
    return Property(words[-1], _TYPES[kinds[-1]], length)
