"""SDS-Bridge (McAllister et al., 2024): from the words of a bad picture to those of the prompt."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from redream.losses import sds_gradient
from redream.method.guidance.base import Guidance, Scored

SOURCE = (
    "oversaturated, smooth, pixelated, cartoon, foggy, hazy, blurry, bad structure, noisy,"
    " malformed"
)
"""``src_modifier`` of the authors' configs/sds-bridge.yaml."""


class SDSBridge(Guidance):
    """dL/dx = eps(x_t; prompt) - eps(x_t; prompt, source words), after a first stage of SDS.

    Of the two score differences of a Schroedinger bridge the first points to the prompt, the
    second to where a distilled picture is by now; words describe that. Two rows a view. The prompt
    itself is the target (the authors add ``.`` to it).

    Args:
        source: What a picture of SDS looks like, appended to the prompt.
        begin_step: Where the bridge begins; before it is SDS with ``scale`` and ``weighting``.
        bridge_weight: Weight of the bridge, the same at all t.
        **common: As of :class:`Guidance`.
    """

    def __init__(
        self,
        source: str = SOURCE,
        begin_step: int = 20_000,  # stage2_start_step, of 25,000
        bridge_weight: float = 1.0,  # stage2_weight; weighting_strategy: uniform
        **common: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**common)
        self.source, self.begin_step, self.bridge_weight = source, begin_step, bridge_weight

    def other_texts(self, prompt: str) -> tuple[str, ...]:
        """The prompt with the source words."""
        return (f"{prompt}, {self.source}",)

    def gradient(self, at: Scored) -> Float[Tensor, "B C h w"]:
        """See :meth:`Guidance.gradient`; ``compute_grad_sds_bridge`` of the authors' code."""
        if at.step < self.begin_step:
            (eps,) = self.predict(self.guided(at))
            return sds_gradient(eps, at.noise, self.w(at))
        target, source = self.predict(
            self.guided(at, scale=1.0), self.rows(at, text=at.others[0].text)
        )
        return self.bridge_weight * (target - source)
