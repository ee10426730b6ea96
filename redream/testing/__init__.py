"""What authors of plugins inherit to test their classes, by pytest."""

from redream.testing.representations import RepresentationContract

__all__ = ["RepresentationContract"]
