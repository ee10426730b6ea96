"""ReDream: retrieval-augmented score distillation for text-to-3D generation."""

__version__ = "0.1.0"
