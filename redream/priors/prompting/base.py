"""The interface of view-dependent prompting."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from redream.cameras import view_indices, view_names
from redream.priors.base import Repelled
from redream.types import Cameras


class Conditioning(NamedTuple):
    """What rows are conditioned on.

    Attributes:
        text: The wanted text's embedding, one a row.
        repelled: What they are pushed away from.
    """

    text: Float[Tensor, "B L D"]
    repelled: tuple[Repelled, ...] = ()


class Prompting(ABC):
    """Turns a prompt and cameras into text embeddings.

    A run first asks for the words of front, side and back and has them encoded: by themselves, or
    behind the learned prefixes e_psi where a light adapter teaches those. Each step then asks
    what of the three embeddings a camera should see.

    Args:
        template: How a view is named where no prefix names it.
        front_deg: Azimuths up to here, to either side, are the front.
        back_deg: Azimuths from here on are the back.

    Raises:
        ValueError: If the template leaves the prompt out.
    """

    def __init__(
        self,
        template: str = "{prompt}, {view} view",
        front_deg: float = 45.0,
        back_deg: float = 135.0,
    ) -> None:
        if "{prompt}" not in template:
            raise ValueError(f"template must contain {{prompt}}, unlike {template!r}")
        self.template = template
        self.front_deg, self.back_deg = front_deg, back_deg

    def view_names(self, cameras: Cameras) -> list[str]:
        """``front``, ``side`` or ``back`` for each camera."""
        return view_names(cameras.azimuth_deg, self.front_deg, self.back_deg)

    def view_indices(self, cameras: Cameras) -> Int[Tensor, " B"]:
        """The same as indices into ``VIEW_NAMES``, on the cameras' device."""
        return view_indices(cameras.azimuth_deg, self.front_deg, self.back_deg)

    def words(self, prompt: str, view: str) -> str:
        """What is said of the object in a view; the prompt unless it contradicts the view."""
        return prompt

    def spoken(self, prompt: str, view: str) -> str:
        """The same with the view in words, for priors without learned prefixes."""
        return self.template.format(prompt=self.words(prompt, view), view=view)

    @abstractmethod
    def condition(self, table: Float[Tensor, "V L D"], cameras: Cameras) -> Conditioning:
        """What each camera should see.

        Args:
            table: Embeddings of the prompt seen from ``VIEW_NAMES``: front, side and back.
            cameras: The cameras of the rows.

        Returns:
            One text a row, and what repels.
        """
