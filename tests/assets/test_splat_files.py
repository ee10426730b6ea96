"""Files of splats as they are read: equal to what was written, and refused in one line."""

import gzip
import struct

import numpy as np
import pytest
import torch

from redream.assets import load_mesh
from redream.assets.splat_files import holds_splats, read_splats
from redream.export.splat_formats import write_ply_splats, write_spz
from redream.kernels.splats_placing import fitted, placed
from redream.kernels.splats_projection import Gaussians
from redream.representations import Splats


def cloud(num=40, harmonics=16, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return Gaussians(
        0.3 * normal(num, 3),
        0.05 * torch.exp(0.5 * normal(num, 3)),
        torch.nn.functional.normalize(normal(num, 4), dim=1),
        torch.sigmoid(normal(num)),
        0.2 * normal(num, harmonics, 3),
    )


NAMES = [
    *"xyz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2",
    "rot_0", "rot_1", "rot_2", "rot_3",
]  # fmt: skip


def ply(path, rows, names=NAMES, form="binary_little_endian", before=""):
    """A PLY by the letter, without our writer."""
    rows = np.asarray(rows, dtype=np.float32)
    head = [
        "ply", f"format {form} 1.0", *before.splitlines(), f"element vertex {len(rows)}",
        *(f"property float {name}" for name in names), "end_header\n",
    ]  # fmt: skip
    if form == "ascii":
        body = "\n".join(" ".join(f"{x:.9g}" for x in row) for row in rows).encode()
    else:
        body = rows.astype("<f4" if "little" in form else ">f4").tobytes()
    path.write_bytes("\n".join(head).encode() + body)
    return path


def row(**changed):
    values = dict.fromkeys(NAMES, 0.0) | {"rot_0": 2.0, "scale_0": -1.0, "opacity": 1.0} | changed
    return [values[name] for name in NAMES]


@pytest.mark.parametrize("harmonics", [1, 4, 9, 16])
def test_a_ply_is_read_as_it_was_written(harmonics, tmp_path):
    splats = cloud(harmonics=harmonics)
    write_ply_splats(tmp_path / "a.ply", splats, {"title": "a dog"})
    for part, wanted in zip(read_splats(tmp_path / "a.ply"), splats, strict=True):
        if part.shape[1:] == (4,):  # a quaternion and its negative are one turn
            part = part * (part * wanted).sum(1, keepdim=True).sign()
        torch.testing.assert_close(part, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("version", [3, 4])
def test_an_spz_is_read_within_its_steps(version, tmp_path):
    pytest.importorskip("gsply")
    splats = cloud(harmonics=4)
    write_spz(tmp_path / "a.spz", splats, {}, version=version)
    read = read_splats(tmp_path / "a.spz")
    torch.testing.assert_close(read.means, splats.means, rtol=0, atol=2**-16)
    torch.testing.assert_close(read.scales.log(), splats.scales.log(), rtol=0, atol=1 / 16)
    torch.testing.assert_close(read.opacities, splats.opacities, rtol=0, atol=1 / 255)
    torch.testing.assert_close(read.harmonics[:, 1:], splats.harmonics[:, 1:], rtol=0, atol=0.07)


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_what_a_ply_holds_are_logarithms_and_logits_in_any_form(form, tmp_path):
    """A logarithm may be zero or negative; +Y is down there, and the front stays in front."""
    values = row(x=1.0, y=2.0, z=3.0, scale_0=0.0, scale_1=-2.0, scale_2=1.0, opacity=0.0)
    read = read_splats(ply(tmp_path / "a.ply", [values], form=form))
    torch.testing.assert_close(read.means, torch.tensor([[-1.0, -2.0, 3.0]]))
    torch.testing.assert_close(read.scales, torch.tensor([[0.0, -2.0, 1.0]]).exp())
    torch.testing.assert_close(read.opacities, torch.tensor([0.5]))
    torch.testing.assert_close(read.rotations.abs(), torch.tensor([[0.0, 0.0, 0.0, 1.0]]))


def test_properties_in_any_order_and_of_other_elements_do_not_matter(tmp_path):
    names, values = NAMES[::-1] + ["nx"], row(x=1.0, scale_1=-3.0)[::-1] + [7.0]
    read = read_splats(ply(tmp_path / "a.ply", [values], names))
    assert read.means.tolist() == [[-1.0, 0.0, 3.0 * 0.0]]
    assert float(read.scales[0, 1].log()) == pytest.approx(-3.0)


def test_infinite_logits_are_all_or_nothing(tmp_path):
    rows = [row(opacity=np.inf), row(opacity=-np.inf)]
    assert read_splats(ply(tmp_path / "a.ply", rows)).opacities.tolist() == [1.0, 0.0]


BAD = {
    "NaN": (
        row(y=np.nan),
        "1 of its 3 splats have no number .* in x, y, z; the first is 1: .*filter-nan",
    ),
    "colour": (row(f_dc_2=np.inf), "no number .* in f_"),
    "logit": (row(opacity=np.nan), "no number .* in opacity"),
    "zero scale": (row(scale_1=-np.inf), "a scale of zero: a logarithm of it below -87.*export it"),
    "too small": (row(scale_1=-104.0), "a scale of zero"),
    "too large": (row(scale_1=89.0), "an infinite scale"),
    "scale": (row(scale_2=np.nan), "no number .* in scale_"),
    "no turn": (row(rot_0=0.0), "a quaternion of length 0"),
}


@pytest.mark.parametrize("kind", BAD)
def test_splats_that_cannot_be_drawn_are_counted_and_named(kind, tmp_path):
    bad, said = BAD[kind]
    with pytest.raises(ValueError, match=said) as error:
        read_splats(ply(tmp_path / "a.ply", [row(), bad, row()]))
    assert str(error.value).startswith(f"cannot read {tmp_path / 'a.ply'}: ")
    assert "\n" not in str(error.value)


def without(name):
    names = [each for each in NAMES if each != name]
    return names, [[0.0] * len(names)]


@pytest.mark.parametrize(
    ("names", "rows", "said"),
    [
        (*without("opacity"), "it is no PLY of splats: its vertices have no opacity; a mesh"),
        (list("xyz"), [[0.0] * 3], "no f_dc_0, f_dc_1, f_dc_2, opacity, scale_0"),
        (["packed_position"], [[0.0]], "PlayCanvas's compressed PLY: `splat-transform IN.ply"),
        ([*NAMES, *(f"f_rest_{i}" for i in range(12))], [[*row(), *[0.0] * 12]],
         "it has 12 properties f_rest_.* degree 0 to 3 have 0, 9, 24, 45"),
        ([*NAMES, *(f"f_rest_{i}" for i in range(72))], [[*row(), *[0.0] * 72]],
         "it has 72 properties f_rest_"),
        (NAMES, np.zeros((0, 14)), "it has no splats: export it again"),
    ],
)  # fmt: skip
def test_a_ply_that_holds_no_splats_is_refused_in_one_line(names, rows, said, tmp_path):
    with pytest.raises(ValueError, match=said) as error:
        read_splats(ply(tmp_path / "a.ply", rows, names))
    assert "\n" not in str(error.value)


def test_files_that_are_cut_short_or_none_are_refused(tmp_path):
    whole = ply(tmp_path / "a.ply", [row(), row()])
    (tmp_path / "cut.ply").write_bytes(whole.read_bytes()[:-5])
    with pytest.raises(ValueError, match="cut short: it claims 2 rows.*; fetch or export it again"):
        read_splats(tmp_path / "cut.ply")
    huge = whole.read_bytes().replace(b"vertex 2", b"vertex 99999999")
    (tmp_path / "huge.ply").write_bytes(huge)
    with pytest.raises(ValueError, match="99,999,999 splats, and 20,000,000 are the most"):
        read_splats(tmp_path / "huge.ply")
    (tmp_path / "none.ply").write_bytes(b"no file of splats")
    with pytest.raises(ValueError, match="it is not a PLY file; fetch or export"):
        read_splats(tmp_path / "none.ply")
    with pytest.raises(ValueError, match="splats are read from .ply and .spz"):
        read_splats(whole.rename(tmp_path / "a.sog"))
    with pytest.raises(FileNotFoundError, match="there is no file of splats at .*--export.formats"):
        read_splats(tmp_path / "nowhere.ply")


def test_an_spz_that_is_cut_short_or_claims_too_little_is_refused(tmp_path):
    pytest.importorskip("gsply")
    write_spz(tmp_path / "a.spz", cloud(), {})
    data = (tmp_path / "a.spz").read_bytes()
    (tmp_path / "cut.spz").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"cannot read .*cut.spz: "):
        read_splats(tmp_path / "cut.spz")
    (tmp_path / "none.spz").write_bytes(b"something else altogether")
    with pytest.raises(ValueError, match="it is not an SPZ file: check"):
        read_splats(tmp_path / "none.spz")
    head = struct.pack("<4sIIBBBB", b"NGSP", 3, 5, 0, 12, 0, 0)
    (tmp_path / "bomb.spz").write_bytes(gzip.compress(head + bytes(1 << 25)))
    with pytest.raises(ValueError, match="unpacks to more than the 5 splats that it claims"):
        read_splats(tmp_path / "bomb.spz")
    head = struct.pack("<4sIIBBBB", b"NGSP", 3, 5, 4, 12, 0, 0)
    (tmp_path / "degree.spz").write_bytes(gzip.compress(head + bytes(1000)))
    with pytest.raises(ValueError, match="its harmonics are of degree 4, and 0 to 3 are read"):
        read_splats(tmp_path / "degree.spz")


def test_a_mesh_and_splats_are_told_apart_by_their_header(tmp_path):
    splats = ply(tmp_path / "a.ply", [row()])
    mesh = ply(tmp_path / "mesh.ply", [[0.0] * 3], list("xyz"))
    assert holds_splats(splats) and holds_splats(tmp_path / "a.spz")
    assert not holds_splats(mesh) and not holds_splats(tmp_path / "a.glb")
    with pytest.raises(ValueError, match="splats, which have no surface: .*init_args.init_from"):
        load_mesh(splats)


def test_fitted_splats_are_where_every_asset_is_and_look_alike():
    splats = cloud(harmonics=1)
    moved = placed(splats, 7.0, torch.tensor([3.0, -4.0, 90.0]))
    one, other = fitted(splats, 0.9), fitted(moved, 0.9)
    assert float(one.means.norm(dim=1).max()) == pytest.approx(0.9)
    torch.testing.assert_close(
        (one.means.amin(0) + one.means.amax(0)), torch.zeros(3), atol=1e-5, rtol=0
    )
    for part, wanted in zip(other, one, strict=True):
        torch.testing.assert_close(part, wanted, rtol=1e-4, atol=1e-5)
    stray = splats._replace(means=splats.means.clone(), opacities=splats.opacities.clone())
    stray.means[0], stray.opacities[0] = 100.0, 0.001  # nobody sees it
    assert float(fitted(stray, 0.9).means[1:].norm(dim=1).max()) == pytest.approx(0.9)
    with pytest.raises(ValueError, match="too faint"):
        fitted(splats._replace(opacities=torch.zeros(40)), 0.9)


def test_a_particle_starts_from_a_file_as_it_is_and_spare_rows_wait(tmp_path):
    splats = cloud(harmonics=4)
    write_ply_splats(tmp_path / "a.ply", splats, {})
    particle = Splats(num_splats=100, degree=2, init_from=str(tmp_path / "a.ply"))
    assert particle.is_started
    wanted, taken = fitted(splats, 0.9), particle.gaussians()
    for name in ("means", "scales", "opacities"):
        torch.testing.assert_close(
            getattr(taken, name), getattr(wanted, name), rtol=1e-4, atol=1e-5
        )
    torch.testing.assert_close(taken.harmonics[:, :4], wanted.harmonics, rtol=1e-4, atol=1e-5)
    assert (taken.harmonics[:, 4:] == 0).all()
    with pytest.warns(RuntimeWarning, match="40 splats and num_splats is 10: taking those that"):
        few = Splats(num_splats=10, degree=1, init_from=str(tmp_path / "a.ply")).gaussians()
    area = splats.scales.topk(2, dim=1).values.prod(1) * splats.opacities
    best = fitted(splats, 0.9).means[area.topk(10).indices.sort().values]
    torch.testing.assert_close(few.means, best, rtol=1e-4, atol=1e-5)
    with pytest.raises(
        ValueError, match="cannot start from .* degree 1 do not fit: set degree to 1"
    ):
        Splats(num_splats=100, init_from=str(tmp_path / "a.ply"))
