"""A neural radiance field on a hash grid (Instant-NGP), pruned by an occupancy grid."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.cameras import rays
from redream.kernels.composite import Composite, composite
from redream.kernels.hash_grid import HashGrid
from redream.kernels.march import Samples
from redream.kernels.occupancy import OccupancyGrid
from redream.meshes.isosurface import before_softplus, extract_isosurface
from redream.representations import regularizers, tracing
from redream.representations.background import DirectionBackground
from redream.representations.base import Representation, Start, weights_of
from redream.representations.field import Field
from redream.representations.field_fit import fit_field
from redream.representations.field_surface import covering_density, density_grid, surface_colors
from redream.representations.floaters import cells_of_objects
from redream.representations.penalties import Penalties, mean_of
from redream.schedules import Ramp, is_due
from redream.types import Cameras, Views, key_generator

_LARGE = 2**25  # samples of a picture that needs a pruned grid
_SEARCH_RESOLUTION = 80  # cells of the grid on which the surface's density is looked for

# In a row, that together are half opaque at the density that sharpening leaves as it is: what is
# faint but thick enough to hide what is behind it must not be emptied.
_PIVOT_SAMPLES = 5
_FAINT = 1e-3  # opacity of one sample that a finished scene is drawn without
_SOLID = 0.05  # opacity of one sample: what is thinner is haze
_CRUMB_SHARE = 0.003  # of all matter, that a floating piece needs to stay once the field is steep
MIN_OPACITY = 1e-2  # a ray that sees less than this has no depth and no normal


class _Traced(NamedTuple):
    """What rays see, ray by ray, and what the regularisers need besides."""

    rgb: Float[Tensor, "R 3"]
    opacity: Float[Tensor, " R"]
    depth: Float[Tensor, " R"]
    normal: Float[Tensor, "R 3"]
    penalties: Mapping[str, Tensor]


class NeRF(Representation):
    """A radiance field in the ball of a given radius, rendered by ray marching.

    Density starts as a soft ball (``blob``) and colour does not depend on the direction. While
    ``training``, samples are jittered, keyed by ``seed``, the step and the number of the render
    within the step, and views carry the penalties ``sparsity``, ``opacity``, ``orientation`` and
    ``spread`` (see :mod:`redream.representations.regularizers`).

    Args:
        seed: Seed of the initial weights and of the jitter.
        num_levels: Levels of the hash grid.
        log2_table_size: log2 of the most rows of a level.
        base_resolution: Cells along each axis of the coarsest level.
        max_resolution: Cells along each axis of the finest level.
        hidden: Width of the hidden layers of density and colour.
        radius: Radius of the scene; nothing is outside. At most sqrt(3), the whole box.
        num_steps: Samples along the diameter of the scene.
        alpha_threshold: Opacity below which a sample sees no gradients and is not drawn, or the
            mean of all cells where that is lower; 0 keeps every sample that is not hidden.
        samples_at_once: Samples whose activations are remembered for the backward pass, 0.8 kB
            each. Where a render has more, each part is computed again in the backward pass.
        normal_step: Half of the distance over which a normal is a difference of densities.
        normals_in_training: Whether views that train have normals: six look-ups a ray.
        blob_scale: Height of the density's initial bias at the centre.
        blob_radius: Radius at which the bias crosses zero.
        sharpness: How many times steeper density becomes about the surface, so that a soft field
            ends as one that a mesh can show (see ``Field``), without the floaters beside
            the object; 1 leaves it soft.
        sharpening_steps: Between which steps it does, linearly.
        occupancy_resolution: Cells along each axis of the occupancy grid.
        occupancy_period: Steps between two refreshes of the occupancy grid.
        occupancy_warmup: Steps before the first pruning, if no picture is large.
        occupancy_decay: What remains of a remembered density at each refresh.
        occupancy_alpha: Opacity of one sample below which a cell counts as empty.
        orientation_samples: Samples by which the orientation penalty is estimated; 0 for none.
        learn_background: Whether to learn a background by direction; white otherwise.
        surface_density: Density at the extracted surface; None takes that whose silhouettes are
            most like those of the views.
        component_share: Smallest share of all triangles of a component of the surface.
        init_steps: Steps by which an asset is learned that the particle starts from.
        grid_lr: Learning rate of the hash grid.
        mlp_lr: Learning rate of the perceptrons.
        background_lr: Learning rate of the background.
        penalties: Weights of the penalties, ramps by step.

    Raises:
        ValueError: If an argument is out of range.
    """

    is_soft = True

    def __init__(
        self,
        seed: int = 0,
        num_levels: int = 8,
        log2_table_size: int = 15,
        base_resolution: int = 8,
        max_resolution: int = 128,
        hidden: int = 32,
        radius: float = 1.0,
        num_steps: int = 64,
        alpha_threshold: float = 0.0,
        samples_at_once: int = 2**20,
        normal_step: float = 1.0 / 64.0,
        normals_in_training: bool = False,
        blob_scale: float = 10.0,
        blob_radius: float = 0.5,
        sharpness: float = 1.0,
        sharpening_steps: tuple[int, int] = (0, 0),
        occupancy_resolution: int = 32,
        occupancy_period: int = 16,
        occupancy_warmup: int = 64,
        occupancy_decay: float = 0.8,
        occupancy_alpha: float = 0.01,
        orientation_samples: int = 512,
        learn_background: bool = True,
        surface_density: float | None = None,
        component_share: float = 0.02,
        init_steps: int = 200,
        grid_lr: float = 1e-2,
        mlp_lr: float = 1e-3,
        background_lr: float = 1e-3,
        penalties: regularizers.NeRFPenalties | None = None,
    ) -> None:
        super().__init__()
        self.penalties = weights_of(penalties)
        if not 0.0 < radius <= 3.0**0.5 + 1e-6:
            raise ValueError(f"NeRF: radius must be in (0, sqrt(3)], got {radius}")
        if not 0.0 <= alpha_threshold < 1.0:
            raise ValueError(f"NeRF: alpha_threshold must be in [0, 1), got {alpha_threshold}")
        positive = {
            "num_steps": num_steps,
            "samples_at_once": samples_at_once,
            "normal_step": normal_step,
            "occupancy_period": occupancy_period,
            "blob_radius": blob_radius,
            "sharpness": sharpness,
        }
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"NeRF: {name} must be positive, got {value}")
        self.sharpening = Ramp(1.0, sharpness, *sharpening_steps)
        generator = key_generator("field", seed)
        grid = HashGrid(num_levels, log2_table_size, base_resolution, max_resolution, generator)
        self.step_length = 2.0 * radius / num_steps
        pivot = math.log(2.0) / (_PIVOT_SAMPLES * self.step_length)
        self.field = Field(grid, hidden, blob_scale, blob_radius, pivot, generator)
        self.backdrop = DirectionBackground(hidden, generator) if learn_background else None
        self.occupancy = OccupancyGrid(
            occupancy_resolution, occupancy_alpha / self.step_length, occupancy_decay
        )
        self.radius = radius
        self.alpha_threshold, self.samples_at_once = alpha_threshold, samples_at_once
        self.normal_step, self.normals_in_training = normal_step, normals_in_training
        self.occupancy_period, self.occupancy_warmup = occupancy_period, occupancy_warmup
        self.orientation_samples, self.init_steps = orientation_samples, init_steps
        self.surface_density, self.component_share = surface_density, component_share
        self.learning_rates = (grid_lr, mlp_lr, background_lr)
        self.seed = seed
        self._step, self._num_renders, self._draws_large = 0, 0, False
        self._draws_normals = True

    def render(self, cameras: Cameras, height: int, width: int) -> Views:
        """Renders by marching one ray through the centre of each pixel.

        Args:
            cameras: ``B`` cameras on the field's device.
            height: Rows in pixels.
            width: Columns in pixels.

        Returns:
            The views. Normals are those of the point at the expected depth. Penalties are empty
            unless ``training``.
        """
        origins, directions = (part.reshape(-1, 3) for part in rays(cameras, height, width))
        keys = (self.seed, self._step, self._num_renders)
        generator = key_generator("jitter", *keys, device=origins.device)
        self._num_renders += self.training
        self._prune_for(len(origins))
        chunk = len(origins)
        if not torch.is_grad_enabled():
            chunk = tracing.rays_at_once(self.step_length, self.radius)
        parts = [
            self._trace(*part, generator)
            for part in zip(origins.split(chunk), directions.split(chunk), strict=True)
        ]

        def image(values: list[Tensor]) -> Tensor:
            joined = torch.cat(values).view(cameras.num, height, width, -1)
            return joined.permute(0, 3, 1, 2)

        return Views(
            rgb=image([part.rgb for part in parts]),
            opacity=image([part.opacity for part in parts]),
            depth=image([part.depth for part in parts]),
            normal=image([part.normal for part in parts]),
            penalties=mean_of([part.penalties for part in parts]),
        )

    @contextmanager
    def finished(self, normals: bool = False) -> Iterator[None]:
        """Marches through finer cells, and draws nothing of an opacity below 0.001 a sample.

        Args:
            normals: Whether normals are drawn, which takes six densities a pixel.
        """
        before = self.occupancy, self.alpha_threshold, self._draws_normals
        self.occupancy = tracing.finer(self.occupancy, self.density)
        self.alpha_threshold = max(self.alpha_threshold, _FAINT)
        self._draws_normals = normals
        try:
            yield
        finally:
            self.occupancy, self.alpha_threshold, self._draws_normals = before

    def render_bytes(self, num_views: int, num_pixels: int) -> int:
        """Bytes of a foggy render; see :meth:`Representation.render_bytes`."""
        steps = 2.0 * self.radius / self.step_length
        return tracing.bytes_in_fog(num_views * num_pixels * steps, self.samples_at_once)

    @torch.no_grad()
    def start_from(self, start: Start, seed: int) -> None:
        """Learns a surface's inside and its colours; see :meth:`Representation.start_from`."""
        fit_field(self.field, start, self.step_length, self.init_steps, key_generator("fit", seed))
        device = self.occupancy.density.device
        self.occupancy.refresh(self.density, key_generator("occupancy", seed, device=device))

    def density(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        """Density per world unit; 0 outside the box [-1, 1]^3 and beyond the scene's radius."""
        density, _ = self.field(points)
        inside = (points.norm(dim=-1) <= self.radius) & (points.abs() <= 1.0).all(-1)
        return torch.where(inside, density, 0.0)

    @torch.no_grad()
    def colors(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Colour in [0, 1] at surface points, without gradients.

        A surface is soft: its colour is what a short ray sees that enters it along its normal.
        """
        steps = self.step_length, self.normal_step
        return torch.cat([surface_colors(self.field, x, *steps) for x in points.split(2**14)])

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Keys the jitter, sharpens the field, refreshes the occupancy grid when it is due."""
        self._step, self._num_renders = step, 0
        self.field.sharpness.fill_(self.sharpening.at(step))
        if is_due(step, self.occupancy_period, self.steps_since):
            device, is_early = self.occupancy.density.device, step < self.occupancy_warmup
            if is_early and step >= self.occupancy_period:  # a run that goes on was told before
                self._draws_large = self._draws_large or not bool(self.occupancy.occupied.all())
            generator = key_generator("occupancy", self.seed, step, device=device)
            self.occupancy.refresh(self.density, generator)
            if self.field.sharpness > 1.0:
                resolution, solid = self.occupancy.density.shape[0], _SOLID / self.step_length
                self.occupancy.occupied &= cells_of_objects(
                    self.density, resolution, solid, _CRUMB_SHARE, device
                )
            if is_early and not self._draws_large:
                self.occupancy.occupied.fill_(True)

    @torch.no_grad()
    def extract_surface(self, resolution: int) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
        """Extracts the surface by marching cubes, without small components.

        Args:
            resolution: Cells along each axis of [-1, 1]^3.

        Returns:
            Vertices and faces, counter-clockwise seen from outside, on the field's device.

        Raises:
            ValueError: If there is none at ``surface_density``; the message names one that has it.
        """
        device = self.occupancy.density.device

        def surface(grid: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
            return extract_isosurface(grid, threshold, self.component_share, before_softplus)

        threshold, search = self.surface_density, min(_SEARCH_RESOLUTION, 2 * resolution)
        grid = density_grid(self.density, search if threshold is None else resolution, device)
        if threshold is None:

            def march(origins: Tensor, directions: Tensor) -> Samples:
                return self._visible(origins, directions, None).samples

            threshold = covering_density(self.density, march, surface, grid, self.radius)
        if len(grid) != resolution:
            grid = density_grid(self.density, resolution, device)
        vertices, faces = surface(grid, threshold)
        return vertices.to(device), faces.to(device)

    def parameter_groups(self) -> list[dict[str, object]]:
        """Optimiser groups ``grid``, ``mlp`` and, where one is learned, ``background``."""
        grid_lr, mlp_lr, background_lr = self.learning_rates
        perceptrons = [*self.field.density_mlp.parameters(), *self.field.color_mlp.parameters()]
        return [
            {"name": "grid", "params": list(self.field.grid.parameters()), "lr": grid_lr},
            {"name": "mlp", "params": perceptrons, "lr": mlp_lr},
            *self.background_groups(background_lr),
        ]

    def _trace(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        generator: torch.Generator,
    ) -> _Traced:
        visible = self._visible(origins, directions, generator if self.training else None)
        nearest = -(origins * directions).sum(-1)  # where each ray is nearest to the origin
        seen = tracing.composite_in_parts(self._see, visible, nearest, self.samples_at_once)
        is_hit = seen.opacity > MIN_OPACITY
        depth = torch.where(is_hit, seen.depth / seen.opacity.clamp_min(MIN_OPACITY), 0.0)
        normal = torch.zeros_like(origins)
        trains = self.training and torch.is_grad_enabled()
        if self.normals_in_training if trains else self._draws_normals:
            hit = is_hit.nonzero()[:, 0]
            points = origins[hit] + depth.detach()[hit, None] * directions[hit]
            normal = normal.index_put((hit,), self.field.normals(points, self.normal_step))
        terms = regularizers.of_rays(
            seen.opacity, seen.depth - nearest * seen.opacity, seen.features[:, 3]
        )
        if self.orientation_samples > 0:
            terms["orientation"] = lambda: self._orientation(
                visible.samples, directions, seen, generator
            )
        return _Traced(
            rgb=seen.features[:, :3],
            opacity=seen.opacity,
            depth=depth,
            normal=normal * seen.opacity[:, None],
            penalties=Penalties(terms if self.training else {}),
        )

    def _see(
        self, samples: Samples, nearest: Float[Tensor, " R"], known: Tensor | None = None
    ) -> Composite:
        """Colours, and squared distances from where each ray is nearest to the origin."""
        density, encoded = self.field(samples.positions, known)
        beyond = 0.5 * (samples.t_start + samples.t_end) - nearest[samples.ray_index.long()]
        channels = torch.cat([self.field.color(encoded), beyond[:, None] ** 2], dim=-1)
        return composite(density, channels, samples)

    @torch.no_grad()
    def _visible(
        self,
        origins: Float[Tensor, "R 3"],
        directions: Float[Tensor, "R 3"],
        generator: torch.Generator | None,
    ) -> tracing.Visible:
        """Samples in occupied cells that no matter hides: only those see gradients.

        Samples are jittered by the generator, where there is one. Without, a field that is sharp
        is sampled twice as densely: its surface would show contours, step by step.
        """
        jitter, length = origins.new_zeros(len(origins)), self.step_length
        if generator is not None:
            jitter.uniform_(generator=generator)
        elif self.field.sharpness > 1.0:
            length /= 2.0
        marched = (origins, directions, jitter, length, self.radius)
        return tracing.visible_samples(
            self.field.look, self.occupancy, *marched, self.alpha_threshold
        )

    def _prune_for(self, num_rays: int) -> None:
        """Ends the grid's warm-up where a picture would look at too many samples of the ball."""
        is_large = num_rays * 2.0 * self.radius > _LARGE * self.step_length
        if is_large and self.training and not self._draws_large:
            self._draws_large = True
            if bool(self.occupancy.occupied.all()):
                self.occupancy.refresh(self.density)

    def _orientation(
        self,
        samples: Samples,
        directions: Float[Tensor, "R 3"],
        seen: Composite,
        generator: torch.Generator,
    ) -> Tensor:
        """The orientation penalty, on samples drawn in proportion to their weights."""
        weights = seen.weights.detach()
        if len(weights) == 0:
            return weights.new_zeros(())
        chosen = regularizers.draw_by_weight(weights, self.orientation_samples, generator)
        normals = self.field.normals(samples.positions[chosen], self.normal_step)
        along = directions[samples.ray_index[chosen].long()]
        return regularizers.orientation(normals, along, (weights[chosen] > 0.0).float())
