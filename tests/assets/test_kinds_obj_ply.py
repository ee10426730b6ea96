"""The kinds of OBJ and PLY files that people have, each with what is right or what is said."""

import logging
import struct

import numpy as np
import pytest
import torch
from fabricated import BLUE, GREEN, RED, quadrant_picture
from PIL import Image

from redream.assets import AssetRenderer, load_mesh
from redream.assets.polygons import triangulate
from redream.cameras import turntable

WHITE = (1.0, 1.0, 1.0)
FOUR = (RED, GREEN, BLUE, WHITE)
SQUARE = "v -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
FACE = "f 1/1 2/2 3/3 4/4\n"
USED = f"mtllib m.mtl\n{SQUARE}usemtl a\n{FACE}"


def seen(mesh):
    """The colours above left, above right, below left and below right of the middle, unlit."""
    views = AssetRenderer(mesh, ambient=1.0, diffuse=0.0).render(turntable(1, 0.0), 64, 64)
    rgb = views.over(torch.zeros(1, 3, 1, 1))[0]
    return [tuple(rgb[:, row, column].tolist()) for row in (26, 37) for column in (26, 37)]


def load(tmp_path, caplog, obj, mtl=None, picture="t.png", pixels=None, folder=""):
    """Writes an OBJ with its library and picture; loads it; returns it and what was said."""
    place = tmp_path / folder
    place.mkdir(exist_ok=True)
    (place / "a.obj").write_text(obj)
    if mtl is not None:
        (place / "m.mtl").write_text(mtl)
    if picture is not None:
        (tmp_path / picture).parent.mkdir(exist_ok=True)
        Image.fromarray(quadrant_picture() if pixels is None else pixels).save(tmp_path / picture)
    with caplog.at_level(logging.WARNING):
        mesh = load_mesh(place / "a.obj")
    return mesh, [record.getMessage() for record in caplog.records]


