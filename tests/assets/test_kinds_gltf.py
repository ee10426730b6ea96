"""The kinds of glTF files that people have, each with what is right and who decides it."""

import logging
import math
import sys

import numpy as np
import pytest
import torch
from fabricated import BLUE, GREEN, RED
from tiny_gltf import SQUARE, TWO, UVS, Gltf, png, shown

from redream.assets import AssetRenderer, load_mesh
from redream.assets.annotations import file_facts
from redream.cameras import turntable

WHITE, BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
FOUR = (RED, GREEN, BLUE, WHITE)  # of quadrant_picture: above left and right, below left and right


def seen(mesh):
    """The colours above left, above right, below left and below right of the middle, unlit."""
    views = AssetRenderer(mesh, ambient=1.0, diffuse=0.0).render(turntable(1, 0.0), 64, 64)
    rgb = views.over(torch.zeros(1, 3, 1, 1))[0]
    return [tuple(rgb[:, row, column].tolist()) for row in (26, 37) for column in (26, 37)]


def same(found, wanted, tolerance=0.01):
    np.testing.assert_allclose(np.array(found), np.array(wanted), atol=tolerance)


def sparse_colors(file):
    red = np.array([[1, 0, 0, 1]] * 4, dtype="f4")
    return file.square({}, {"COLOR_0": file.sparse(red, [0, 1, 2, 3])})


def sparse_positions(file):
    moved = SQUARE.copy()
    moved[:2] = [[9, 9, 9], [7, 7, 7]]
    texture = file.texture()
    return file.square(shown(texture), {"POSITION": file.sparse(SQUARE, [0, 1], base=moved)})


def sparse_indices(file):
    return file.square(shown(file.texture()), indices=file.sparse(TWO, range(6)))


def sparse_uvs(file):
    return file.square(shown(file.texture()), {"TEXCOORD_0": file.sparse(UVS, [0, 1, 2])})


def emissive(file):
    material = {"emissiveFactor": [1, 1, 1], "emissiveTexture": {"index": file.texture()}}
    material["pbrMetallicRoughness"] = {"baseColorFactor": [0, 0, 0, 1]}
    return file.square(material)


def emissive_over_textured_black(file):
    material = shown(file.texture(png(np.zeros((2, 2, 3), np.uint8))), texCoord=1)
    material["pbrMetallicRoughness"]["baseColorFactor"] = [0, 0, 0, 1]
    material |= {"emissiveFactor": [1, 1, 1], "emissiveTexture": {"index": file.texture()}}
    return file.square(material, {"TEXCOORD_1": file.accessor(UVS * 3)})


def emissive_strength(file):
    strong = {"KHR_materials_emissive_strength": {"emissiveStrength": 4.0}}
    material = {"emissiveFactor": [0.05, 0.0, 0.0], "extensions": strong}
    material["pbrMetallicRoughness"] = {"baseColorFactor": [0, 0, 0, 1]}
    return file.use(*strong).square(material)


def emissive_adds(file):
    material = {"emissiveFactor": [0.0, 1.0, 0.0]}
    material["pbrMetallicRoughness"] = {"baseColorFactor": [1, 0, 0, 1]}
    return file.square(material)


def emissive_is_no_part_of_unlit(file):
    material = {"emissiveFactor": [0, 1, 0], "extensions": {"KHR_materials_unlit": {}}}
    material["pbrMetallicRoughness"] = {"baseColorFactor": [1, 0, 0, 1]}
    return file.use("KHR_materials_unlit").square(material)


def fan(file):
    return file.square(shown(file.texture()), mode=6, indices=file.accessor(TWO[[0, 1, 2, 5]]))


def strip(file):
    order = np.array([0, 1, 3, 2], dtype="u1")
    return file.square(shown(file.texture()), mode=5, indices=file.accessor(order))


def fan_without_indices(file):
    file.square(shown(file.texture()), mode=6)
    del file.json["meshes"][0]["primitives"][0]["indices"]
    return file


