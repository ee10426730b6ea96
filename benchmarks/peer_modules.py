"""Modules of others' checkouts, run as they are, without the rest of their packages.

It imports nothing of ReDream: peers run in environments of their own.
"""

import importlib.util
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def load_module(name: str, path: Path) -> Any:  # noqa: ANN401
    """A module from a file."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def bare_packages(checkout: Path, names: Iterable[str]) -> None:
    """Packages of a checkout without what their ``__init__`` imports.

    Args:
        checkout: The folder that holds the outermost of them.
        names: Of the packages, dotted.
    """
    for name in names:
        module = types.ModuleType(name)
        module.__path__ = [str(checkout / name.replace(".", "/"))]
        sys.modules[name] = module