# name: (the OBJ, its library, the picture's place)
SHOWN = {
    "as it should be": (USED, "newmtl a\nmap_Kd t.png\n", "t.png"),
    "backslashes": (USED, "newmtl a\nmap_Kd textures\\t.png\n", "textures/t.png"),
    "another computer's path": (USED, "newmtl a\nmap_Kd C:\\maps\\t.png\n", "t.png"),
    "other case": (USED, "newmtl a\nmap_Kd Textures/T.PNG\n", "textures/t.png"),
    "blanks": (USED, "newmtl a\nmap_Kd my wood.png\n", "my wood.png"),
    "quotes": (USED, 'newmtl a\nmap_Kd "my wood.png"\n', "my wood.png"),
    "options": (USED, "newmtl a\nmap_Kd -blendu on -s 1 1 1 -o 0 0 -mm 0 1 t.png\n", "t.png"),
    "an option and a name that begins with a number": (
        USED, "newmtl a\nmap_Kd -s 1 1 1 2 t.png\n", "2 t.png",
    ),
    "two libraries": (
        USED.replace("mtllib m.mtl", "mtllib gone.mtl\nmtllib m.mtl"), "newmtl a\nmap_Kd t.png\n",
        "t.png",
    ),
    "two libraries in a line": (
        USED.replace("m.mtl", "gone.mtl m.mtl"), "newmtl a\nmap_Kd t.png\n", "t.png",
    ),
    "tabs": (
        USED.replace(" a", "\ta").replace("v ", "v\t").replace("f ", "f\t"),
        "\tnewmtl\ta\n\tmap_Kd\tt.png\n", "t.png",
    ),
    "a material of two words": (
        USED.replace("usemtl a", "usemtl dark wood"), "newmtl dark wood\nmap_Kd t.png\n", "t.png",
    ),
    "Windows' line ends": (USED.replace("\n", "\r\n"), "newmtl a\r\nmap_Kd t.png\r\n", "t.png"),
    "continued lines": (
        USED.replace("2/2 3/3", "2/2 \\\n 3/3"), "newmtl a\nmap_Kd t.png\n", "t.png",
    ),
    "indices from the end": (
        USED.replace(FACE, "f -4/-4 -3/-3 -2/-2 -1/-1\nv 9 9 9\n"), "newmtl a\nmap_Kd t.png\n",
        "t.png",
    ),
    "black beside a picture": (USED, "newmtl a\nKd 0 0 0\nmap_Kd t.png\n", "t.png"),
    "emission": (USED, "newmtl a\nKd 0 0 0\nKe 0 0 0\nmap_Ke t.png\n", "t.png"),
    "alpha of the colour's picture is no opacity": (USED, "newmtl a\nmap_Kd t.png\n", "clear.png"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SHOWN)
def test_an_obj_finds_its_texture(kind, tmp_path, caplog):
    obj, mtl, picture = SHOWN[kind]
    pixels = None
    if picture == "clear.png":
        pixels, picture = np.dstack([quadrant_picture(), np.zeros((8, 8), np.uint8)]), "t.png"
    mesh, said = load(tmp_path, caplog, obj, mtl, picture, pixels)
    np.testing.assert_allclose(seen(mesh), FOUR, atol=0.01)
    assert all("gone.mtl" in line for line in said)
    assert bool(said) == ("gone.mtl" in obj)


A, UP = "newmtl a\nmap_Kd t.png\n", "newmtl a\nmap_Kd ../images/t.png\n"
# name: (the OBJ, its library, the picture's place, what is said)
LOST = {
    "missing": (USED, A, None, "material 'a' without a picture: it names 't.png', which is not"),
    "outside": (
        USED, UP, "images/t.png",
        "material 'a' without a picture: it names '../images/t.png', which is outside of its",
    ),
    "no usemtl": (
        USED.replace("usemtl a\n", ""), A, "models/t.png",
        "no face uses a material (usemtl), so without t.png",
    ),
    "no library": (USED.replace("m.mtl", "gone.mtl"), A, None, "it names 'gone.mtl', which is not"),
    "another name": (USED.replace("usemtl a", "usemtl b"), A, None, "no library has the material"),
    "lines": (USED + "l 1 2 3\n", "newmtl a\n", None, "lines are not drawn"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOST)
def test_what_an_obj_loses_is_a_line(kind, tmp_path, caplog):
    obj, mtl, picture, line = LOST[kind]
    mesh, said = load(tmp_path, caplog, obj, mtl, picture, folder="models")
    np.testing.assert_allclose(seen(mesh), (WHITE,) * 4, atol=0.01)
    assert any(each.startswith("a.obj: ") and line in each for each in said)


def test_scale_and_offset_of_a_map_move_its_texture(tmp_path, caplog):
    library = "newmtl a\nmap_Kd -s 0.5 0.5 -o 0.5 0.5 t.png\n"  # the upper right quarter
    mesh, _ = load(tmp_path, caplog, USED, library)
    np.testing.assert_allclose(seen(mesh), (GREEN,) * 4, atol=0.01)
    assert mesh.corner_uvs.reshape(-1, 2).amax(0).tolist() == [1.0, 0.5]


def test_clamp_of_a_map_clamps(tmp_path, caplog):
    twice = USED.replace("vt 1", "vt 4").replace("vt 4 0", "vt 4 0\n", 1)
    mesh, _ = load(tmp_path, caplog, twice, "newmtl a\nmap_Kd -clamp on t.png\n")
    np.testing.assert_allclose(seen(mesh)[1::2], (GREEN, WHITE), atol=0.01)


@pytest.mark.parametrize(
    ("mtl", "alpha"),
    [
        ("newmtl a\nd 0.25\n", 0.25),
        ("newmtl a\nTr 0.75\n", 0.25),
        ("newmtl a\nTr 0.0\nd 1.0\n", 1.0),
        ("newmtl a\nd 0.5\nmap_d t.png\n", 0.25),
        ("newmtl a\nmap_Kd t.png\nmap_d t.png\nd 0.5\n", 0.25),
    ],
)
def test_opacity_of_an_obj_is_d_times_map_d(mtl, alpha, tmp_path, caplog):
    half = np.dstack([np.full((2, 2, 3), 255, np.uint8), np.full((2, 2), 128, np.uint8)])
    mesh, _ = load(tmp_path, caplog, USED, mtl, pixels=half)
    views = AssetRenderer(mesh).render(turntable(1, 0.0), 8, 8)
    assert views.opacity[0, 0, 4, 4] == pytest.approx(alpha, abs=0.01)


@pytest.mark.parametrize("kind", ["{0}//", "{0}/", "{0}/{0}/", "{0}/ ", "{0}"])
@pytest.mark.parametrize("with_normals", [False, True])
def test_nothing_behind_a_slash_is_none(kind, with_normals, tmp_path):
    lines = ["v 0 0 0", "v 1 0 0", "v 0 1 0", "vt 0 0", "vt 1 0", "vt 0 1"]
    lines += ["vn 1 0 0"] * 3 if with_normals else []
    lines.append("f " + " ".join(kind.format(i).strip() for i in (1, 2, 3)))
    (tmp_path / "a.obj").write_text("\n".join(lines) + "\n")
    mesh = load_mesh(tmp_path / "a.obj")
    assert len(mesh.faces) == 1
    flat = torch.tensor([0.0, 0.0, 1.0]).expand(1, 3, 3)  # not a normal of a file that names none
    torch.testing.assert_close(mesh.corner_normals, flat)


def test_vertex_colours_stay_beside_materials(tmp_path, caplog):
    rows = USED.replace(" 0\nv", " 0 1 0 0\nv").replace("-1 1 0\nvt", "-1 1 0 1 0 0\nvt")
    mesh, said = load(tmp_path, caplog, rows, "newmtl a\nKd 1 1 1\n")
    np.testing.assert_allclose(seen(mesh), (RED,) * 4, atol=0.01)
    assert said == []


def test_colours_of_0_to_255_and_those_of_zbrush(tmp_path, caplog):
    rows = "v -1 -1 0 0 0 255\nv 1 -1 0 0 0 255\nv 1 1 0 0 0 255\n"
    mesh, _ = load(tmp_path, caplog, rows + "f 1 2 3\n", picture=None)
    assert mesh.corner_colors[0, 0].tolist() == [0.0, 0.0, 1.0, 1.0]
    painted = "v -1 -1 0\nv 1 -1 0\nv 1 1 0\n#MRGB ffff0000ff00ff00ff0000ff\nf 1 2 3\n"
    mesh, _ = load(tmp_path, caplog, painted, picture=None)
    assert mesh.corner_colors[0, :, :3].tolist() == [list(RED), list(GREEN), list(BLUE)]


def test_objects_materials_and_shared_vertices_are_kept(tmp_path, caplog):
    two = SQUARE + "o left\nusemtl a\nf 1/1 2/2 3/3\no right one\nusemtl b\nf 1/1 3/3 4/4\n"
    mesh, _ = load(
        tmp_path, caplog, f"mtllib m.mtl\n{two}", "newmtl a\nKd 1 0 0\nnewmtl b\nKd 0 1 0\n"
    )
    assert mesh.nodes == ("left", "right one") and mesh.face_nodes.tolist() == [0, 1]
    assert [each.name for each in mesh.materials] == ["a", "b"]
    seam = SQUARE + "f 1/1 2/2 3/3\nf 1/3 3/1 4/4\n"  # a seam of texture, not of the surface
    assert len(load(tmp_path, caplog, seam)[0].vertices) == 4


def test_smoothing_groups_smooth_and_the_rest_is_flat(tmp_path, caplog):
    roof = "v 0 0 1\nv 1 0 0\nv 1 1 0\nv 0 1 1\nv -1 0 0\nv -1 1 0\n"
    faces = "f 1 2 3 4\nf 5 1 4 6\n"
    flat, _ = load(tmp_path, caplog, roof + faces, picture=None)
    smooth, _ = load(tmp_path, caplog, f"{roof}s 1\n{faces}", picture=None)
    ridge = smooth.vertices[smooth.faces][..., 0].abs() < 1e-6
    up = torch.tensor([0.0, 0.0, 1.0]).expand(int(ridge.sum()), 3)
    torch.testing.assert_close(smooth.corner_normals[ridge], up, atol=1e-5, rtol=0)
    assert flat.corner_normals[ridge][:, 0].abs().min() > 0.5


def test_polygons_are_cut_without_turning_over():
    arrow = np.array([[0, 0, 0], [2, -2, 0], [0, 2, 0], [-2, -2, 0]], dtype=float)  # a dent at 0
    star = np.array(
        [
            [(3, 1)[i % 2] * np.cos(i * 0.6283), (3, 1)[i % 2] * np.sin(i * 0.6283), 0]
            for i in range(10)
        ]
    )
    for points, area in ((arrow, 4.0), (np.roll(arrow, 1, axis=0), 4.0), (star, 8.816)):
        for turn in (np.eye(3), np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])):
            placed = points @ turn
            corners = np.arange(len(points))
            cut, owner = triangulate(corners, np.array([len(points)]), placed)
            a, b, c = placed[cut].transpose(1, 0, 2)
            areas = np.cross(b - a, c - a) @ (np.array([0, 0, 1.0]) @ turn) / 2.0
            assert (areas > 0.0).all() and len(cut) == len(points) - 2 and not owner.any()
            assert areas.sum() == pytest.approx(area, abs=0.02)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (SQUARE + "f 1/1 2/2 9/3\n", "names a vertex that is not there"),
        (SQUARE + "f 1/1 2/2 -9/3\n", "names a vertex that is not there"),
        (SQUARE + "f 1/1 2/2 3/x\n", "invalid literal"),
        ("v 1 2\n", "fewer than 3 numbers"),
        ("a letter\n", "no triangle with an area"),
    ],
)
def test_a_broken_obj_is_one_line(text, line, tmp_path, caplog):
    with pytest.raises(ValueError, match=line) as said:
        load(tmp_path, caplog, text)
    assert "\n" not in str(said.value)