def transformed(file):
    transform = {"offset": [0.5, 0.0], "texCoord": 1}
    material = shown(file.texture(), extensions={"KHR_texture_transform": transform})
    uvs = file.accessor(UVS - np.array([0.5, 0.0], dtype="f4"))
    wrong = {"TEXCOORD_0": file.accessor(0 * UVS), "TEXCOORD_1": uvs}
    return file.use("KHR_texture_transform").square(material, wrong)


def turned(file):
    transform = {"rotation": math.pi / 2, "offset": [0.0, 1.0]}
    material = shown(file.texture(), extensions={"KHR_texture_transform": transform})
    return file.use("KHR_texture_transform").square(material)


def sampled(wrap, uvs):
    def build(file):
        sampler = {"wrapS": wrap, "wrapT": wrap}
        return file.square(
            shown(file.texture(sampler=sampler)), {"TEXCOORD_0": file.accessor(uvs.astype("f4"))}
        )

    return build


def nearest(file):
    pixels = np.array([[[255, 0, 0], [0, 255, 0]]], dtype=np.uint8)
    texture = file.texture(png(pixels), sampler={"magFilter": 9728})
    inside = UVS * [0.1, 1.0] + [0.44, 0.0]  # the middle of the picture, where blends would show
    return file.square(shown(texture), {"TEXCOORD_0": file.accessor(inside.astype("f4"))})


def morphed(by_node):
    def build(file):
        flat = SQUARE * [1.0, 0.0, 1.0]
        target = {"POSITION": file.accessor((SQUARE - flat).astype("f4"))}
        weights = {"weights": [1.0]}
        return file.square(
            shown(file.texture()),
            {"POSITION": file.accessor(flat.astype("f4"))},
            mesh={"weights": [0.0] if by_node else [1.0]},
            node=weights if by_node else None,
            targets=[target],
        )

    return build


def morphed_colors(file):
    target = {"COLOR_0": file.accessor(np.array([[0, 0, -1]] * 4, dtype="f4"))}
    white = {"COLOR_0": file.accessor(np.array([[1, 0, 1]] * 4, dtype="f4"))}
    return file.square({}, white, mesh={"weights": [1.0]}, targets=[target])


def eight_influences(file):
    zeros, ones = np.zeros((4, 4), dtype="u1"), np.ones((4, 4), dtype="u1")
    none, all_four = np.zeros((4, 4), dtype="f4"), np.full((4, 4), 0.25, dtype="f4")
    attributes = {"JOINTS_0": file.accessor(zeros), "WEIGHTS_0": file.accessor(none)}
    attributes |= {"JOINTS_1": file.accessor(ones), "WEIGHTS_1": file.accessor(all_four)}
    file.square(shown(file.texture()), attributes, node={"skin": 0})
    half = math.sqrt(0.5)  # the second joint turns what the first would leave flat on its back
    file.json["nodes"] += [{"rotation": [half, 0, 0, half]}, {}]
    file.json["scenes"][0]["nodes"] += [1, 2]
    file.json["skins"] = [{"joints": [1, 2]}]
    return file


def grey_16(file):
    ramp = np.array([[0, 65535], [32896, 16448]], dtype=np.uint16)
    return file.square(shown(file.texture(png(ramp), sampler={"magFilter": 9728})))


def quantised_colors(file):
    red = np.array([[255, 0, 0]] * 4, dtype="u1")
    padded = np.concatenate([red, red[:, :1] * 0], axis=1)
    view = file.view(padded.tobytes(), byteStride=4)
    number = file.accessor(red, bufferView=view, normalized=True)
    return file.square({}, {"COLOR_0": number})


def webp(file):
    view = file.view(png(kind="WEBP"))
    image = file.add("images", {"bufferView": view, "mimeType": "image/webp"})
    texture = file.add("textures", {"extensions": {"EXT_texture_webp": {"source": image}}})
    return file.use("EXT_texture_webp", required=True).square(shown(texture))


def fallback_for_basis(file):
    other = {"extensions": {"KHR_texture_basisu": {"source": 7}}}
    return file.use("KHR_texture_basisu").square(shown(file.texture(**other)))


