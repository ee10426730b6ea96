"""Whose turn it is: which particles a step scores, and when all have had theirs."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Turns:
    """Particles that take part in a step, in turn.

    Attributes:
        num_particles: K.
        particles_per_step: So many are updated in each step.
        num_fits: Steps that one score serves.

    Raises:
        ValueError: If there are fewer particles than shall step, or none.
    """

    num_particles: int
    particles_per_step: int
    num_fits: int = 1

    def __post_init__(self) -> None:
        if self.num_particles < 1 or not 1 <= self.particles_per_step <= self.num_particles:
            raise ValueError(
                f"num_particles ({self.num_particles}) and particles_per_step "
                f"({self.particles_per_step}) must be at least 1, and no more particles can step "
                "than there are"
            )

    def active(self, step: int) -> list[int]:
        """The particles that a step updates."""
        start = step // self.num_fits * self.particles_per_step
        return [(start + i) % self.num_particles for i in range(self.particles_per_step)]

    def since(self, index: int, step: int) -> int:
        """Steps since a particle's turn before; one more than there were, where this is its first.

        Args:
            index: The particle.
            step: A step in which it is active.
        """
        earlier = range(step - 1, max(-1, step - 1 - self.steps_a_round), -1)
        return next((step - each for each in earlier if index in self.active(each)), step + 1)

    def scored(self, step: int) -> int:
        """The step in which was scored what a step fits."""
        return step - step % self.num_fits

    @property
    def steps_a_round(self) -> int:
        """After so many steps each particle has been scored as often as the others."""
        shared = math.gcd(self.num_particles, self.particles_per_step)
        return self.num_fits * self.num_particles // shared
