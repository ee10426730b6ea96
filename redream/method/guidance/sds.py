"""Score distillation sampling (Poole et al., 2022): Eq. 1."""

from jaxtyping import Float
from torch import Tensor

from redream.losses import sds_gradient
from redream.method.guidance.base import Guidance, Scored


class SDS(Guidance):
    """dL/dx = w(t) (eps_prior(x_t) - eps). Two rows of the prior a view."""

    def gradient(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """Eq. 1; see :meth:`Guidance.gradient`."""
        (eps,) = self.predict(self.guided(at))
        return sds_gradient(eps, at.noise, self.w(at))