def instanced(file):
    corners = [[-2, 0, 0], [2, 0, 0]]
    attributes = {"TRANSLATION": file.accessor(np.array(corners, dtype="f4"))}
    extension = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}
    return file.use(*extension, required=True).square({}, node={"extensions": extension})


def hidden(file):
    off = {"extensions": {"KHR_node_visibility": {"visible": False}}}
    return file.use("KHR_node_visibility").square(shown(file.texture())).square({}, node=off)


def other_scene(file):
    file.square(shown(file.texture())).square({})
    file.json["scenes"] = [{"nodes": [1]}, {"nodes": [0]}]
    file.json["scene"] = 1
    return file


def specular_glossiness(file):
    glossy = {"KHR_materials_pbrSpecularGlossiness": {"diffuseTexture": {"index": file.texture()}}}
    return file.use(*glossy).square({"extensions": glossy})


def opaque(file):
    clear = np.zeros((2, 2, 4), dtype=np.uint8)
    clear[..., 0] = 255
    return file.square(shown(file.texture(png(clear))))


def tinted(file):
    grey = png(np.full((2, 2, 3), 188, dtype=np.uint8))  # linear 0.5
    material = shown(file.texture(grey))
    material["pbrMetallicRoughness"]["baseColorFactor"] = [0.5, 1.0, 0.0, 1.0]
    return file.square(material)


def blended_corners(file):
    ends = np.array([[0, 0, 0], [1, 1, 1], [1, 1, 1], [0, 0, 0]], dtype="f4")
    return file.square({}, {"COLOR_0": file.accessor(ends)})


def linear(*values):
    """sRGB of linear light."""
    return tuple(1.055 * v ** (1 / 2.4) - 0.055 if v > 0.0031308 else 12.92 * v for v in values)


