"""App. B's correction: what the prior asks of the asset itself is taken from what it asks."""

from dataclasses import dataclass

from redream.schedules import Ramp


@dataclass(frozen=True)
class Correction:
    """When a particle's gradient is corrected by its asset's, and how strongly.

    Attributes:
        period: It is applied in every so many rounds; 0 never. A round is a step, or where
            particles take turns or a score serves several steps, the steps after which each has
            been scored as often as the others.
        weight: Its weight, a ramp by step; 1 is the paper's.
    """

    period: int = 3
    weight: Ramp = Ramp(1.0, 1.0)

    def at(self, step: int, steps_a_round: int = 1) -> float:
        """Its weight at a step, 0 where it is not due."""
        due = self.period > 0 and step // steps_a_round % self.period == 0
        return self.weight.at(step) if due else 0.0
