"""How hard the assets pull a particle's pictures in warm-up, beside how hard the prior does."""

import torch
from torch import Tensor


class Pulls:
    """Lengths of the gradients of Eqs. 2 and 3 with respect to the same pictures.

    Both are read on their way back, which costs nothing but a sum of squares.
    """

    def __init__(self) -> None:
        self._squares: dict[str, Tensor] = {}

    def watch(self, name: str, image: Tensor) -> None:
        """Adds up what comes back to a picture.

        Args:
            name: ``asset`` or ``prior``.
            image: A picture that this pull alone goes through.
        """
        if image.requires_grad:

            def add(gradient: Tensor) -> None:
                square = gradient.detach().float().square().sum()
                self._squares[name] = self._squares.get(name, torch.zeros_like(square)) + square

            image.register_hook(add)

    def take_ratio(self) -> Tensor | None:
        """The length of Eq. 3's pull over that of Eq. 2's since it was asked last.

        Returns:
            A scalar on the pictures' device; None where one of them did not pull.
        """
        asset, prior = (self._squares.pop(name, None) for name in ("asset", "prior"))
        return None if asset is None or prior is None else (asset / prior).sqrt()
