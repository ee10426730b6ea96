"""Files of splats, read back by others' readers with equal values."""

import json
import shutil
import struct
import subprocess

import numpy as np
import pytest
import torch

from redream.cameras import turntable
from redream.export.models import ModelExport
from redream.export.splat_formats import (
    SPLAT_FORMATS,
    write_glb_splats,
    write_ply_splats,
    write_spz,
)
from redream.export.splat_page import page_bytes
from redream.kernels.splats import splat
from redream.kernels.splats_placing import turned_about_z
from redream.kernels.splats_projection import Gaussians
from redream.representations import NeRF, Splats

EXTRAS = {"title": "a dog\nand a line", "author": "Zoë"}


def cloud(num=50, harmonics=16, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    rotations = torch.nn.functional.normalize(normal(num, 4), dim=1)
    return Gaussians(
        0.3 * normal(num, 3),
        0.05 * torch.exp(0.5 * normal(num, 3)),
        torch.where(rotations[:, :1] < 0, -rotations, rotations),
        torch.sigmoid(normal(num)),
        0.2 * normal(num, harmonics, 3),
    )


def read_glb(path):
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    header = json.loads(data[20 : 20 + length])
    binary = data[28 + length :]
    sizes = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
    primitive = header["meshes"][0]["primitives"][0]

    def column(index):
        accessor = header["accessors"][index]
        view = header["bufferViews"][accessor["bufferView"]]
        values = np.frombuffer(binary, "<f4", view["byteLength"] // 4, view["byteOffset"])
        return torch.from_numpy(values.reshape(-1, sizes[accessor["type"]]).copy())

    return header, {name: column(i) for name, i in primitive["attributes"].items()}


def assert_same(read, splats, **tolerance):
    torch.testing.assert_close(torch.tensor(read.means), splats.means, **tolerance)
    torch.testing.assert_close(torch.tensor(read.scales).exp(), splats.scales, **tolerance)
    torch.testing.assert_close(
        torch.tensor(read.opacities).sigmoid(), splats.opacities, **tolerance
    )
    torch.testing.assert_close(torch.tensor(read.sh0), splats.harmonics[:, 0], **tolerance)
    signs = (torch.tensor(read.quats) * splats.rotations).sum(1)
    torch.testing.assert_close(signs.abs(), torch.ones(len(signs)), **tolerance)


@pytest.mark.parametrize("harmonics", [1, 4, 16])
def test_gsply_reads_the_ply_as_it_was(harmonics, tmp_path):
    gsply = pytest.importorskip("gsply")
    splats = cloud(harmonics=harmonics)
    write_ply_splats(tmp_path / "a.ply", splats, EXTRAS)
    read = gsply.plyread(tmp_path / "a.ply")
    expected = turned_about_z(splats)
    assert_same(read, expected, rtol=1e-5, atol=1e-6)
    if harmonics > 1:
        torch.testing.assert_close(torch.tensor(read.shN), expected.harmonics[:, 1:])
    header = (tmp_path / "a.ply").read_bytes().split(b"end_header\n")[0]
    assert b"comment title: a dog and a line\n" in header
    assert b"comment author: Zo\\xeb\n" in header


@pytest.mark.parametrize("version", [3, 4])
def test_gsply_reads_the_spz_within_its_steps(version, tmp_path):
    spz = pytest.importorskip("gsply.spz")
    splats = cloud()
    write_spz(tmp_path / "a.spz", splats, {}, version=version)
    head = (tmp_path / "a.spz").read_bytes()[:8]
    assert head[:2] == b"\x1f\x8b" if version == 3 else head == b"NGSP\x04\0\0\0"
    read = spz.read_spz(tmp_path / "a.spz")
    torch.testing.assert_close(torch.tensor(read.means), splats.means, rtol=0, atol=2**-16)
    torch.testing.assert_close(torch.tensor(read.scales), splats.scales.log(), rtol=0, atol=1 / 16)
    torch.testing.assert_close(
        torch.tensor(read.opacities).sigmoid(), splats.opacities, rtol=0, atol=1 / 255
    )
    together = (torch.tensor(read.quats) * splats.rotations).sum(1)
    assert (together.abs() > 0.9999).all()


def test_the_gltf_holds_linear_scales_and_opacities(tmp_path):
    splats = cloud()
    write_glb_splats(tmp_path / "a.glb", splats, EXTRAS)
    header, columns = read_glb(tmp_path / "a.glb")
    name = "KHR_gaussian_splatting"
    assert header["extensionsUsed"] == [name]
    assert header["asset"]["extras"] == header["nodes"][0]["extras"] == EXTRAS
    primitive = header["meshes"][0]["primitives"][0]
    assert primitive["mode"] == 0
    assert primitive["extensions"][name]["kernel"] == "ellipse"
    torch.testing.assert_close(columns["POSITION"], splats.means)
    torch.testing.assert_close(columns[f"{name}:SCALE"], splats.scales)
    torch.testing.assert_close(columns[f"{name}:OPACITY"][:, 0], splats.opacities)
    turned = columns[f"{name}:ROTATION"][:, [3, 0, 1, 2]]
    torch.testing.assert_close(turned, splats.rotations)
    numbers = [(0, 1), (1, 3), (2, 5), (3, 7)]
    order = [f"{name}:SH_DEGREE_{d}_COEF_{i}" for d, num in numbers for i in range(num)]
    for index, key in enumerate(order):
        torch.testing.assert_close(columns[key], splats.harmonics[:, index])
    low = header["accessors"][primitive["attributes"]["POSITION"]]["min"]
    assert low == pytest.approx(splats.means.amin(0).tolist())


def test_splats_turned_about_z_look_as_from_the_other_side():
    """The picture of a turned scene by a turned camera is the picture."""
    splats = cloud(200)
    camera = turntable(1, elevation_deg=20.0)
    turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0]))
    turned_camera = camera._replace(c2w=turn @ camera.c2w)
    one = splat(splats, camera, 32, 32)
    other = splat(turned_about_z(splats), turned_camera, 32, 32)
    torch.testing.assert_close(one.color, other.color, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.opacity, other.opacity, rtol=1e-4, atol=1e-5)


