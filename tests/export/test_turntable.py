import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from redream import cameras
from redream.export.turntable import contact_sheet, render_over_white, write_film, write_png
from redream.files import whole_file


def test_render_composites_over_white_and_keeps_the_mode(sphere):
    sphere.train()
    pictures = render_over_white(sphere, cameras.turntable(4), 32)
    assert sphere.training
    assert not pictures.requires_grad
    assert torch.equal(pictures[:, :, 0, 0], torch.ones(4, 3))
    # The middle pixel sees the point of the sphere nearest to the camera.
    front = torch.nn.functional.normalize(cameras.turntable(1).c2w[:, :3, 3], dim=-1) * 0.6
    middle = pictures[0, :, 15:17, 15:17].mean(dim=(1, 2))
    assert torch.allclose(middle, sphere.colors(front)[0], atol=0.01)


def test_film_has_every_frame_at_its_colour(tmp_path):
    colors = torch.linspace(0.1, 0.9, 12)
    frames = colors[:, None, None, None].expand(12, 3, 32, 48).clone()
    frames[:, 0] = 0.5
    write_film(frames, tmp_path / "film.mp4", 16)
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    command = [ffmpeg, "-i", tmp_path / "film.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    stream = next(line for line in done.stderr.decode().splitlines() if "Video: h264" in line)
    assert "yuv420p" in stream and "48x32" in stream and "16 fps" in stream
    decoded = np.frombuffer(done.stdout, np.uint8).reshape(-1, 32, 48, 3)
    assert len(decoded) == 12
    assert np.abs(decoded[..., 1].mean((1, 2)) / 255.0 - colors.numpy()).max() < 0.03
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_film_of_odd_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match="even"):
        write_film(torch.zeros(2, 3, 31, 32), tmp_path / "film.mp4", 16)
    assert not list(tmp_path.iterdir())


def test_contact_sheet_holds_every_picture(tmp_path):
    rows = [torch.full((3, 3, 4, 4), 0.2), torch.full((2, 3, 4, 4), 0.6)]
    sheet = contact_sheet(rows, gap=1)
    assert sheet.shape == (3, 9, 14)
    assert (sheet == 0.2).sum() == 3 * 3 * 16 and (sheet == torch.tensor(0.6)).sum() == 2 * 3 * 16
    write_png(sheet, tmp_path / "a" / "sheet.png")
    with Image.open(tmp_path / "a" / "sheet.png") as image:
        assert image.size == (14, 9)
        assert image.getpixel((0, 0)) == (51, 51, 51)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half of the ne")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
