"""Which glTF extensions are honoured, which change nothing that is drawn, and which are named."""

from collections.abc import Collection

from redream.assets.gltf.header import Json

HONOURED = (
    "EXT_mesh_gpu_instancing",
    "EXT_meshopt_compression",
    "EXT_texture_webp",
    "KHR_draco_mesh_compression",
    "KHR_materials_emissive_strength",
    "KHR_materials_pbrSpecularGlossiness",
    "KHR_materials_unlit",
    "KHR_mesh_quantization",
    "KHR_meshopt_compression",
    "KHR_node_visibility",
    "KHR_texture_transform",
)

HARMLESS = (  # of light, gloss, motion, sound and facts: none of it is part of a base colour
    "ADOBE_materials_clearcoat",
    "AGI_articulations",
    "CESIUM_",
    "EXT_lights_",
    "EXT_mesh_features",
    "EXT_mesh_manifold",
    "EXT_structural_metadata",
    "EXT_instance_features",
    "FB_geometry_metadata",
    "FB_ngon_encoding",
    "KHR_accessor_float64",
    "KHR_animation_pointer",
    "KHR_audio",
    "KHR_interactivity",
    "KHR_lights_",
    "KHR_materials_anisotropy",
    "KHR_materials_clearcoat",
    "KHR_materials_dispersion",
    "KHR_materials_ior",
    "KHR_materials_iridescence",
    "KHR_materials_sheen",
    "KHR_materials_specular",
    "KHR_materials_variants",  # the default variant is shown
    "KHR_node_hoverability",
    "KHR_node_selectability",
    "KHR_physics",
    "KHR_rigid_bodies",
    "KHR_xmp",
    "MSFT_lod",  # the finest level is shown
    "MSFT_packing_",
    "MSFT_audio",
    "OMI_",
    "VRM",  # bones and expressions; VRMC_materials_mtoon is named below
)

_TEXTURES = ("EXT_texture_avif", "KHR_texture_basisu", "MSFT_texture_dds")
"""Pictures that are not read; each is named where no other stands in for it."""

_WAYS_OUT = {
    "KHR_texture_basisu": "npx @gltf-transform/cli ktxdecompress IN.glb OUT.glb",
    "EXT_texture_avif": "npx @gltf-transform/cli png IN.glb OUT.glb",
}
_ANY_WAY_OUT = "export it without, for instance by Blender"


def require_known(header: Json) -> None:
    """Refuses a file that cannot be drawn without an extension that is not honoured.

    Raises:
        ValueError: If there is such an extension; one line that says what to do.
    """
    for name in header.get("extensionsRequired", ()):
        if not _is_known(name) and not name.startswith("KHR_materials_"):
            way_out = _WAYS_OUT.get(name, _ANY_WAY_OUT)
            raise ValueError(f"it needs the glTF extension {name}, which is not read: {way_out}")


def left_out(header: Json) -> list[str]:
    """The extensions that a file uses and that change its looks, but are not honoured."""
    used = header.get("extensionsUsed", ())
    return [name for name in dict.fromkeys(used) if not _is_known(name) and name not in _TEXTURES]


def way_out(extensions: Collection[str]) -> str:
    """How to rewrite a file whose pictures are of one of these extensions."""
    return next((_WAYS_OUT[name] for name in extensions if name in _WAYS_OUT), _ANY_WAY_OUT)


def _is_known(name: str) -> bool:
    if name == "VRMC_materials_mtoon":
        return False
    return name in HONOURED or name.startswith(HARMLESS)