needs_splat_transform = pytest.mark.skipif(
    shutil.which("splat-transform") is None, reason="needs @playcanvas/splat-transform"
)


def matched(means, wanted):
    """For each row of ``wanted`` the nearest of ``means``; files are in any order."""
    near, rows = (wanted[:, None] - means).norm(dim=-1).min(1)
    assert float(near.max()) < 2e-4
    assert len(rows.unique()) == len(wanted)
    return rows


@needs_splat_transform
def test_splat_transform_reads_the_spz_in_the_axes_that_its_format_names(tmp_path):
    """Right, up, back; of which it makes a PLY of right, down, front."""
    gsply = pytest.importorskip("gsply")
    splats = cloud(60, 1)
    write_spz(tmp_path / "a.spz", splats, {})
    command = ["splat-transform", tmp_path / "a.spz", tmp_path / "b.ply"]
    subprocess.run(command, check=True, timeout=120)
    read, (w, x, y, z) = gsply.plyread(tmp_path / "b.ply"), splats.rotations.unbind(1)
    wanted = splats._replace(
        means=splats.means * torch.tensor([1.0, -1.0, -1.0]),
        rotations=torch.stack([-x, w, -z, y], 1),
    )
    rows = matched(torch.tensor(read.means), wanted.means)
    scales, opacities = torch.tensor(read.scales)[rows], torch.tensor(read.opacities)[rows]
    torch.testing.assert_close(scales, wanted.scales.log(), rtol=0, atol=1 / 16)
    torch.testing.assert_close(opacities.sigmoid(), wanted.opacities, rtol=0, atol=1 / 255)
    together = (torch.tensor(read.quats)[rows] * wanted.rotations).sum(1)
    assert (together.abs() > 0.999).all()


