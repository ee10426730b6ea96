"""How far two sets of pictures lie apart, as distributions: a kernel distance with an interval."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

_Z95 = 1.959964


@dataclass(frozen=True)
class KernelDistance:
    """A squared maximum mean discrepancy.

    Attributes:
        value: The unbiased estimate; near 0, and as often below as above, for equal distributions.
        low: Lower end of the 95% interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def kernel_distance(
    samples: Float[Tensor, "M D"], reference: Float[Tensor, "N D"]
) -> KernelDistance:
    """The kernel distance of Binkowski et al. (2018), on a CLIP's unit vectors.

    The kernel is theirs, the cube of one plus the dot product, of vectors scaled to squared length
    D: for unit vectors ``(1 + cosine)^3``. The interval is a jackknife over the vectors of both
    sets, not their spread over random subsets, which shrinks with the subsets' number.

    Args:
        samples: Unit vectors of pictures, each drawn independently.
        reference: Those that they are compared with.

    Returns:
        The distance.

    Raises:
        ValueError: If a set has fewer than three vectors.
    """
    num, other = len(samples), len(reference)
    if min(num, other) < 3:
        raise ValueError(f"each set needs three vectors or more, got {num} and {other}")
    x, y = samples.double(), reference.double()
    among_x, among_y = _kernel(x, x), _kernel(y, y)
    between = _kernel(x, y)
    rows_x = among_x.sum(dim=1) - among_x.diagonal()
    rows_y = among_y.sum(dim=1) - among_y.diagonal()
    mean_x = rows_x.sum() / (num * (num - 1))
    mean_y = rows_y.sum() / (other * (other - 1))
    cross = between.mean()
    value = mean_x + mean_y - 2.0 * cross
    # What the estimate would be without each of the vectors.
    lacking_x = (rows_x.sum() - 2.0 * rows_x) / ((num - 1) * (num - 2)) + mean_y
    lacking_x = lacking_x - 2.0 * (between.sum() - between.sum(dim=1)) / ((num - 1) * other)
    lacking_y = (rows_y.sum() - 2.0 * rows_y) / ((other - 1) * (other - 2)) + mean_x
    lacking_y = lacking_y - 2.0 * (between.sum() - between.sum(dim=0)) / (num * (other - 1))
    variance = _jackknife(lacking_x) + _jackknife(lacking_y)
    reach = _Z95 * float(variance.sqrt())
    return KernelDistance(float(value), float(value) - reach, float(value) + reach)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (1.0 + x @ y.T) ** 3


def _jackknife(lacking: Tensor) -> Tensor:
    num = len(lacking)
    return (num - 1) / num * (lacking - lacking.mean()).square().sum()
