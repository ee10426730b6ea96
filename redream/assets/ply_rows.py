"""The rows of a PLY file's elements: text or bytes, with lists of equal or of different lengths."""

from abc import ABC, abstractmethod

import numpy as np

from redream.assets.ply_header import Element, Header, Lists, Property


class Body(ABC):
    """What follows a PLY file's header, read element after element."""

    position = 0

    @property
    @abstractmethod
    def size(self) -> int:
        """Where it ends, in its own units."""

    @abstractmethod
    def width(self, kind: str) -> int:
        """Units that a number takes."""

    @abstractmethod
    def number(self, position: int, kind: str) -> int:
        """The whole number at a position."""

    @abstractmethod
    def numbers(self, positions: np.ndarray, kind: str) -> np.ndarray:
        """The numbers at positions."""

    def read(self, num: int, properties: list[Property]) -> Element:
        """Reads the next element.

        Args:
            num: Its rows.
            properties: What each row has.

        Raises:
            ValueError: If there are not as many.
        """
        least = sum(self.width(each.length or each.kind) for each in properties)
        if num < 0 or num * least > self.size - self.position:
            raise ValueError(f"it is cut short: it claims {num} rows that it has not")
        starts, counts = self._equal_rows(num, properties) or self._walk(num, properties)
        numbers, lists = {}, {}
        for prop, start, count in zip(properties, starts, counts, strict=True):
            if count is None:
                numbers[prop.name] = self.numbers(start, prop.kind)
            else:
                total, before = int(count.sum()), np.cumsum(count) - count
                step = np.arange(total) - np.repeat(before, count)
                at = np.repeat(start, count) + step * self.width(prop.kind)
                lists[prop.name] = Lists(self.numbers(at, prop.kind), count)
        kinds = {each.name: each.kind for each in properties if each.length is None}
        return Element(num, numbers, kinds, lists)

    def _walk(
        self, num: int, properties: list[Property]
    ) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
        """Where each property of each row begins, and how long its lists are, row by row."""
        starts: list[list[int]] = [[] for _ in properties]
        counts: list[list[int]] = [[] for _ in properties]
        widths = [self.width(each.kind) for each in properties]
        heads = [None if each.length is None else self.width(each.length) for each in properties]
        position, end = self.position, self.size
        for _ in range(num):
            for index, prop in enumerate(properties):
                head = heads[index]
                if head is None or prop.length is None:
                    starts[index].append(position)
                    position += widths[index]
                    continue
                if position + head > end:
                    raise ValueError("it is cut short")
                count = self.number(position, prop.length)
                if count < 0:
                    raise ValueError(f"a list has {count} numbers")
                position += head
                starts[index].append(position)
                counts[index].append(count)
                position += count * widths[index]
            if position > end:
                raise ValueError("it is cut short")
        self.position = position
        found = [None if head is None else counts[i] for i, head in enumerate(heads)]
        return [np.array(each, dtype=np.int64) for each in starts], [
            None if each is None else np.array(each, dtype=np.int64) for each in found
        ]

    def _equal_rows(
        self, num: int, properties: list[Property]
    ) -> tuple[list[np.ndarray], list[np.ndarray | None]] | None:
        """The same where all rows are as long as the first; None where they are not."""
        if num == 0:
            return None
        first_starts, first_counts, start = [], [], self.position
        position = start
        for prop in properties:
            count = None
            if prop.length is not None:
                count = self.number(position, prop.length)
                position += self.width(prop.length)
                if count < 0:
                    return None
            first_starts.append(position)
            first_counts.append(count)
            position += self.width(prop.kind) * (1 if count is None else count)
            if position > self.size:
                return None
        row = position - start
        if start + num * row > self.size:
            return None
        steps = np.arange(num) * row
        for prop, at, count in zip(properties, first_starts, first_counts, strict=True):
            if prop.length is not None:
                heads = self.numbers(at - self.width(prop.length) + steps, prop.length)
                if (heads != count).any():
                    return None
        self.position = start + num * row
        return [at + steps for at in first_starts], [
            None if count is None else np.full(num, count) for count in first_counts
        ]


class TextBody(Body):
    """Numbers as words.

    Args:
        data: What follows the header.
    """

    def __init__(self, data: bytes) -> None:
        self._flat = np.array(data.split(), dtype="S").astype(np.float64)

    @property
    def size(self) -> int:
        """How many words there are."""
        return len(self._flat)

    def width(self, kind: str) -> int:
        """One word."""
        return 1

    def number(self, position: int, kind: str) -> int:
        """The whole number at a position."""
        return int(self._flat[position])

    def numbers(self, positions: np.ndarray, kind: str) -> np.ndarray:
        """The numbers at positions."""
        found: np.ndarray = self._flat[positions].astype(kind)
        return found


class BytesBody(Body):
    """Numbers as bytes.

    Args:
        data: The file's bytes.
        start: Where its header ends.
        order: ``<`` or ``>``, the order of bytes.
    """

    def __init__(self, data: bytes, start: int, order: str) -> None:
        self._data, self._order, self.position = data, order, start
        self._bytes = np.frombuffer(data, dtype=np.uint8)

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self._data)

    def read(self, num: int, properties: list[Property]) -> Element:
        """Reads the next element; without lists it is a table, which is looked at where it lies."""
        if any(each.length for each in properties) or not properties:
            return super().read(num, properties)
        names = [f"{index}" for index in range(len(properties))]  # a file may say a name twice
        kinds = [self._order + each.kind for each in properties]
        row = np.dtype(list(zip(names, kinds, strict=True)))
        if num < 0 or num * row.itemsize > self.size - self.position:
            raise ValueError(f"it is cut short: it claims {num} rows that it has not")
        table = np.frombuffer(self._data, row, num, self.position)
        self.position += num * row.itemsize
        numbers = {
            each.name: table[name].astype(each.kind)
            for name, each in zip(names, properties, strict=True)
        }
        return Element(num, numbers, {each.name: each.kind for each in properties}, {})

    def width(self, kind: str) -> int:
        """So many bytes."""
        return int(kind[1])

    def number(self, position: int, kind: str) -> int:
        """The whole number at a position."""
        if kind == "u1":
            return self._data[position]
        return int(np.frombuffer(self._data, self._order + kind, 1, position)[0])

    def numbers(self, positions: np.ndarray, kind: str) -> np.ndarray:
        """The numbers at positions."""
        each = positions[:, None] + np.arange(self.width(kind))
        numbers: np.ndarray = self._bytes[each].reshape(-1).view(self._order + kind).astype(kind)
        return numbers


def body_of(data: bytes, header: Header) -> Body:
    """What follows a file's header.

    Args:
        data: The file's bytes.
        header: What its header says.
    """
    if header.order:
        return BytesBody(data, header.start, header.order)
    return TextBody(data[header.start :])