def ply(elements, body, order="binary_little_endian", comments=()):
    """A PLY file of a header's lines and its body."""
    head = ["ply", f"format {order} 1.0", *(f"comment {each}" for each in comments), *elements]
    return ("\n".join([*head, "end_header"]) + "\n").encode() + body


XYZ = ["element vertex 4", "property float x", "property float y", "property float z"]
FACES = ["element face 2", "property list uchar int vertex_indices"]
POINTS = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], dtype="f4")


def mixed(order):
    """A triangle and a quad that lies behind it, in binary."""
    mark = "<" if order == "binary_little_endian" else ">"
    body = POINTS.astype(mark + "f4").tobytes()
    body += struct.pack(f"{mark}B3iB4i", 3, 0, 1, 2, 4, 0, 1, 2, 3)
    return ply([*XYZ, *FACES], body, order)


def strips(restart):
    """Four vertices as one strip, or as two strips with a restart between."""
    numbers = [0, 1, 3, 2] if restart is None else [0, 1, 3, restart, 1, 2, 3]
    body = POINTS.tobytes() + struct.pack(f"<i{len(numbers)}i", len(numbers), *numbers)
    return ply([*XYZ, "element tristrips 1", "property list int int vertex_indices"], body)


def wedges():
    """MeshLab's texture coordinates by corner, with a number of a texture and face colours."""
    named = ["property list uchar float texcoord", "property int texnumber"]
    colors = [f"property uchar {name}" for name in ("red", "green", "blue", "alpha")]
    rows = []
    for corners, uv in (((0, 1, 2), (0, 0, 1, 0, 1, 1)), ((0, 2, 3), (0, 0, 1, 1, 0, 1))):
        row = struct.pack("<B3iB6fi4B", 3, *corners, 6, *uv, 0, 9, 9, 9, 0)
        rows.append(row)
    elements = [*XYZ, *FACES, *named, *colors]
    return ply(elements, POINTS.tobytes() + b"".join(rows), comments=["TextureFile t.png"])


