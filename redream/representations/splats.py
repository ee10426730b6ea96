"""A particle of Gaussian splats (Kerbl et al., 2023): fast to draw, quick to take an asset over."""

import warnings
from typing import Any, TypedDict

import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor, nn

from redream.cameras import rays, turntable
from redream.kernels.raycast import RayCaster
from redream.kernels.splats import blend
from redream.kernels.splats_projection import (
    MIN_ALPHA,
    NUM_HARMONICS,
    Footprints,
    Gaussians,
    project,
)
from redream.meshes.isosurface import extract_isosurface
from redream.representations import regularizers
from redream.representations.background import DirectionBackground
from redream.representations.base import Representation, Start, weights_of
from redream.representations.splat_parameters import (
    SplatParameters,
    blob,
    on_surface,
    that_show_most,
)
from redream.representations.splat_strategies import MCMC, SplatStrategy
from redream.representations.splat_surface import fuse_depths
from redream.representations.start import read_splat_start, read_start
from redream.schedules import Ramp
from redream.types import Cameras, Views, key_generator

MIN_OPACITY = 1e-2  # a pixel that sees less than this has no depth
_NUM_NEIGHBOURS = 8  # splats that give a point of the surface its colour
# Bytes while a view waits for its gradients, counted by tests/representations/test_splats.py: what
# is said of a budget that is a laptop's.
_SPLAT_IN_A_VIEW, _PIXEL_IN_A_VIEW = 155, 64
_TRAINED_NUMBER = 16  # bytes: itself, its gradient, AdamW's two moments
_LARGE = 200_000
_FAR = 3.5  # distance of the cameras that look for the surface
_COVER_SIZE = 96  # pixels of the views whose silhouettes it has to have
_LEVELS = (-0.9, -0.75, -0.6, -0.45, -0.3, -0.15, 0.0, 0.15)  # of depth inside, in bands


class SplatPenalties(TypedDict, total=False):
    """Weights of the splats' regularisers, ramps by step."""

    sparsity: Ramp
    opacity: Ramp
    splat_opacity: Ramp
    splat_size: Ramp


