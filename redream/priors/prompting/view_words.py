"""The view in words, as DreamFusion does (Poole et al., 2022, Sec. 3.2)."""

from jaxtyping import Float
from torch import Tensor

from redream.priors.prompting.base import Conditioning, Prompting
from redream.types import Cameras


class ViewWords(Prompting):
    """Each camera sees the text of the view that it looks at.

    The template ``"{prompt}"`` says nothing of views.
    """

    def condition(self, table: Float[Tensor, "V L D"], cameras: Cameras) -> Conditioning:
        """The view's own embedding; see :meth:`Prompting.condition`."""
        return Conditioning(table[self.view_indices(cameras).to(table.device)])
