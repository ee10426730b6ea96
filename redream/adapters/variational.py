"""The variational adapter zeta: the score of the particles' own renderings (Eq. 4)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from redream.adapters.base import ATTENTION, Adapter, LoraHost
from redream.types import Cameras


class VariationalAdapter(Adapter):
    """LoRA zeta with a camera embedding, as in ProlificDreamer (Wang et al., 2023b).

    The camera-to-world matrix, flattened, passes through Linear-SiLU-Linear and is added to the
    time embedding of zeta's rows. The last layer starts at zero, so zeta starts as the prior.

    Args:
        rank: Rank of the update.
        lora_alpha: The update is scaled by ``lora_alpha / rank``.
        learning_rate: Of the LoRA and the camera embedding.
        target_modules: Endings of the names of the adapted linear layers of the UNet.
        camera_conditioning: Whether zeta is told the camera psi.
    """

    def __init__(
        self,
        rank: int = 4,
        lora_alpha: float = 4.0,
        learning_rate: float = 1e-4,
        target_modules: Sequence[str] = ATTENTION,
        camera_conditioning: bool = True,
    ) -> None:
        super().__init__()
        self.rank = rank
        self.lora_alpha = lora_alpha
        self.learning_rate = learning_rate
        self.target_modules = tuple(target_modules)
        self.camera_conditioning = camera_conditioning
        self.camera: nn.Sequential | None = None

    @property
    def name(self) -> str:
        """``zeta``."""
        return "zeta"

    def attach(self, prior: LoraHost) -> None:
        """Creates the LoRA and the camera embedding; see :meth:`Adapter.attach`."""
        self.lora = prior.add_lora(self.name, self.rank, self.lora_alpha, self.target_modules)
        if self.camera_conditioning:
            width = prior.time_embedding_dim
            last = nn.Linear(width, width)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.camera = nn.Sequential(nn.Linear(16, width), nn.SiLU(), last)
            self.camera.to(next(self.lora.parameters()).device)

    def embed_cameras(self, cameras: Cameras) -> Float[Tensor, "B E"] | None:
        """What is added to the time embedding of zeta's rows, None without conditioning."""
        if self.camera is None:
            return None
        embedded: Tensor = self.camera(cameras.c2w.flatten(1))
        return embedded

    def parameter_groups(self) -> list[dict[str, object]]:
        """One group, ``zeta``: the LoRA and the camera embedding."""
        return [{"name": "zeta", "params": list(self.parameters()), "lr": self.learning_rate}]