# name: (how it is made, the four colours, triangles); glTF 2.0's section, or the extension
KINDS = {
    "sparse positions, 3.6.2.3": (sparse_positions, FOUR, 2),
    "sparse texture coordinates, 3.6.2.3": (sparse_uvs, None, 2),
    "sparse colours, 3.6.2.3": (sparse_colors, (RED,) * 4, 2),
    "sparse indices, 3.6.2.3": (sparse_indices, FOUR, 2),
    "quantised colours of a stride, 3.6.2.4": (quantised_colors, (RED,) * 4, 2),
    "triangle fan, 3.7.2.1": (fan, FOUR, 2),
    "triangle strip, 3.7.2.1": (strip, FOUR, 2),
    "fan without indices, 3.7.2.1": (fan_without_indices, FOUR, 2),
    "morph weights of the mesh, 3.7.2.2": (morphed(False), FOUR, 2),
    "morph weights of the node, 3.7.2.2": (morphed(True), FOUR, 2),
    "morphed colours, 3.7.2.2": (morphed_colors, (RED,) * 4, 2),
    "eight joints a vertex, 3.7.3.1": (eight_influences, FOUR, 2),
    "16-bit grey, 3.8.4": (grey_16, (BLACK, WHITE, (0.502,) * 3, (0.251,) * 3), 2),
    "clamped, 3.8.4.2": (sampled(33071, UVS * 2.0 - 0.5), FOUR, 2),
    "mirrored, 3.8.4.2": (
        sampled(33648, UVS * 0.5 + np.array([1.0, 0.0])),
        (GREEN, GREEN, GREEN, GREEN),
        2,
    ),
    "nearest texel, 3.8.4.1": (nearest, (RED, GREEN, RED, GREEN), 2),
    "factor and texture multiply in linear light, 3.9.2": (tinted, (linear(0.25, 0.5, 0),) * 4, 2),
    "emission, 3.9.3": (emissive, FOUR, 2),
    "emission by other coordinates than black, 3.9.3": (emissive_over_textured_black, FOUR, 2),
    "emission adds, 3.9.3": (emissive_adds, ((1, 1, 0),) * 4, 2),
    "alpha of an opaque material, 3.9.4": (opaque, (RED,) * 4, 2),
    "the default scene, 3.5.1": (other_scene, FOUR, 2),
    "KHR_materials_emissive_strength": (emissive_strength, (linear(0.2, 0, 0),) * 4, 2),
    "KHR_materials_unlit": (emissive_is_no_part_of_unlit, (RED,) * 4, 2),
    "KHR_materials_pbrSpecularGlossiness": (specular_glossiness, FOUR, 2),
    "KHR_texture_transform.texCoord": (transformed, FOUR, 2),
    "KHR_texture_transform.rotation": (turned, (BLUE, RED, WHITE, GREEN), 2),
    "KHR_node_visibility": (hidden, FOUR, 2),
    "KHR_texture_basisu with another picture": (fallback_for_basis, FOUR, 2),
    "EXT_texture_webp": (webp, FOUR, 2),
    "EXT_mesh_gpu_instancing": (instanced, None, 4),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_gltf_file_looks_as_the_format_says(kind, tmp_path):
    build, colors, num_faces = KINDS[kind]
    path = tmp_path / "a.glb"
    path.write_bytes(build(Gltf()).bytes())
    mesh = load_mesh(path)
    assert len(mesh.faces) == num_faces
    assert mesh.vertices[..., 2].abs().max() < 1e-6  # upright, as the format places it
    if colors is not None:
        same(seen(mesh), colors)
    assert file_facts(path)["num_faces"] == num_faces


def test_sparse_texture_coordinates_are_zero_where_they_are_not_stored(tmp_path):
    (tmp_path / "a.glb").write_bytes(sparse_uvs(Gltf()).bytes())
    mesh = load_mesh(tmp_path / "a.glb")
    wanted = torch.from_numpy(UVS * [[1], [1], [1], [0]]).float()
    torch.testing.assert_close(mesh.corner_uvs.reshape(-1, 2), wanted[TWO.astype(int)])


def test_vertex_colours_blend_in_linear_light(tmp_path):
    (tmp_path / "a.glb").write_bytes(blended_corners(Gltf()).bytes())
    middle = AssetRenderer(load_mesh(tmp_path / "a.glb")).albedo(
        torch.tensor([0]), torch.tensor([[0.5, 0.5, 0.0]])
    )
    assert middle[0, 0] == pytest.approx(linear(0.5)[0], abs=1e-4)


def test_one_mesh_under_two_skins_stands_in_two_places(tmp_path):
    file = Gltf()
    joints = file.accessor(np.zeros((4, 4), dtype="u1"))
    weights = file.accessor(np.array([[1, 0, 0, 0]] * 4, dtype="f4"))
    file.square({}, {"JOINTS_0": joints, "WEIGHTS_0": weights}, node={"skin": 0})
    file.json["nodes"] += [
        {"mesh": 0, "skin": 1},
        {"translation": [-3, 0, 0]},
        {"translation": [3, 0, 0]},
    ]
    file.json["scenes"][0]["nodes"] = [0, 1, 2, 3]
    file.json["skins"] = [{"joints": [2]}, {"joints": [3]}]
    (tmp_path / "a.glb").write_bytes(file.bytes())
    mesh = load_mesh(tmp_path / "a.glb")
    assert len(mesh.faces) == 4 == file_facts(tmp_path / "a.glb")["num_faces"]
    extent = mesh.vertices.amax(0) - mesh.vertices.amin(0)
    assert extent[0] / extent[1] == pytest.approx(4.0, abs=1e-4)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_that_is_cut_short_leaves_the_factor_and_a_line(kind, tmp_path, caplog):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    whole = png(noise, kind)
    file = Gltf()
    material = shown(file.texture(whole[: len(whole) // 2]))
    material["pbrMetallicRoughness"]["baseColorFactor"] = [1, 0, 0, 1]
    (tmp_path / "a.glb").write_bytes(file.square(material).bytes())
    with caplog.at_level(logging.WARNING):
        mesh = load_mesh(tmp_path / "a.glb")
    same(seen(mesh), (RED,) * 4)
    assert caplog.text.count("\n") == 1
    assert "a.glb: without picture 0: image file is truncated" in caplog.text


def test_a_chunk_that_is_padded_by_zeros_is_read(tmp_path):
    file = Gltf()
    file.square(shown(file.texture()))
    for count in range(4):
        file.json["asset"]["copyright"] = "c" * count
        (tmp_path / "a.glb").write_bytes(file.bytes(padding=b"\0"))
        same(seen(load_mesh(tmp_path / "a.glb")), FOUR)


def test_chunks_of_extensions_are_passed_over(tmp_path):
    file = Gltf()
    data = file.square(shown(file.texture())).bytes()
    start = data.index(b"BIN\0") - 4
    data = data[:start] + b"\4\0\0\0ABCDwxyz" + data[start:]
    data = data[:8] + len(data).to_bytes(4, "little") + data[12:]
    (tmp_path / "a.glb").write_bytes(data)
    same(seen(load_mesh(tmp_path / "a.glb")), FOUR)


def lines(file, tmp_path, caplog):
    """What is said while a file is loaded."""
    (tmp_path / "a.glb").write_bytes(file.bytes())
    with caplog.at_level(logging.WARNING):
        load_mesh(tmp_path / "a.glb")
    return [record.getMessage() for record in caplog.records]


def test_an_extension_that_changes_looks_is_named_whether_it_is_required_or_not(tmp_path, caplog):
    file = Gltf().use(
        "KHR_materials_transmission", "KHR_lights_punctual", "KHR_materials_sheen", "ACME_fur"
    )
    said = lines(file.square({}), tmp_path, caplog)
    assert said == ["a.glb: shown without KHR_materials_transmission, ACME_fur"]


def test_an_unknown_extension_that_is_required_refuses_the_file(tmp_path):
    (tmp_path / "a.glb").write_bytes(Gltf().use("ACME_fur", required=True).square({}).bytes())
    with pytest.raises(ValueError, match=r"needs the glTF extension ACME_fur.*Blender"):
        load_mesh(tmp_path / "a.glb")


@pytest.mark.parametrize("required", [False, True])
def test_a_picture_of_basis_universal_names_the_command_that_converts(required, tmp_path, caplog):
    file = Gltf().use("KHR_texture_basisu", required=required)
    texture = file.add("textures", {"extensions": {"KHR_texture_basisu": {"source": 0}}})
    file.add("images", {"bufferView": file.view(b"KTX 20"), "mimeType": "image/ktx2"})
    file.square(shown(texture))
    way_out = "KHR_texture_basisu, which is not read: npx @gltf-transform/cli ktxdecompress"
    if not required:
        assert way_out in lines(file, tmp_path, caplog)[0]
        return
    (tmp_path / "a.glb").write_bytes(file.bytes())
    with pytest.raises(ValueError, match=way_out):
        load_mesh(tmp_path / "a.glb")


def test_emission_by_other_coordinates_than_the_base_colour_is_named(tmp_path, caplog):
    file = Gltf()
    material = shown(file.texture()) | {"emissiveFactor": [1, 1, 1]}
    material["emissiveTexture"] = {"index": file.texture(), "texCoord": 1}
    said = lines(file.square(material, {"TEXCOORD_1": file.accessor(UVS)}), tmp_path, caplog)
    assert said == [
        "a.glb: emission by other texture coordinates than the base colour's: not shown"
    ]


def test_an_index_beyond_the_vertices_is_one_line(tmp_path):
    file = Gltf()
    file.square({}, indices=file.accessor(np.array([0, 1, 9], dtype="u2")))
    (tmp_path / "a.glb").write_bytes(file.bytes())
    with pytest.raises(ValueError, match="an index is 9 where there are 4 vertices"):
        load_mesh(tmp_path / "a.glb")


def draco_square(file, fallback=False):
    """The square of four colours, compressed by Draco."""
    import DracoPy

    data = DracoPy.encode(
        SQUARE,
        TWO.reshape(-1, 3).astype("u4"),
        14,
        preserve_order=True,
        tex_coord=UVS.astype(float),
    )
    numbers = {a["attribute_type"]: a["unique_id"] for a in DracoPy.decode(data).attributes}
    extension = {"bufferView": file.view(data)}
    extension["attributes"] = {"POSITION": numbers[0], "TEXCOORD_0": numbers[3]}
    file.use("KHR_draco_mesh_compression", required=not fallback)
    file.square(shown(file.texture()), extensions={"KHR_draco_mesh_compression": extension})
    if not fallback:
        for accessor in file.json["accessors"]:
            del accessor["bufferView"]
    return file


def meshopt_square(file, name, filtered=False):
    """The square of four colours, its views compressed by meshoptimizer."""
    import meshopt

    file.square(shown(file.texture()))
    for number, values, mode in (
        (0, SQUARE, "ATTRIBUTES"),
        (1, UVS, "ATTRIBUTES"),
        (2, TWO, "TRIANGLES"),
    ):
        accessor = file.json["accessors"][number]
        rows, size = values, values.itemsize * (values.shape[1] if values.ndim > 1 else 1)
        encoded = meshopt.encode_gltf_buffer(rows, mode)
        extension = {"buffer": 0, "byteOffset": len(file.buffer), "byteLength": len(encoded)}
        extension |= {"byteStride": size, "count": len(values), "mode": mode}
        file.buffer += encoded + b"\0" * (-len(encoded) % 4)
        view = {"buffer": 1, "byteLength": size * len(values), "extensions": {name: extension}}
        accessor["bufferView"] = file.add("bufferViews", view)
    file.json["buffers"] = [{"byteLength": 200, "extensions": {name: {"fallback": True}}}]
    return file.use(name, required=True)


def test_draco_is_read_by_its_library(tmp_path):
    pytest.importorskip("DracoPy", reason="pip install 'redream[compressed]'")
    (tmp_path / "a.glb").write_bytes(draco_square(Gltf()).bytes())
    same(seen(load_mesh(tmp_path / "a.glb")), FOUR)


@pytest.mark.parametrize("name", ["EXT_meshopt_compression", "KHR_meshopt_compression"])
def test_meshopt_is_read_by_its_library(name, tmp_path):
    pytest.importorskip("meshopt", reason="pip install 'redream[compressed]'")
    (tmp_path / "a.glb").write_bytes(meshopt_square(Gltf(), name).bytes())
    same(seen(load_mesh(tmp_path / "a.glb")), FOUR)


@pytest.mark.parametrize("library", ["DracoPy", "meshopt"])
def test_without_the_library_the_line_names_it_and_the_command(library, tmp_path, monkeypatch):
    pytest.importorskip(library, reason="pip install 'redream[compressed]'")
    made = (
        draco_square
        if library == "DracoPy"
        else lambda f: meshopt_square(f, "EXT_meshopt_compression")
    )
    (tmp_path / "a.glb").write_bytes(made(Gltf()).bytes())
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=r"redream\[compressed\].*gltf-transform/cli copy") as said:
        load_mesh(tmp_path / "a.glb")
    assert "\n" not in str(said.value)


def test_without_the_library_the_plain_triangles_are_taken_where_they_are(tmp_path, monkeypatch):
    pytest.importorskip("DracoPy", reason="pip install 'redream[compressed]'")
    (tmp_path / "a.glb").write_bytes(draco_square(Gltf(), fallback=True).bytes())
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    same(seen(load_mesh(tmp_path / "a.glb")), FOUR)


@pytest.mark.parametrize("library", ["DracoPy", "meshopt"])
def test_broken_compression_is_one_line(library, tmp_path):
    pytest.importorskip(library, reason="pip install 'redream[compressed]'")
    made = (
        draco_square
        if library == "DracoPy"
        else lambda f: meshopt_square(f, "EXT_meshopt_compression")
    )
    file = made(Gltf())
    file.buffer = bytes(255 - byte for byte in file.buffer)
    (tmp_path / "a.glb").write_bytes(file.bytes())
    with pytest.raises(ValueError, match="is broken") as said:
        load_mesh(tmp_path / "a.glb")
    assert "\n" not in str(said.value)
