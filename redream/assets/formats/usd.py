"""Writes a mesh as a USDZ package: Pixar's USD with its textures in one file."""

import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from redream.assets.color import srgb_to_linear
from redream.assets.writing import texture_png, unit_normals
from redream.files import whole_file
from redream.types import Material, Sampler, TriangleMesh

if TYPE_CHECKING:
    from pxr import Usd, UsdShade


def require_usd() -> None:
    """Finds out whether USD can be written.

    Raises:
        ImportError: If its library is missing; one line that says how to install it.
    """
    if find_spec("pxr") is None:
        raise ImportError("the format usd needs the library usd-core: pip install 'redream[usd]'")


def write_usd(path: Path, mesh: TriangleMesh, extras: Mapping[str, Any] | None = None) -> None:
    """Writes a package of one layer (+Y up, metres) and its textures.

    Args:
        path: The ``.usdz`` file.
        mesh: The mesh; it becomes a prim per material.
        extras: What to say in the layer's ``customLayerData``.

    Raises:
        ImportError: If usd-core is missing.
        ValueError: If the mesh has no faces.
        OSError: If the folder cannot be written.
    """
    if len(mesh.faces) == 0:
        raise ValueError("the mesh has no faces, so there is nothing to write")
    require_usd()
    from pxr import Sdf, Usd, UsdGeom, UsdUtils

    with whole_file(path) as temporary, tempfile.TemporaryDirectory() as folder:
        layer = Path(folder) / f"{path.stem}.usdc"
        stage = Usd.Stage.CreateNew(str(layer))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/model").GetPrim())
        if extras:
            stage.GetRootLayer().customLayerData = _dictionary(extras)
        for index, material in enumerate(mesh.materials):
            faces = (mesh.face_materials == index).nonzero()[:, 0].numpy()
            if len(faces) > 0:
                shown = _material(stage, index, material, Path(folder))
                _prim(stage, index, mesh, faces, shown, material.has_texture)
        stage.GetRootLayer().Save()
        if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(temporary)):
            raise OSError(f"cannot write {path}: USD could not make the package")


def _dictionary(value: Any) -> Any:  # noqa: ANN401
    """Lists as dictionaries by number, since layers hold no lists of dictionaries."""
    if isinstance(value, Mapping):
        return {str(key): _dictionary(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return {f"item_{i}": _dictionary(each) for i, each in enumerate(value)}
    return value


def _prim(
    stage: "Usd.Stage",
    index: int,
    mesh: TriangleMesh,
    faces: np.ndarray,
    material: "UsdShade.Material",
    has_texture: bool,
) -> None:
    """The triangles of one material."""
    from pxr import Sdf, UsdGeom, UsdShade, Vt

    def vectors(kind: Any, values: np.ndarray) -> Any:  # noqa: ANN401
        return kind.FromNumpy(np.ascontiguousarray(values, dtype=np.float32))

    used, corners = np.unique(mesh.faces.numpy()[faces], return_inverse=True)
    points = mesh.vertices.numpy()[used]
    prim = UsdGeom.Mesh.Define(stage, f"/model/mesh_{index}")
    prim.CreatePointsAttr(vectors(Vt.Vec3fArray, points))
    prim.CreateFaceVertexCountsAttr(Vt.IntArray(len(faces), 3))
    prim.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(corners.reshape(-1).astype(np.int32)))
    prim.CreateNormalsAttr(vectors(Vt.Vec3fArray, unit_normals(mesh, faces)))
    prim.SetNormalsInterpolation(UsdGeom.Tokens.faceVarying)
    prim.CreateExtentAttr(vectors(Vt.Vec3fArray, np.stack([points.min(0), points.max(0)])))
    prim.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    prim.CreateDoubleSidedAttr(True)
    if has_texture:
        uvs = mesh.corner_uvs.numpy()[faces].reshape(-1, 2) * (1.0, -1.0) + (0.0, 1.0)
        place = UsdGeom.PrimvarsAPI(prim).CreatePrimvar(
            "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying
        )
        place.Set(vectors(Vt.Vec2fArray, uvs))
    UsdShade.MaterialBindingAPI.Apply(prim.GetPrim()).Bind(material)


def _material(
    stage: "Usd.Stage", index: int, material: Material, folder: Path
) -> "UsdShade.Material":
    """A preview surface; what is unlit gives out its colour instead of taking light."""
    from pxr import Gf, Sdf, UsdShade

    types, path = Sdf.ValueTypeNames, f"/model/material_{index}"
    written = UsdShade.Material.Define(stage, path)
    surface = _shader(stage, f"{path}/surface", "UsdPreviewSurface")
    surface.CreateInput("roughness", types.Float).Set(0.9)
    surface.CreateInput("metallic", types.Float).Set(0.0)
    surface.CreateInput("opacity", types.Float).Set(float(material.base_color[3]))
    color = surface.CreateInput(
        "emissiveColor" if material.unlit else "diffuseColor", types.Color3f
    )
    if material.unlit:
        surface.CreateInput("diffuseColor", types.Color3f).Set(Gf.Vec3f(0.0))
    factor = [float(each) for each in srgb_to_linear(np.array(material.base_color[:3]))]
    _connect(stage, color, path, "texture", folder, factor, material.texture, material.sampler)
    if material.emits and not material.unlit:
        glow = material.emission_texture
        if glow is not None:
            glow = torch.cat([glow, torch.ones_like(glow[..., :1])], dim=-1)
        emitted = surface.CreateInput("emissiveColor", types.Color3f)
        _connect(
            stage,
            emitted,
            path,
            "emission",
            folder,
            list(material.emission),
            glow,
            material.sampler,
        )
    written.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", types.Token))
    return written


def _connect(
    stage: "Usd.Stage",
    color: "UsdShade.Input",
    path: str,
    kind: str,
    folder: Path,
    factor: list[float],
    picture: Float[Tensor, "H W 4"] | None,
    sampler: Sampler,
) -> None:
    """Gives a colour its factor, in linear light, and its picture where there is one."""
    from pxr import Gf, Sdf

    types = Sdf.ValueTypeNames
    if picture is None:
        color.Set(Gf.Vec3f(*factor))
        return
    file = folder / f"{kind}_{path.rpartition('_')[2]}.png"
    file.write_bytes(texture_png(picture))
    reader = _shader(stage, f"{path}/{kind}_place", "UsdPrimvarReader_float2")
    reader.CreateInput("varname", types.String).Set("st")
    texture = _shader(stage, f"{path}/{kind}", "UsdUVTexture")
    texture.CreateInput("file", types.Asset).Set(Sdf.AssetPath(f"./{file.name}"))
    texture.CreateInput("sourceColorSpace", types.Token).Set("sRGB")
    texture.CreateInput("scale", types.Float4).Set(Gf.Vec4f(*factor, 1.0))
    for name, wrap in (("wrapS", sampler.wrap_u), ("wrapT", sampler.wrap_v)):
        texture.CreateInput(name, types.Token).Set(wrap)
    texture.CreateInput("st", types.Float2).ConnectToSource(
        reader.CreateOutput("result", types.Float2)
    )
    color.ConnectToSource(texture.CreateOutput("rgb", types.Float3))


def _shader(stage: "Usd.Stage", path: str, kind: str) -> "UsdShade.Shader":
    from pxr import UsdShade

    shader = UsdShade.Shader.Define(stage, path)
    shader.CreateIdAttr(kind)
    return shader
