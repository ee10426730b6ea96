"""Reads objathor's ``clip_features.pkl`` (Deitke et al., Holodeck) without executing a pickle.

A pickle is a program: it may call whatever it can name. Here the only names it can reach are the
few that NumPy's arrays are written with, and each is answered by a record that remembers what it
was given and does nothing. The arrays are made of those records afterwards, by this module.
"""

import pickle
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

MODEL, PRETRAINED = "ViT-L-14", "laion2b_s32b_b82k"
"""The encoder that objathor's features were made with."""


def read_objathor(path: str | Path) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """Reads uids and features.

    Args:
        path: The file, a dictionary of ``uids``, ``img_features`` and ``text_features``.

    Returns:
        The uids; picture features ``rows views D`` and text features ``rows D`` (None where the
        file has none), neither of unit length.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything else than such features.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of features at {path}")
    content = load_inert(path)
    if not isinstance(content, dict) or "uids" not in content or "img_features" not in content:
        raise ValueError(f"{path} has no uids and img_features: it is no file of objathor's")
    uids = content["uids"]
    if isinstance(uids, np.ndarray):
        uids = uids.tolist()
    image, text = content["img_features"], content.get("text_features")
    if not isinstance(uids, list) or not all(isinstance(uid, str) for uid in uids):
        raise ValueError(f"{path}: its uids are no list of texts")
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
        raise ValueError(f"{path}: its img_features are no array of rows, views and numbers")
    if text is not None and not isinstance(text, np.ndarray):
        raise ValueError(f"{path}: its text_features are no array")
    return uids, image, text


def load_inert(path: Path) -> Any:  # noqa: ANN401
    """Reads a pickle of dictionaries, lists, texts, numbers and arrays of numbers.

    Raises:
        ValueError: If it is broken or names anything that may not be named.
    """
    try:
        with path.open("rb") as file:
            return _revive(_InertUnpickler(file).load())
    except ValueError:
        raise
    except Exception as error:  # a broken pickle fails in any way
        raise ValueError(f"{path} cannot be read ({type(error).__name__}: {error})") from error


class _InertUnpickler(pickle.Unpickler):
    """An unpickler that finds records in the place of functions and classes."""

    def find_class(self, module: str, name: str) -> "type[_Record]":
        """The record for one of NumPy's names; nothing else is to be found."""
        allowed: dict[str, type[_Record]] = {
            "_codecs.encode": _BytesRecord,
            "numpy.ndarray": _Record,
            "numpy.dtype": _DtypeRecord,
        }
        for core in ("numpy.core", "numpy._core"):
            allowed[f"{core}.multiarray._reconstruct"] = _ArrayRecord
            allowed[f"{core}.numeric._frombuffer"] = _BufferRecord
        found = allowed.get(f"{module}.{name}")
        if found is None:
            raise ValueError(f"the pickle asks for {module}.{name}, which may execute: refused")
        return found

    def persistent_load(self, pid: object) -> NoReturn:
        """Refuses references to the outside."""
        raise ValueError("the pickle asks for something outside of it: refused")


class _Record:
    """Remembers what it was called with and the state that it was given."""

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments: object) -> None:
        self.arguments, self.state = arguments, None

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401
        self.state = state

    def array(self) -> np.ndarray:
        """The array that was remembered."""
        raise ValueError("the pickle has an array that is none")


class _DtypeRecord(_Record):
    __slots__ = ()

    def dtype(self) -> np.dtype[Any]:
        """The type, one of plain numbers or texts."""
        code = self.arguments[0] if self.arguments else None
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "|"
        if not isinstance(code, str) or order not in ("<", ">", "|", "="):
            raise ValueError("the pickle has an array of an unreadable type")
        if code[:1] not in tuple("fiuU") or not code[1:].isdigit():
            raise ValueError(f"the pickle has an array of {code!r}: numbers or texts are read")
        return np.dtype(code).newbyteorder("<" if order == "|" else order)  # type: ignore[arg-type]


class _BytesRecord(_Record):
    __slots__ = ()

    def content(self) -> bytes:
        """The bytes, which the oldest protocols write as a text in Latin-1."""
        if len(self.arguments) != 2 or self.arguments[1] != "latin1":
            raise ValueError("the pickle encodes something else than bytes")
        return str(self.arguments[0]).encode("latin1")


class _ArrayRecord(_Record):
    __slots__ = ()

    def array(self) -> np.ndarray:
        """From the state of NumPy's arrays: version, shape, type, order, bytes."""
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            raise ValueError("the pickle has an array without content")
        _, shape, dtype, fortran, content = self.state
        return _array(content, dtype, shape, "F" if fortran else "C")


class _BufferRecord(_Record):
    __slots__ = ()

    def array(self) -> np.ndarray:
        """From the arguments of protocol 5: buffer, type, shape, order."""
        if len(self.arguments) != 4:
            raise ValueError("the pickle has an array without content")
        content, dtype, shape, order = self.arguments
        return _array(content, dtype, shape, "F" if order == "F" else "C")


def _array(content: object, dtype: object, shape: object, order: str) -> np.ndarray:
    if isinstance(content, _BytesRecord):
        content = content.content()
    if not isinstance(content, bytes | bytearray) or not isinstance(dtype, _DtypeRecord):
        raise ValueError("the pickle has an array of objects: numbers or texts are read")
    if not isinstance(shape, tuple) or not all(isinstance(each, int) for each in shape):
        raise ValueError("the pickle has an array without a shape")
    flat = np.frombuffer(content, dtype.dtype())
    return flat.reshape(shape, order=order)  # type: ignore[call-overload, no-any-return]


def _revive(value: Any) -> Any:  # noqa: ANN401
    """The plain content with arrays in the places of records."""
    if isinstance(value, dict):
        return {key: _revive(each) for key, each in value.items()}
    return value.array() if isinstance(value, _Record) else value
