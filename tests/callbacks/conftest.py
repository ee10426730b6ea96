"""What the tests of this folder share: a sphere, and a run that distils nothing."""

from sphere_run import sphere, toy, train

__all__ = ["sphere", "toy", "train"]
