"""A picture as a condition: where the object is, how it is framed, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from redream.cameras import orbit
from redream.image_prompts import (
    ImageCamera,
    framed,
    paint_image_prompt,
    read_image_prompt,
    rembg_mask,
    save_picture,
)
from redream.priors import GaussianPrior

CAMERA = ImageCamera()


def picture(tmp_path, alpha=True, size=(60, 40)):
    """A red box from column 10 to 30 and row 5 to 15 on green, in a picture of 60 x 40."""
    pixels = np.zeros((size[1], size[0], 4), np.uint8)
    pixels[...] = (0, 255, 0, 0 if alpha else 255)
    pixels[5:15, 10:30] = (255, 0, 0, 255)
    path = tmp_path / "box.png"
    Image.fromarray(pixels if alpha else pixels[..., :3]).save(path)
    return path


def extent(mask):
    """Left, right, top and bottom of a mask, as shares of its side; whole pixels round them."""
    rows, columns = (mask.any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
    ends = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    return pytest.approx([float(each) / mask.shape[0] for each in ends], abs=0.025)


def test_an_object_is_cut_out_centred_and_as_large_as_asked(tmp_path):
    image = read_image_prompt(picture(tmp_path), ImageCamera(frame=0.8))
    assert image.rgba.shape[:2] == (1, 4) and image.rgba.shape[2] == image.rgba.shape[3]
    assert extent(image.rgba[0, 3] > 0.5) == [0.1, 0.9, 0.3, 0.7]
    assert image.rgba[0, 1].max() < 0.01  # no green: colour is premultiplied
    over = image.over(torch.ones(1, 3, 1, 1))
    assert over[0, :, 0, 0].tolist() == [1.0, 1.0, 1.0]
    assert over[0, :, 256, 256].tolist() == [1.0, 0.0, 0.0]


def test_a_mask_and_a_depth_are_framed_with_the_picture(tmp_path):
    mask, depth = tmp_path / "mask.png", tmp_path / "depth.png"
    seen = np.zeros((40, 60), np.uint8)
    seen[20:30, 40:50] = 255
    Image.fromarray(seen).save(mask)
    Image.fromarray(np.tile(np.arange(60, dtype=np.uint16) * 1000, (40, 1))).save(depth)
    image = read_image_prompt(picture(tmp_path, alpha=False), CAMERA, mask, depth)
    assert extent(image.rgba[0, 3] > 0.5) == [0.1, 0.9, 0.1, 0.9]
    inside = image.depth[0, 0, 256, 60:450]
    assert (inside.diff() >= 0).all() and inside.max() > 48_000 > 42_000 > inside.min()


def test_a_square_picture_may_stay_as_it_is(tmp_path):
    path = picture(tmp_path, size=(60, 60))
    image = read_image_prompt(path, ImageCamera(frame=0.0))
    assert extent(image.rgba[0, 3] > 0.5) == [0.17, 0.5, 0.08, 0.25]


def test_what_is_written_is_read_back(tmp_path):
    image = read_image_prompt(picture(tmp_path), CAMERA)
    save_picture(image, tmp_path / "kept.png")
    again = read_image_prompt(tmp_path / "kept.png", ImageCamera(frame=0.0))
    torch.testing.assert_close(again.rgba, image.rgba, atol=0.01, rtol=0)


def test_the_camera_is_that_of_all_others():
    cameras = ImageCamera(30.0, 10.0, 2.0, 40.0).cameras()
    expected = orbit(*(torch.tensor([each]) for each in (30.0, 10.0, 2.0, 40.0)))
    assert all(torch.equal(a, b) for a, b in zip(cameras, expected, strict=True))


@pytest.mark.parametrize("option", ["elevation_deg=90", "distance=0", "fovy_deg=180", "frame=1.1"])
def test_no_camera_stands_there(option):
    name, _, value = option.partition("=")
    with pytest.raises(ValueError, match=f"image_camera.{name} is {value}"):
        ImageCamera(**{name: float(value)})


@pytest.mark.parametrize(("distance", "fovy", "radius"), [(38.0, 20.0, "5.4"), (3.8, 1.0, "0.027")])
def test_a_camera_that_sees_an_object_of_another_size_is_refused(distance, fovy, radius):
    """Half of what it shows at the origin times the object's share; what is told to set holds."""
    with pytest.raises(ValueError, match=f"to be {radius} in radius.*distance") as refusal:
        ImageCamera(distance=distance, fovy_deg=fovy)
    told = float(str(refusal.value).partition("distance ")[2].partition(",")[0])
    ImageCamera(distance=told, fovy_deg=fovy)
    ImageCamera(distance=distance, fovy_deg=fovy, frame=0.0)  # who knows what it fills


