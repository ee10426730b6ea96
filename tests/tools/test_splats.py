"""``redream splats``: what it says of a file, and what it makes of it."""

import json

import pytest
import torch
from PIL import Image

from redream import cli
from redream.assets.splat_files import read_splats
from redream.export.splat_formats import write_ply_splats
from redream.kernels.splats_projection import Gaussians


@pytest.fixture
def file(tmp_path):
    """Thirty red splats of degree 1."""
    generator = torch.Generator().manual_seed(0)
    harmonics = torch.zeros(30, 4, 3)
    harmonics[:, 0] = torch.tensor([1.5, -1.5, -1.5])
    splats = Gaussians(
        torch.randn(30, 3, generator=generator),
        torch.full((30, 3), 0.3),
        torch.nn.functional.normalize(torch.randn(30, 4, generator=generator), dim=1),
        torch.full((30,), 0.9),
        harmonics,
    )
    write_ply_splats(tmp_path / "in.ply", splats, {})
    return tmp_path / "in.ply"


def test_a_file_is_described(file, capsys):
    assert cli.main(["splats", str(file), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["num_splats"] == 30 and facts["degree"] == 1
    assert facts["median_opacity"] == pytest.approx(0.9)
    assert facts["median_scale"] == pytest.approx(0.3)
    assert cli.main(["splats", str(file)]) == 0
    assert "num splats      30\n" in capsys.readouterr().out


def test_others_are_made_of_it(file, tmp_path):
    pytest.importorskip("gsply")
    ends = ("ply", "spz", "v4.spz", "splats.glb", "png", "html")
    made = [tmp_path / f"out.{end}" for end in ends]
    assert cli.main(["splats", str(file), "--out", *map(str, made)]) == 0
    wanted = read_splats(file)
    for path in made[:3]:
        tolerance = {"rtol": 0, "atol": 1e-3}
        torch.testing.assert_close(read_splats(path).means, wanted.means, **tolerance)
    assert made[2].read_bytes()[:5] == b"NGSP\x04"
    assert made[3].read_bytes()[:4] == b"glTF"
    red, green, _ = Image.open(made[4]).convert("RGB").resize((1, 1)).getpixel((0, 0))
    assert red > green + 30
    page = made[5].read_text("utf-8")
    assert 'type="model/splats"' in page and 'data-show="splats"' in page


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("out.obj", "name it with one of .ply, .v4.spz, .spz, .glb, .png, .html"),
        ("in.ply", "would be written over what it is made of"),
    ],
)
def test_what_is_not_written_is_said_in_one_line(file, out, said, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    assert cli.main(["splats", str(file), "--out", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_of_something_else_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "a.ply").write_text("ply\nformat ascii 1.0\nelement vertex 0\nend_header\n")
    assert cli.main(["splats", str(tmp_path / "a.ply")]) == 2
    error = capsys.readouterr().err
    assert "it is no PLY of splats" in error and error.count("\n") == 1


def test_splats_that_make_no_picture_are_named_with_their_file(tmp_path, capsys):
    """All at one place: a file of splats may say so, and nothing fits them into a view."""
    some = Gaussians(
        torch.zeros(3, 3), torch.full((3, 3), 0.1), torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 3),
        torch.full((3,), 0.9), torch.zeros(3, 1, 3),
    )  # fmt: skip
    write_ply_splats(tmp_path / "a.ply", some, {})
    assert cli.main(["splats", str(tmp_path / "a.ply"), "--out", str(tmp_path / "a.png")]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert f"a.png of {tmp_path / 'a.ply'}: all of its splats are at one place: export" in error
    assert not (tmp_path / "a.png").exists()