@needs_splat_transform
def test_splat_transform_makes_of_the_ply_the_same_gltf(tmp_path):
    splats = cloud(60)
    write_ply_splats(tmp_path / "a.ply", splats, {})
    write_glb_splats(tmp_path / "a.glb", splats, {})
    command = ["splat-transform", tmp_path / "a.ply", tmp_path / "b.glb"]
    subprocess.run(command, check=True, timeout=120)
    (ours, mine), (theirs, other) = (read_glb(tmp_path / name) for name in ("a.glb", "b.glb"))
    extension = [x["meshes"][0]["primitives"][0]["extensions"] for x in (ours, theirs)]
    for key, value in extension[0]["KHR_gaussian_splatting"].items():
        assert extension[1]["KHR_gaussian_splatting"][key] == value
    rows = matched(other["POSITION"], mine["POSITION"])
    for name, values in mine.items():
        if not name.endswith("ROTATION") and name != "COLOR_0":
            torch.testing.assert_close(other[name][rows], values, rtol=1e-4, atol=1e-4)
    name = "KHR_gaussian_splatting:ROTATION"
    assert ((other[name][rows] * mine[name]).sum(1).abs() > 0.9999).all()


@pytest.mark.parametrize("name", SPLAT_FORMATS)
@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("means", torch.nan, "means has values that are no numbers"),
        ("scales", 0.0, "zero or negat"),
    ],
)
def test_splats_that_no_file_can_hold_are_refused_and_nothing_is_written(
    name, part, value, said, tmp_path
):
    pytest.importorskip("gsply")
    splats = cloud()
    getattr(splats, part)[3, 1] = value
    with pytest.raises(ValueError, match=said):
        SPLAT_FORMATS[name].write(tmp_path / "a", splats, {})
    assert list(tmp_path.iterdir()) == []


def test_a_run_leaves_splats_beside_the_mesh_at_the_same_place_and_size(tmp_path):
    particle = Splats(num_splats=400, surface_views=64).eval()
    particle.splats.logits.data += 5.0
    options = dict(surface_resolution=16, texture_size=64, picture_size=32, size_m=2.0)
    formats = ["glb", "ply_splats", "glb_splats"]
    model = ModelExport(formats, **options).write(particle, tmp_path / "particle_0", EXTRAS)
    names = ["particle_0.glb", "particle_0.splats.glb", "particle_0.splats.ply"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    _, mesh = read_glb(tmp_path / names[0])
    _, splats = read_glb(tmp_path / names[1])
    low, high = mesh["POSITION"].amin(0), mesh["POSITION"].amax(0)
    middle = splats["POSITION"]
    torch.testing.assert_close(model.splats.means, middle)  # what the report's page shows
    assert float((high - low).max()) == pytest.approx(2.0, abs=1e-4)
    assert float(low[1]) == pytest.approx(0.0, abs=1e-4)
    assert ((middle > low - 0.2) & (middle < high + 0.2)).all()
    assert float((middle.amax(0) - middle.amin(0)).max()) == pytest.approx(2.0, abs=0.4)


def test_a_particle_without_splats_is_refused_before_anything_is_written(tmp_path):
    export = ModelExport(["glb", "ply_splats"])
    with pytest.raises(ValueError, match="ply_splats holds splats, and NeRF has none: take"):
        export.write(NeRF(), tmp_path / "particle_0", {})
    assert list(tmp_path.iterdir()) == []


def test_faint_splats_are_left_out_of_files():
    particle = Splats(num_splats=20)
    particle.splats.logits.data[:5] = -9.0
    assert len(particle.gaussians().means) == 15


def test_the_page_holds_each_splat_in_32_bytes():
    splats = cloud(7, harmonics=4)
    data = page_bytes(splats)
    assert len(data) == 7 * 32
    for index in range(7):
        *lengths, r, g, b, a, w, x, y, z = struct.unpack_from("<6f8B", data, 32 * index)
        wanted = [*splats.means[index].tolist(), *splats.scales[index].tolist()]
        assert lengths == pytest.approx(wanted)
        color = (0.2820948 * splats.harmonics[index, 0] + 0.5).clamp(0, 1).tolist()
        shown = [*color, float(splats.opacities[index])]
        assert [r, g, b, a] == pytest.approx([255.0 * each for each in shown], abs=0.51)
        turn = torch.tensor([w, x, y, z]) - 128.0
        assert float(turn @ splats.rotations[index] / turn.norm()) > 0.9999