def test_what_cannot_serve_is_named_in_one_line(tmp_path):
    path = picture(tmp_path)
    with pytest.raises(FileNotFoundError, match="data.image must name a picture"):
        read_image_prompt(tmp_path / "none.png", CAMERA)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match="is none of PNG"):
        read_image_prompt(tmp_path / "text.png", CAMERA)
    whole = path.read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) - 30])
    with pytest.raises(ValueError, match="damaged"):
        read_image_prompt(tmp_path / "cut.png", CAMERA)
    with pytest.raises(ValueError, match="60 x 40 and no square"):
        read_image_prompt(path, ImageCamera(frame=0.0))
    Image.new("RGBA", (40, 40)).save(tmp_path / "empty.png")
    with pytest.raises(ValueError, match="shows no object"):
        read_image_prompt(tmp_path / "empty.png", CAMERA)
    Image.new("L", (10, 10), 255).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match="10 x 10 and data.image 60 x 40"):
        read_image_prompt(path, CAMERA, tmp_path / "mask.png")


def test_every_way_of_saving_a_picture_shows_the_same(tmp_path):
    """16 bits a channel, greys, a palette, ink, a turned sensor: Pillow's own conversions clip."""
    box = np.zeros((40, 60), np.uint16)
    box[5:15, 10:30] = 40_000
    mask = tmp_path / "mask.png"
    Image.fromarray(np.uint8(255 * (box > 0))).save(mask)
    grey = Image.fromarray(np.uint8(box / 257))
    turn = Image.Exif()
    turn[0x0112] = 6  # a quarter turn, to be undone by who reads it
    Image.fromarray(box).save(tmp_path / "16.png")
    Image.fromarray(box.astype(">u2")).save(tmp_path / "16.tiff")
    Image.fromarray(box.astype(np.int32)).save(tmp_path / "32.tiff")
    grey.save(tmp_path / "grey.png")
    grey.convert("P").save(tmp_path / "palette.png")
    grey.convert("RGB").convert("CMYK").save(tmp_path / "ink.tiff")
    grey.rotate(90, expand=True).save(tmp_path / "turned.png", exif=turn)
    for name in (
        "16.png",
        "16.tiff",
        "32.tiff",
        "grey.png",
        "palette.png",
        "ink.tiff",
        "turned.png",
    ):
        image = read_image_prompt(tmp_path / name, CAMERA, mask)
        assert extent(image.rgba[0, 3] > 0.5) == [0.1, 0.9, 0.3, 0.7], name
        color = image.rgba[0, :, 256, 256].tolist()
        assert color == pytest.approx([40_000 / 65_535] * 3 + [1.0], abs=0.01), name
    Image.fromarray(np.where(box, 65_535, 0).astype(np.uint16)).save(tmp_path / "mask16.png")
    dim = np.where(box, 65_535, 300).astype(np.uint16)  # 300 is as good as black
    Image.fromarray(dim).save(tmp_path / "dim.png")
    for name in ("mask16.png", "dim.png"):
        image = read_image_prompt(tmp_path / "grey.png", CAMERA, tmp_path / name)
        assert extent(image.rgba[0, 3] > 0.5) == [0.1, 0.9, 0.3, 0.7], name
    Image.fromarray(np.float32(box)).save(tmp_path / "numbers.tiff")
    with pytest.raises(ValueError, match="8 or 16 bits"):
        read_image_prompt(tmp_path / "numbers.tiff", CAMERA, mask)


