"""MVDream: a Stable Diffusion that looks at several views and is told where they are."""

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from redream.priors.families.base import Loader
from redream.priors.families.ldm import PICTURE, LdmUNet
from redream.priors.families.stable_diffusion import StableDiffusion
from redream.priors.view_attention import attend_to_views

CAMERA_WIDTH = 16  # a flattened matrix


class MVDream(StableDiffusion):
    """MVDream (Shi et al., 2023) on Stable Diffusion 2.1 or 1.5, as ``redream convert`` writes it.

    Its camera embedding is diffusers' embedding of projected class labels.
    """

    class_conditions: ClassVar[tuple[str | None, ...]] = ("projection",)
    sees_picture: ClassVar[bool] = False
    other_classes: ClassVar[tuple[str, ...]] = ("UNet2DConditionModel", "MultiViewUNetModel")

    @classmethod
    def load(cls, load: Loader, index: dict[str, Any]) -> Self:
        """Reads the parts; see :meth:`Family.load`."""
        family = cls._load_around(load, LdmUNet)
        if getattr(family.denoiser, PICTURE, None) and not cls.sees_picture:
            raise ValueError("it is ImageDream's: set --model.prior.class_path ImageDreamPrior")
        return family

    def require_plain(self) -> None:
        """Refuses a UNet that is told no cameras; see :meth:`Family.require_plain`."""
        width = self.denoiser.config.projection_class_embeddings_input_dim
        if width != CAMERA_WIDTH:
            raise ValueError(
                f"its UNet is told no cameras of {CAMERA_WIDTH} numbers: give MVDream's, "
                "as `redream convert` writes it"
            )
        super().require_plain()

    def look_at(self, num_views: int) -> None:
        """Lets so many neighbouring rows see each other."""
        attend_to_views(self.denoiser, num_views)

    def denoise_views(
        self,
        noisy: Float[Tensor, "B C h w"],
        times: Float[Tensor, " B"],
        text: Float[Tensor, "B L D"],
        cameras: Float[Tensor, "B 16"],
    ) -> Float[Tensor, "B C h w"]:
        """The UNet's answer to whole sets of views."""
        output: Tensor = self.denoiser(
            noisy, times, text, class_labels=cameras.to(noisy.dtype), return_dict=False
        )[0]
        return output