class Splats(Representation):
    """A fixed budget of Gaussian splats, as flat as they like to be.

    They start as a faint grey ball or on an asset's surface, and a strategy moves those that are
    worth nothing. While ``training``, views carry the penalties ``sparsity`` and ``opacity`` (of
    what rays see), ``splat_opacity`` and ``splat_size`` (MCMC's regularisers: means over the
    splats).

    Args:
        seed: Seed of the start and of the strategy's moves.
        num_splats: The budget.
        degree: Degree of the colour's spherical harmonics, 0 to 3; with 0 a splat has the same
            colour from everywhere, as a texture does.
        blob_radius: Radius of the ball of splats that it starts from.
        init_from: What to start from: a file of splats (``.ply``, ``.spz``), another run's
            ``.ckpt`` file, or a ``.glb``, ``.gltf``, ``.obj`` or ``.ply`` file, on whose surface
            the splats then lie. Splats are taken as they are, fitted into a ball of radius 0.9 as
            every asset is; where there are fewer than ``num_splats``, the rows that are left wait,
            faded, for the strategy. None starts from a blob.
        init_particle: Which particle of a checkpoint; None takes ``seed`` modulo their number, so
            that K particles start from K others.
        init_resolution: Cells along each axis of the grid on which a particle's surface is found.
        strategy: Moves splats; None takes :class:`~redream.representations.splat_strategies.MCMC`.
        learn_background: Whether to learn a background by direction; white otherwise.
        component_share: Smallest share of all triangles that a component of the surface has.
        surface_views: Height and width in pixels of the views whose depths make the surface.
        means_lr: Learning rate of the centres.
        scales_lr: Learning rate of the logarithms of the scales.
        rotations_lr: Learning rate of the quaternions.
        opacities_lr: Learning rate of the logits of the opacities.
        colors_lr: Learning rate of the colours; higher harmonics take a twentieth of it.
        background_lr: Learning rate of the background.
        penalties: Weights of the penalties, ramps by step.

    Raises:
        FileNotFoundError: If there is no file to start from.
        ValueError: If an argument is out of range, or what it starts from cannot be taken over.

    Warns:
        RuntimeWarning: If a file of splats has more than ``num_splats``, or these are more than
            200,000 and there is no GPU: what memory and time they take.
    """

    is_soft = True
    training_arguments = frozenset({"penalties", "strategy"})

    def __init__(
        self,
        seed: int = 0,
        num_splats: int = 10_000,
        degree: int = 0,
        blob_radius: float = 0.5,
        init_from: str | None = None,
        init_particle: int | None = None,
        init_resolution: int = 96,
        strategy: SplatStrategy | None = None,
        learn_background: bool = True,
        component_share: float = 0.02,
        surface_views: int = 256,
        means_lr: float = 2e-3,
        scales_lr: float = 1e-2,
        rotations_lr: float = 1e-2,
        opacities_lr: float = 5e-2,
        colors_lr: float = 2e-2,
        background_lr: float = 1e-3,
        penalties: SplatPenalties | None = None,
    ) -> None:
        super().__init__()
        self.penalties = weights_of(penalties)
        if num_splats < 1 or not 0 <= degree < len(NUM_HARMONICS) or blob_radius <= 0.0:
            raise ValueError(
                "Splats: num_splats and blob_radius must be positive and degree 0 to 3, got "
                f"{num_splats}, {blob_radius}, {degree}"
            )
        if num_splats > _LARGE and not torch.cuda.is_available():
            _warn_of_size(num_splats, degree)
        generator = key_generator("splats", seed)
        self.splats = SplatParameters(num_splats, degree)
        self.strategy = MCMC() if strategy is None else strategy
        self.strategy.prepare(num_splats)
        self.splats.fill(blob(self.strategy.num_first(num_splats), blob_radius, generator))
        self.backdrop = DirectionBackground(generator=generator) if learn_background else None
        self.seed, self.component_share = seed, component_share
        self.surface_views = surface_views
        self.learning_rates = {
            "means": means_lr,
            "scales": scales_lr,
            "rotations": rotations_lr,
            "opacities": opacities_lr,
            "colors": colors_lr,
            "harmonics": colors_lr / 20.0,
            "background": background_lr,
        }
        self._replaced: Int[Tensor, " M"] = torch.zeros(0, dtype=torch.long)
        self.is_started = init_from is not None
        if init_from is not None:
            chosen = seed if init_particle is None else init_particle
            self._start_from_file(init_from, chosen, init_resolution)

    def render(self, cameras: Cameras, height: int, width: int) -> Views:
        """Renders by blending the splats of each tile from near to far.

        Args:
            cameras: ``B`` cameras on the splats' device.
            height: Rows in pixels.
            width: Columns in pixels.

        Returns:
            The views; depth is the mean distance of the splats' centres, normals are their
            shortest axes. Penalties are empty unless ``training``.
        """
        gaussians = self.splats.gaussians()
        footprints = project(gaussians, cameras, height, width)
        if self.training and footprints.centres.requires_grad:
            self._observe(footprints, height, width)
        seen = blend(footprints, gaussians.opacities, height, width)
        is_hit = seen.opacity > MIN_OPACITY
        depth = torch.where(is_hit, seen.distance / seen.opacity.clamp_min(MIN_OPACITY), 0.0)
        penalties: dict[str, Tensor] = {}
        if self.training:
            penalties = {
                "sparsity": regularizers.sparsity(seen.opacity),
                "opacity": regularizers.opacity_entropy(seen.opacity),
                "splat_opacity": gaussians.opacities.mean(),
                "splat_size": gaussians.scales.mean(),
            }
        return Views(seen.color, seen.opacity, depth, seen.normal, penalties)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Lets the strategy move splats.

        Args:
            step: The training step about to be made.
        """
        generator = key_generator("move", self.seed, step)
        self._replaced = self.strategy.update(self.splats, step, generator, self.steps_since)

    def render_bytes(self, num_views: int, num_pixels: int) -> int:
        """Bytes of a step's views; see :meth:`Representation.render_bytes`."""
        of_splats = _SPLAT_IN_A_VIEW * len(self.splats.means)
        return num_views * (of_splats + _PIXEL_IN_A_VIEW * num_pixels)

    def take_replaced(self) -> list[tuple[nn.Parameter, Int[Tensor, " M"]]]:
        """The rows that the strategy moved since this was asked last."""
        rows, self._replaced = self._replaced, self._replaced[:0]
        return [(parameter, rows) for parameter in self.splats.parameters()] if len(rows) else []

    @torch.no_grad()
    def start_from(self, start: Start, seed: int) -> None:
        """Lays the splats on a surface, flat and in its colours."""
        num = self.strategy.num_first(len(self.splats.means))
        self.splats.fill(on_surface(start, num, key_generator("fit", seed)))

    @torch.no_grad()
    def extract_surface(self, resolution: int) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
        """Fuses depths of views from around, then marching cubes, without small components.

        Args:
            resolution: Cells along each axis of [-1, 1]^3.

        Returns:
            Vertices and faces, counter-clockwise seen from outside, on the splats' device.

        Raises:
            ValueError: If no view sees a surface.
        """
        device = self.splats.means.device
        field = fuse_depths(self.render, resolution, self.surface_views, _FAR, device)
        if not (field > 0.0).any():
            raise ValueError(
                "no surface: the splats are too faint to be seen; train longer, or with less "
                "sparsity"
            )
        vertices, faces = self._isosurface(field, self._covering_level(field))
        return vertices.to(device), faces.to(device)

    def _covering_level(self, field: Float[Tensor, "G G G"]) -> float:
        """The level whose surface covers, from around, what views show as covered.

        Splats are soft, and the mean depth of what a pixel sees lies behind where it is half
        opaque. Of some levels that whose silhouettes overlap most (Jaccard index).
        """
        cameras = turntable(8, distance=_FAR).to(field.device)
        covered = self.render(cameras, _COVER_SIZE, _COVER_SIZE).opacity.flatten() >= 0.5
        origins, directions = (part.reshape(-1, 3) for part in rays(cameras, *[_COVER_SIZE] * 2))
        best, most = 0.0, -1.0
        for level in _LEVELS:
            surface = RayCaster(*self._isosurface(field, level), device=field.device)
            hit = surface.cast(origins, directions).face >= 0
            overlap = float((hit & covered).sum() / (hit | covered).sum().clamp_min(1))
            if overlap > most:
                best, most = level, overlap
        return best

    def _isosurface(
        self, field: Float[Tensor, "G G G"], level: float
    ) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
        # Shifted so that what is surely outside is 0, as outside of the box is.
        return extract_isosurface(field + 1.0, level + 1.0, self.component_share)

    @torch.no_grad()
    def colors(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Colour at points: that of the nearest splats, by opacity and nearness."""
        num = min(_NUM_NEIGHBOURS, len(self.splats.means))
        tree = cKDTree(self.splats.means.detach().cpu().numpy())
        distance, nearest = tree.query(points.detach().cpu().numpy(), k=range(1, num + 1))
        rows = torch.from_numpy(nearest).to(points.device)
        away = torch.from_numpy(distance).to(points)
        weights = self.splats.logits.sigmoid()[rows] / (away**2 + 1e-6)
        shares = weights / weights.sum(1, keepdim=True)
        return (shares[..., None] * self.splats.colors()[rows]).sum(1).clamp(0.0, 1.0)

    def parameter_groups(self) -> list[dict[str, object]]:
        """Optimiser groups, one a part of the splats, and ``background`` where one is learned."""
        parts: dict[str, list[nn.Parameter]] = {
            "means": [self.splats.means],
            "scales": [self.splats.log_scales],
            "rotations": [self.splats.rotations],
            "opacities": [self.splats.logits],
            "colors": [self.splats.base],
        }
        if self.splats.rest.requires_grad:
            parts["harmonics"] = [self.splats.rest]
        rates = self.learning_rates
        groups: list[dict[str, object]] = [
            {"name": name, "params": params, "lr": rates[name], "weight_decay": 0.0}
            for name, params in parts.items()
        ]  # splats are places, sizes and colours, which would shrink
        return groups + self.background_groups(rates["background"])

    @torch.no_grad()
    def gaussians(self) -> Gaussians:
        """Those splats that are seen at all."""
        splats = self.splats.gaussians()
        seen = splats.opacities >= MIN_ALPHA
        return Gaussians(*(part[seen] for part in splats))

    def _start_from_file(self, source: str, particle: int, resolution: int) -> None:
        """Takes over a file's splats, or lays them on its surface."""
        splats = read_splat_start(source, particle)
        if splats is None:
            self.start_from(read_start(source, particle, resolution, self.seed), self.seed)
            return
        num, most = len(splats.means), len(self.splats.means)
        if num > most:
            warnings.warn(
                f"{source} has {num:,} splats and num_splats is {most:,}: taking those that show "
                "most",
                RuntimeWarning,
                stacklevel=3,
            )
        try:
            self.splats.fill(that_show_most(splats, most))
        except ValueError as error:
            raise ValueError(f"cannot start from {source}: {error}") from error

    def _observe(self, footprints: Footprints, height: int, width: int) -> None:
        """Tells the strategy of the gradients, once they are known."""
        half = torch.tensor([0.5 * width, 0.5 * height], device=footprints.centres.device)
        is_seen = (footprints.conics[..., 0] > 0.0).any(0)

        def tell(grad: Tensor) -> None:
            self.strategy.observe((grad * half).norm(dim=-1).sum(0), is_seen)

        footprints.centres.register_hook(tell)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:  # noqa: ANN401
        """Says in one line that a checkpoint has another budget or degree.

        What another strategy has observed is left aside.
        """
        if not list(self.strategy.buffers()):
            for key in [key for key in state_dict if key.startswith(f"{prefix}strategy.")]:
                del state_dict[key]
        for name, own in (("means", self.splats.means), ("rest", self.splats.rest)):
            loaded = state_dict.get(f"{prefix}splats.{name}")
            if isinstance(loaded, Tensor) and loaded.shape != own.shape:
                raise ValueError(
                    f"the checkpoint has {len(loaded)} splats with "
                    f"{state_dict[f'{prefix}splats.rest'].shape[1]} higher harmonics each, the "
                    f"configuration {len(own)} with {self.splats.rest.shape[1]}: set num_splats "
                    "and degree to the checkpoint's"
                )
        super()._load_from_state_dict(state_dict, prefix, *args)


def _warn_of_size(num: int, degree: int) -> None:
    numbers = num * (11 + 3 * NUM_HARMONICS[degree])
    gigabytes = (_TRAINED_NUMBER * numbers + _SPLAT_IN_A_VIEW * num) / 1e9
    warnings.warn(
        f"{num:,} splats and no GPU: about {gigabytes:.1f} GB while they train, and each view of "
        "each step takes longer the more there are (docs/splats.md, Measured); fewer num_splats "
        "are faster",
        RuntimeWarning,
        stacklevel=3,
    )
