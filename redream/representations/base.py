"""The interface of a 3D representation: what a particle theta must be able to do."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from redream.cameras import rays
from redream.kernels.splats_projection import Gaussians
from redream.meshes.layout import Layout
from redream.representations.background import DirectionBackground
from redream.schedules import Ramp
from redream.types import Cameras, Views

Shading = Literal["color", "lit", "normal", "camera_normal"]
"""What views show: colours, colours lit, or normals in the world's or the camera's frame."""


class Start(NamedTuple):
    """A coloured surface inside the box [-1, 1]^3, on the CPU, to start from.

    Attributes:
        vertices: Positions.
        faces: Corner indices, counter-clockwise seen from outside.
        points: Points on the surface, uniform by area.
        colors: Their colours in [0, 1].
        layout: Texture coordinates and names of the asset that it is, face by face; or None.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    points: Float[Tensor, "N 3"]
    colors: Float[Tensor, "N 3"]
    layout: Layout | None = None


class Representation(nn.Module, ABC):
    """A differentiable 3D scene theta inside the box [-1, 1]^3.

    Subclasses live on one device, render with gradients to their parameters, and export a
    surface. Constructor arguments are the configuration.

    Attributes:
        is_started: Whether it was made from something already, such as another run's checkpoint;
            then it does not start from an asset.
        is_soft: Whether views show at a surface point a mixture of what lies around it, so that a
            texture is better taken from views than from ``colors``.
        shading: What views show; an export sets it to ``color`` where it was of normals.
        backdrop: What learns the background; None where it is white.
        penalties: Weight of each of the regularisers that its views carry, ramps by step.
        training_arguments: Constructor arguments that only training needs; a particle that is read
            from a checkpoint to be shown or started from is made without.
        free_rows: Names of the state of which a checkpoint has a number of rows of its own, which
            the particle takes over when it is loaded.
    """

    training_arguments: ClassVar[frozenset[str]] = frozenset({"penalties"})
    free_rows: ClassVar[frozenset[str]] = frozenset()
    is_started: bool = False
    is_soft: bool = False
    shading: Shading = "color"
    penalties: Mapping[str, Ramp] = {}

    def __init__(self) -> None:
        super().__init__()
        self.backdrop: DirectionBackground | None = None

    def finished(self, normals: bool = False) -> AbstractContextManager[None]:
        """In its context the scene does not change: a particle may prepare for many renders.

        What they show may differ by what nobody sees. Nothing is prepared by default.

        Args:
            normals: Whether the renders' normals are wanted; they may be 0 if not.
        """
        return nullcontext()

    @abstractmethod
    def render(self, cameras: Cameras, height: int, width: int) -> Views:
        """Renders g(theta, psi).

        Args:
            cameras: ``B`` cameras on the representation's device.
            height: Rows in pixels.
            width: Columns in pixels.

        Returns:
            The views, with gradients to the parameters where they are enabled.
        """

    @abstractmethod
    def extract_surface(self, resolution: int) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
        """Extracts the surface as triangles, counter-clockwise seen from outside.

        Args:
            resolution: Cells along each axis of the sampling grid, where there is one.

        Returns:
            Vertices and faces.

        Raises:
            ValueError: If there is no surface; the message says what to try.
        """

    @abstractmethod
    def colors(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Surface colour in [0, 1] at points, without gradients (for baking a texture)."""

    @abstractmethod
    def parameter_groups(self) -> list[dict[str, object]]:
        """Optimiser groups: ``{"name": str, "params": [...], "lr": float}``, disjoint.

        What is a place, a size or a colour and not a network's weight says ``"weight_decay": 0.0``.
        """

    def background(self, cameras: Cameras, height: int, width: int) -> Float[Tensor, "B 3 H W"]:
        """The learned background in [0, 1]; white unless a representation learns one."""
        if self.backdrop is None:
            return torch.ones(cameras.num, 3, height, width, device=cameras.c2w.device)
        _, directions = rays(cameras, height, width)
        colors: Tensor = self.backdrop(directions)
        return colors.permute(0, 3, 1, 2)

    def background_groups(self, lr: float) -> list[dict[str, object]]:
        """The optimiser's group of the learned background; none where none is learned."""
        if self.backdrop is None:
            return []
        return [{"name": "background", "params": list(self.backdrop.parameters()), "lr": lr}]

    def penalize(self, views: Views, step: int) -> dict[str, Float[Tensor, ""]]:
        """The regularisers that views carry, each times its weight at a step.

        Raises:
            ValueError: If ``penalties`` names one that the views do not carry.
        """
        weights = {name: ramp.at(step) for name, ramp in self.penalties.items()}
        return {name: w * views.penalty(name) for name, w in weights.items() if w != 0.0}

    steps_since: int = 1
    """Steps since the particle's turn before; 1 unless particles take turns."""

    def update(self, step: int) -> None:  # noqa: B027  (optional hook)
        """Called before each training step that the particle takes part in.

        For instance to refresh an occupancy grid. What is done once in so many steps asks
        :func:`redream.schedules.is_due` with ``steps_since``.
        """

    def gaussians(self) -> Gaussians | None:
        """The splats that it is made of, for files of splats; None where it is made otherwise."""
        return None

    def layout(self) -> Layout | None:
        """How the asset that its surface still is had its textures, for the export to keep them.

        Returns:
            The layout of the faces that ``extract_surface`` returns; None where there is none.
        """
        return None

    def take_replaced(self) -> list[tuple[nn.Parameter, Int[Tensor, " M"]]]:
        """Rows of parameters that ``update`` has made anew since this was asked last.

        An optimiser forgets what it knew of them: its moments belong to what was there before.
        """
        return []

    def render_bytes(self, num_views: int, num_pixels: int) -> int:
        """Bytes that the views of a step hold at most; 0 where nobody counted.

        Args:
            num_views: How many.
            num_pixels: Of each.
        """
        return 0

    def start_from(self, start: Start, seed: int) -> None:
        """Takes over a surface's shape and colours before the first step.

        Parameters stay the objects that they are, so that an optimiser that knows them goes on.

        Args:
            start: The surface.
            seed: Seed of the random numbers that it takes.

        Raises:
            ValueError: If this representation cannot.
        """
        raise ValueError(f"{type(self).__name__} cannot start from an asset: it has no start_from")


def weights_of(penalties: Mapping[str, object] | None) -> dict[str, Ramp]:
    """The weights of penalties as a representation keeps them: none where none are given.

    Raises:
        ValueError: If a weight is no ramp.
    """
    weights = {}
    for name, weight in ({} if penalties is None else penalties).items():
        if not isinstance(weight, Ramp):
            raise ValueError(f"the weight of penalty {name} must be a Ramp, not {weight!r}")
        weights[name] = weight
    return weights