def face_colors():
    colors = [f"property uchar {name}" for name in ("red", "green", "blue", "alpha")]
    rows = b"".join(
        struct.pack("<B3i4B", 3, *corners, 255, 0, 0, 0) for corners in ((0, 1, 2), (0, 2, 3))
    )
    return ply([*XYZ, *FACES, *colors], POINTS.tobytes() + rows)


def float_colors():
    colors = [f"property float {name}" for name in ("red", "green", "blue")]
    rows = np.concatenate([POINTS, np.tile(np.array([[1, 0, 0]], "f4"), (4, 1))], axis=1)
    body = rows.tobytes() + struct.pack("<B4i", 4, 0, 1, 2, 3)
    return ply([*XYZ, *colors, "element face 1", FACES[1]], body)


def ascii_mixed():
    body = "\n".join(" ".join(map(str, row)) for row in POINTS) + "\n3 0 1 2\n4 0 1 2 3\n"
    return ply([*XYZ, *FACES], body.encode(), "ascii")


# name: (the file, triangles, colour)
PLY = {
    "triangles and quads, little endian": (mixed("binary_little_endian"), 3, WHITE),
    "triangles and quads, big endian": (mixed("binary_big_endian"), 3, WHITE),
    "triangles and quads, text": (ascii_mixed(), 3, WHITE),
    "a strip": (strips(None), 2, WHITE),
    "strips with a restart": (strips(-1), 2, WHITE),
    "texture coordinates by corner (MeshLab)": (wedges(), 2, None),
    "face colours with an alpha of 0 (MeshLab)": (face_colors(), 2, RED),
    "colours as floats": (float_colors(), 2, RED),
}