def test_a_large_picture_takes_no_more_memory_than_it_has_to(tmp_path):
    """The picture, its mask and two layers of numbers: not all layers at once."""
    side = 2048
    picture = Image.new("RGBA", (side, side))
    picture.paste((200, 40, 40, 255), (8, 8, side - 8, side - 8))
    rgb, alpha = np.asarray(picture.convert("RGB")), np.asarray(picture.getchannel("A"))
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        framed(rgb, alpha, CAMERA)
    held = most = 0
    for event in sorted(
        (e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"),
        key=lambda event: event.start_ns(),
    ):
        held += event.nbytes()
        most = max(most, held)
    assert 0 < most < 5 * 4 * (side / 0.8) ** 2


def red(picture):
    return Image.fromarray(np.uint8(255 * (np.asarray(picture)[..., 0] > 128)))


def test_a_background_is_removed_only_where_nothing_says_what_is_behind(tmp_path):
    image = read_image_prompt(picture(tmp_path, alpha=False), CAMERA, cut_out=red)
    assert extent(image.rgba[0, 3] > 0.5) == [0.1, 0.9, 0.3, 0.7]

    def fail(picture):
        raise AssertionError

    read_image_prompt(picture(tmp_path), CAMERA, cut_out=fail)


def test_without_rembg_a_line_says_what_to_do(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rembg", None)
    with pytest.raises(ImportError, match=r"redream\[image\]"):
        rembg_mask(Image.new("RGB", (8, 8)))


def test_rembg_cuts_with_a_network_that_may_be_used_commercially(monkeypatch):
    rembg = pytest.importorskip("rembg")
    asked = []

    class Session:
        def predict(self, picture, *args, **kwargs):
            return [red(picture)]

    def new_session(name):
        asked.append(name)
        return Session()

    monkeypatch.setattr(rembg, "new_session", new_session)
    picture = Image.new("RGB", (8, 8), (255, 0, 0))
    picture.putpixel((0, 0), (0, 0, 0))
    mask = np.asarray(rembg_mask(picture))
    assert mask.shape == (8, 8) and mask[0, 0] == 0 and (mask[1:] == 255).all()
    assert asked == ["isnet-general-use"]  # Apache 2.0

    def unreachable(name):
        raise OSError("no network\nat all")

    monkeypatch.setattr(rembg, "new_session", unreachable)
    with pytest.raises(ValueError, match=r"could not get its network.*\(no network\)"):
        rembg_mask(picture)


def test_a_prior_paints_the_picture(tmp_path):
    prior = GaussianPrior(16, mean=0.9, std=0.01)
    prior.mean[1:] = 0.1

    def middle(picture):
        mask = np.zeros(np.asarray(picture).shape[:2], np.uint8)
        mask[4:12, 4:12] = 255
        return Image.fromarray(mask)

    image = paint_image_prompt(prior, "a dog", CAMERA, cut_out=middle)
    color = image.over(torch.zeros(1, 3, 1, 1))[0, :, 256, 256]
    torch.testing.assert_close(color, torch.tensor([0.9, 0.1, 0.1]), atol=0.05, rtol=0)
    again = paint_image_prompt(prior, "a dog", CAMERA, cut_out=middle)
    assert torch.equal(image.rgba, again.rgba)


@pytest.mark.parametrize(("azimuth", "side"), [(0.0, "front"), (-90.0, "side"), (180.0, "back")])
def test_the_side_that_the_camera_sees_is_painted(azimuth, side):
    """Zero123 and the reconstruction take the picture to be from there."""
    prior, asked = GaussianPrior(16), []
    encode = prior.encode_prompts
    prior.encode_prompts = lambda prompts: asked.extend(prompts) or encode(prompts)
    camera = ImageCamera(azimuth_deg=azimuth)
    paint_image_prompt(prior, "a dog", camera, cut_out=lambda p: Image.new("L", p.size, 255))
    assert asked[0].startswith(f"a dog, {side} view")
