"""A mesh's own colours at points on its triangles: vertex colours, factors, textures, emission."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from redream.assets.color import decode_srgb, encode_srgb
from redream.assets.sampling import look_up
from redream.types import TriangleMesh

_Picture = Float[Tensor, "H W C"]


class SurfaceColors:
    """The colours of a mesh, without light.

    Vertex colours are interpolated, and colours multiplied, in linear light, as the format and the
    tools that make it have it; what needs neither keeps its values to the bit.

    Args:
        mesh: The mesh.
        device: Where to look colours up.
    """

    def __init__(self, mesh: TriangleMesh, device: torch.device) -> None:
        self._uvs = mesh.corner_uvs.to(device)
        self._face_materials = mesh.face_materials.to(device)
        self._materials = mesh.materials
        self._textures = [_on(device, m.texture) for m in mesh.materials]
        self._glows = [_on(device, m.emission_texture) for m in mesh.materials]
        self._emission = torch.tensor([m.emission for m in mesh.materials], device=device)
        self._emits = any(m.emits for m in mesh.materials)
        factors = torch.tensor([m.base_color for m in mesh.materials], device=device)
        factors = factors[self._face_materials][:, None]  # F 1 4
        colors = mesh.corner_colors.to(device)
        tints = decode_srgb(colors[..., :3]) * decode_srgb(factors[..., :3])
        self._tints = torch.cat([tints, colors[..., 3:] * factors[..., 3:]], dim=-1)
        self._is_flat = (self._tints == self._tints[:, :1]).all(dim=(1, 2))
        first = colors[:, 0, :3]
        flat = torch.where(factors[:, 0, :3] == 1.0, first, factors[:, 0, :3])
        both = (factors[:, 0, :3] != 1.0) & (first != 1.0)
        flat = torch.where(both, encode_srgb(self._tints[:, 0, :3]), flat)
        self._flat = torch.cat([flat, self._tints[:, 0, 3:]], dim=-1)
        self._is_white = self._is_flat & (self._flat[:, :3] == 1.0).all(dim=1)

    def base(
        self, face: Int[Tensor, " N"], barycentric: Float[Tensor, "N 3"]
    ) -> Float[Tensor, "N 4"]:
        """Vertex colour times factor times texture, sRGB, without emission."""
        color = self._flat[face]
        blended = (~self._is_flat[face]).nonzero()[:, 0]
        if len(blended):
            tints = torch.einsum("nk,nkc->nc", barycentric[blended], self._tints[face[blended]])
            color[blended] = torch.cat([encode_srgb(tints[:, :3]), tints[:, 3:]], dim=1)
        material = self._face_materials[face]
        for index, texture in enumerate(self._textures):
            if texture is not None:
                shown = (material == index).nonzero()[:, 0]
                texels = self._texels(texture, index, face[shown], barycentric[shown])
                tint = color[shown]
                rgb = texels[:, :3]
                tinted = (~self._is_white[face[shown]]).nonzero()[:, 0]
                if len(tinted):
                    product = decode_srgb(rgb[tinted]) * decode_srgb(tint[tinted, :3])
                    rgb = rgb.index_copy(0, tinted, encode_srgb(product))
                color[shown] = torch.cat([rgb, tint[:, 3:] * texels[:, 3:]], dim=1)
        return color.clamp(0.0, 1.0)

    def glowing(
        self,
        rgb: Float[Tensor, "N 3"],
        face: Int[Tensor, " N"],
        barycentric: Float[Tensor, "N 3"],
    ) -> Float[Tensor, "N 3"]:
        """Colours with the emission added, in linear light."""
        if not self._emits:
            return rgb
        material = self._face_materials[face]
        glow = self._emission[material]
        for index, texture in enumerate(self._glows):
            if texture is not None:
                shown = (material == index).nonzero()[:, 0]
                texels = self._texels(texture, index, face[shown], barycentric[shown])
                glow[shown] *= decode_srgb(texels)
        return torch.where(glow > 0.0, encode_srgb(decode_srgb(rgb) + glow), rgb)

    def _texels(
        self,
        texture: _Picture,
        index: int,
        face: Int[Tensor, " N"],
        barycentric: Float[Tensor, "N 3"],
    ) -> Float[Tensor, "N C"]:
        uvs = torch.einsum("nk,nkc->nc", barycentric, self._uvs[face])
        return look_up(texture, uvs, self._materials[index].sampler)


def _on(device: torch.device, picture: _Picture | None) -> _Picture | None:
    return None if picture is None else picture.to(device)