@pytest.mark.parametrize("kind", PLY)
def test_a_kind_of_ply_file_is_read(kind, tmp_path):
    data, num_faces, color = PLY[kind]
    (tmp_path / "a.ply").write_bytes(data)
    Image.fromarray(quadrant_picture()).save(tmp_path / "t.png")
    mesh = load_mesh(tmp_path / "a.ply")
    assert len(mesh.faces) == num_faces
    np.testing.assert_allclose(seen(mesh), FOUR if color is None else (color,) * 4, atol=0.01)
    assert (mesh.corner_normals[..., 2] > 0.99).all()  # no strip's triangle is turned over


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (mixed("binary_little_endian")[:-3], "cut short"),
        (ply([*XYZ, *FACES], POINTS.tobytes() + struct.pack("<B3iB3i", 3, 0, 1, 2, 3, 0, 1, 9)),
         "names a vertex that is not there"),
        (ply(XYZ, POINTS.tobytes()), "points alone are not drawn"),
        (ply(["element vertex 4", "property half x"], b""), "a property that is not read"),
        (b"ply\nformat ascii 1.0\n", "it is not a PLY file"),
        (ply([*XYZ, "element face 1", "property list char int vertex_indices"],
             POINTS.tobytes() + struct.pack("<b3i", -3, 0, 1, 2)), "a list has -3 numbers"),
    ],
)  # fmt: skip
def test_a_broken_ply_is_one_line(data, line, tmp_path):
    (tmp_path / "a.ply").write_bytes(data)
    with pytest.raises(ValueError, match=line) as said:
        load_mesh(tmp_path / "a.ply")
    assert "\n" not in str(said.value)
