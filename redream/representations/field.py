"""The radiance field of a NeRF: density and colour at a point, from a hash encoding."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from redream.kernels import sight
from redream.kernels.hash_grid import HashGrid
from redream.kernels.march import March
from redream.kernels.perceptron import pack
from redream.representations import tracing
from redream.representations.mlp import is_fused, mlp


class Field(nn.Module):
    """Density and view-independent colour on a hash encoding of the box [-1, 1]^3.

    Density is ``softplus(raw + blob)`` where ``blob = blob_scale (1 - |x| / blob_radius)`` makes
    the field start as a soft ball (threestudio's ``blob_magic3d``); colour is a sigmoid.

    ``sharpness`` makes density steeper around the one at which a surface stands, ``pivot``: of
    ``raw + blob`` it takes ``pivot + sharpness (raw + blob - pivot)``. As it grows, matter becomes
    opaque and what surrounds it empty, and the field a surface, as with the inverse standard
    deviation of NeuS (Wang et al., 2021) and VolSDF (Yariv et al., 2021).

    Args:
        grid: The hash encoding.
        hidden: Width of the hidden layers.
        blob_scale: Height of the density's bias at the centre.
        blob_radius: Where the bias crosses zero, in world units.
        pivot: Density, per world unit, that ``sharpness`` leaves as it is.
        generator: Source of the initial weights.
    """

    sharpness: Float[Tensor, ""]

    def __init__(
        self,
        grid: HashGrid,
        hidden: int,
        blob_scale: float,
        blob_radius: float,
        pivot: float,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.density_mlp = mlp(grid.num_features, hidden, 1, generator)
        self.color_mlp = mlp(grid.num_features, hidden, 3, generator)
        self.blob_scale = blob_scale
        self.blob_radius = blob_radius
        self.pivot = pivot
        self.register_buffer("sharpness", torch.ones(()))

    def encode(
        self, points: Float[Tensor, "N 3"], known: Float[Tensor, "N F"] | None = None
    ) -> Float[Tensor, "N F"]:
        """Hash encoding of world points, which may be known already, but for its gradients."""
        encoded: Tensor = self.grid(0.5 * points + 0.5, known)
        return encoded

    def raw_density(
        self, points: Float[Tensor, "N 3"], encoded: Float[Tensor, "N F"]
    ) -> Float[Tensor, " N"]:
        """Density before it is sharpened and before the softplus; of any sign."""
        blob = self.blob_scale * (1.0 - points.norm(dim=-1) / self.blob_radius)
        with torch.autocast(points.device.type, enabled=False):  # 8 bits are too few for tens
            raw: Tensor = self.density_mlp(encoded)[:, 0] + blob
        return raw

    def forward(
        self, points: Float[Tensor, "N 3"], known: Float[Tensor, "N F"] | None = None
    ) -> tuple[Float[Tensor, " N"], Float[Tensor, "N F"]]:
        """Density per world unit, and the encoding that :meth:`color` takes."""
        encoded = self.encode(points, known)
        raw = self.raw_density(points, encoded)
        sharp = self.pivot + self.sharpness * (raw - self.pivot)
        return nn.functional.softplus(sharp), encoded

    @torch.no_grad()
    def look(self, rays: March, least: Float[Tensor, ""]) -> tracing.Visible:
        """The samples of rays that count; see :func:`redream.representations.tracing.look`."""
        if not is_fused(rays.origins):
            return tracing.look(lambda points: self(points)[0], rays, least)
        packed = pack(*self.density_mlp.parameters())
        steepness = float(self.sharpness)
        shape = sight.Shape(self.blob_scale, self.blob_radius, self.pivot, steepness)
        ends = tracing.AHEAD, tracing.ENDED, float(least)
        return tracing.Visible(*sight.look(rays, self.grid, packed, shape, *ends))

    def color(self, encoded: Float[Tensor, "N F"]) -> Float[Tensor, "N 3"]:
        """Colour in [0, 1]."""
        colors: Tensor = torch.sigmoid(self.color_mlp(encoded))
        return colors

    def normals(self, points: Float[Tensor, "N 3"], step: float) -> Float[Tensor, "N 3"]:
        """Unit normals, where density falls fastest, by central differences.

        Args:
            points: World points.
            step: Half of the distance between the two points of a difference.

        Returns:
            The normals, with gradients to the parameters.
        """
        axes = step * torch.eye(3, dtype=points.dtype, device=points.device)
        shifts = torch.cat([axes, -axes])
        shifted = (points[:, None] + shifts).clamp(-1.0, 1.0).view(-1, 3)
        raw = self.raw_density(shifted, self.encode(shifted)).view(-1, 2, 3)
        return nn.functional.normalize(raw[:, 1] - raw[:, 0], dim=-1, eps=1e-8)
