"""ReDream: retrieval-augmented score distillation for text-to-3D generation.

Importing it loads nothing; :func:`configured`, the road from Python, is loaded when it is used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redream.tools.lightning import configured

__version__ = "0.1.0"
__all__ = ["configured"]


def __getattr__(name: str) -> object:
    """Loads a public name when it is first asked for (PEP 562)."""
    if name == "configured":
        from redream.tools.lightning import configured

        return configured
    raise AttributeError(f"module 'redream' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
