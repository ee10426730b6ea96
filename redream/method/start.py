"""Particles that start from the user's own assets (App. F, "3D data enhancement")."""

from collections.abc import Iterable, Sequence

from torch import nn

from redream.representations.base import Representation
from redream.representations.start import mesh_start
from redream.types import TriangleMesh, particle_seed


def start_particles(
    particles: Iterable[nn.Module], meshes: Sequence[TriangleMesh], seed: int
) -> None:
    """Gives every particle the shape and the colours of an asset.

    Args:
        particles: The K particles.
        meshes: What they start from, facing front: particle i from mesh i mod N. None of them
            leaves the particles as they are, and so does what a particle was made from, such as
            the checkpoint of the stage before.
        seed: Seed of the random numbers that fitting takes.

    Raises:
        ValueError: If a representation cannot start from an asset.
    """
    starts = [mesh_start(mesh, seed) for mesh in meshes]
    for index, particle in enumerate(particles if starts else ()):
        assert isinstance(particle, Representation)
        if not particle.is_started:
            particle.start_from(starts[index % len(starts)], particle_seed(seed, index))
