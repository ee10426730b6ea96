"""What callbacks see of a run: the module and the data, by what they declare."""

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from lightning import LightningModule, Trainer
from torch import Tensor, nn

from redream.adapters import Adapter
from redream.method.guidance import Guidance
from redream.method.poses import Poses
from redream.priors import Prior
from redream.representations import Representation
from redream.types import Asset, Cameras, ImagePrompt, References, Views


class SeenModule(Protocol):
    """What a callback may read of the module.

    Attributes:
        particles: The K particles.
        adapter: omega; None where the prior is left as it is.
        prior: phi.
        variational_prior: The network of zeta where it is not phi.
        guidance: The way to distil.
        losses: The terms of the last step.
        held_out_losses: Eq. 5 on the held-out views, in the steps that look at them.
        poses: What judges the poses that are shown; None where that is off.
        stage: What the run is doing.
    """

    particles: nn.ModuleList
    adapter: Adapter | None
    prior: Prior
    variational_prior: Prior | None
    guidance: Guidance
    losses: Mapping[str, Tensor]
    held_out_losses: Mapping[str, float]
    poses: Poses | None

    @property
    def stage(self) -> str:
        """What the run is doing, for the progress bar."""


class SeenData(Protocol):
    """What a callback may read of the data.

    Attributes:
        prompt: The user's prompt c.
        assets: The retrieved assets, or the user's own.
        references: Their views.
        image: The picture that the object is to look like; None where there is only the prompt.
    """

    prompt: str
    assets: Sequence[Asset]
    references: References
    image: ImagePrompt | None

    def render_asset(self, index: int, cameras: Cameras, height: int, width: int) -> Views:
        """Renders one of the assets as it faces front."""


def seen(module: LightningModule) -> SeenModule:
    """The module as a callback may read it."""
    return cast(SeenModule, module)


def data_of(trainer: Trainer) -> SeenData:
    """The data of a run."""
    return cast(SeenData, trainer.datamodule)  # type: ignore[attr-defined]


def particles_of(module: LightningModule) -> list[Representation]:
    """The K particles."""
    return [cast(Representation, each) for each in seen(module).particles]
