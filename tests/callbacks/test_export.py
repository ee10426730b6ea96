import base64
import json
import shutil
import subprocess
from types import SimpleNamespace

import imageio_ffmpeg
import lightning as L
import pytest
import torch
import trimesh
from PIL import Image

from redream.assets import write_glb
from redream.assets.gltf import read_header
from redream.callbacks import Export
from redream.export.asset_pictures import asset_pictures
from redream.export.atlas import textured_mesh
from redream.export.report import write_json
from redream.export.turntable import png_bytes, write_film
from redream.metrics import Metric
from redream.metrics.prior_balance import sample_pictures
from redream.priors import GaussianPrior
from redream.tensor_files import write_tensors

PRODUCTS = {
    "particle_0.glb",
    "particle_1.glb",
    "turntable_0.mp4",
    "turntable_1.mp4",
    "metrics.json",
    "attribution.md",
    "report.html",
    "adapter",
    "retrieval",
}


class Coverage(Metric):
    """The share of pixels that are not white: larger for the larger sphere."""

    def measure(self, prompt, pictures, cameras):
        assert pictures.shape[0] == cameras.num == 8
        return {"coverage": float((pictures < 1).any(dim=1).float().mean())}


@pytest.fixture
def export():
    return Export(
        [Coverage()],
        surface_resolution=16,
        texture_size=64,
        num_frames=8,
        frame_size=32,
        record_every_n_steps=1,
    )


def _names(folder):
    return {path.name for path in folder.iterdir()}


def _all_files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_finished_run_leaves_everything(toy, train, export, tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 7\n")
    train(toy.Module(), [export])
    assert _names(tmp_path) == PRODUCTS | {"config.yaml"}
    for i in (0, 1):  # one metre, standing on the origin
        low, high = trimesh.load_scene(tmp_path / f"particle_{i}.glb").bounds
        assert (high - low).max() == pytest.approx(1.0, abs=1e-5)
        assert low[1] == pytest.approx(0.0, abs=1e-6)
        assert (low + high)[[0, 2]] == pytest.approx(0.0, abs=1e-6)
    for i in (0, 1):
        num_frames, seconds = imageio_ffmpeg.count_frames_and_secs(
            str(tmp_path / f"turntable_{i}.mp4")
        )
        assert num_frames == 8 and seconds == pytest.approx(0.5, abs=0.01)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["prompt"] == 'a <striped> dog & a "cat"'
    assert metrics["steps"] == 4 and metrics["interrupted"] is False
    assert 0.05 < metrics["peak_memory_gib"] < 64
    big, small = (particle["coverage"] for particle in metrics["particles"])
    assert big > 1.5 * small > 0
    for model in metrics["models"]:
        assert model["psnr_db"] > 20.0 and model["silhouette_iou"] > 0.9
        assert model["is_watertight"] is True and model["num_components"] == 1
    header = read_header(tmp_path / "particle_1.glb")
    assert header["asset"]["extras"]["title"] == metrics["prompt"]
    authors = [each["author"] for each in header["asset"]["extras"]["attribution"]]
    assert authors == ["Ann", "Bob"]
    attribution = (tmp_path / "attribution.md").read_text()
    for word in ("uid-0", "Ann", "by", "https://example.org/dog", "0.310", "uid-1", "Bob", "cc0"):
        assert word in attribution
    with Image.open(tmp_path / "retrieval" / "asset_1.png") as image:
        assert image.getpixel((0, 0)) == (255, 255, 255)
        assert image.size == (256, 256)
        assert image.getpixel((200, 8)) == (115, 0, 0)  # the second asset from 15 degrees above
    report = (tmp_path / "report.html").read_text()
    assert "seed: 7" in report and "distillation" in report
    assert ">Watertight</th>" in report and f"{model['psnr_db']:.1f} dB" in report
    assert export.losses.curves["distillation"][0][0] == 1
    assert len(export.losses.curves["distillation"]) == 4


def test_the_report_shows_a_larger_film_and_what_the_prior_paints(toy, train, tmp_path):
    sizes = {"surface_resolution": 12, "texture_size": 32, "num_frames": 8, "frame_size": 16}
    module = toy.Module(radii=(0.6, 0.0))  # the second has no surface
    module.prior, learn = GaussianPrior(image_size=8, mean=0.2), module.training_step

    def forget(batch, batch_idx):
        module.prior.encode_prompts = None  # as a prior does that frees its text encoders
        return learn(batch, batch_idx)

    module.training_step = forget
    module.particles[0].is_soft = True
    export = Export(**sizes, film_size=48, prior_samples=2, prior_scale=1.0)
    with pytest.warns(RuntimeWarning, match="No model of particle 1"):
        train(module, [export])
    for i in (0, 1):
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(tmp_path / f"turntable_{i}.mp4")]
        assert b" 48x48" in subprocess.run(command, capture_output=True).stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    assert metrics["orbit"]["size"] == 16  # as before: what is measured is not the film
    report = (tmp_path / "report.html").read_text("utf-8")
    assert report.count("what the 2D prior paints") == 2
    prior = GaussianPrior(image_size=8, mean=0.2)
    for picture in sample_pictures(prior, [metrics["prompt"]] * 2, 1.0, 0):
        assert 0.0 < picture.mean() < 0.4  # around the prior's own mean
        assert report.count(base64.b64encode(png_bytes(picture)).decode()) == 2  # beside each


def test_the_prior_paints_before_it_lets_its_text_encoders_go(toy, train, tmp_path):
    class Frees(L.Callback):
        def on_train_batch_start(self, trainer, pl_module, *_):
            pl_module.prior.encode_prompts = None  # as when an adapter's prefixes have settled

    module = toy.Module()
    module.prior = GaussianPrior(image_size=8, mean=0.2)
    export = Export(surface_resolution=12, texture_size=32, num_frames=8, prior_samples=1)
    train(module, [Frees(), export])
    assert "what the 2D prior paints" in (tmp_path / "report.html").read_text("utf-8")


def test_the_prior_is_shown_the_picture_that_the_run_paints(toy, train, tmp_path, monkeypatch):
    class Paints(toy.Module):
        def on_fit_start(self):
            self.trainer.datamodule.image = "painted"  # as where no data.image is given

    def sample(prior, prompts, scale, seed, image):
        shown.append(image)
        return torch.zeros(len(prompts), 3, 8, 8)

    shown, module = [], Paints()
    module.prior = GaussianPrior(image_size=8)
    monkeypatch.setattr("redream.callbacks.export.sample_pictures", sample)
    train(module, [Export(surface_resolution=12, texture_size=32, num_frames=8, prior_samples=1)])
    assert shown == ["painted"]
    module.prior.needs_image = True
    data = toy.Data()
    trainer = L.Trainer(
        callbacks=[Export(surface_resolution=12, texture_size=32, num_frames=8, prior_samples=1)],
        default_root_dir=tmp_path, logger=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.predict(module, datamodule=data)  # has nothing to show it, and goes without
    assert shown == ["painted"]
    assert "what the 2D prior paints" not in (tmp_path / "report.html").read_text("utf-8")


def test_ctrl_c_exports_what_there_is(toy, train, export, tmp_path):
    with pytest.raises(SystemExit):
        train(toy.Module(fail_at=2), [export])
    assert _names(tmp_path) == PRODUCTS
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["steps"] == 2 and metrics["interrupted"] is True
    assert "interrupted" in (tmp_path / "report.html").read_text()


def test_an_error_exports_what_there_is_and_stays_the_error(toy, train, export, tmp_path):
    with pytest.raises(ZeroDivisionError, match="stopped"):
        train(toy.Module(fail_at=2, failure=ZeroDivisionError), [export])
    assert _names(tmp_path) == PRODUCTS


def test_an_error_before_the_first_step_leaves_nothing(toy, train, export, tmp_path):
    with pytest.raises(ValueError, match="stopped"):
        train(toy.Module(fail_at=0, failure=ValueError), [export])
    assert not _names(tmp_path)


def test_an_export_that_fails_leaves_only_whole_files(toy, train, export, tmp_path):
    module = toy.Module(fail_at=2, failure=ZeroDivisionError)
    render = module.particles[1].render

    def render_then_fail(cameras, height, width):
        if cameras.azimuth_deg[0] < 0:  # half way round
            raise OSError("disk full")
        return render(cameras, height, width)

    module.particles[1].render = render_then_fail
    with (
        pytest.warns(RuntimeWarning, match="unfinished: disk full"),
        pytest.raises(ZeroDivisionError),
    ):
        train(module, [export])
    assert _names(tmp_path) == {"particle_0.glb", "turntable_0.mp4"}
    trimesh.load_scene(tmp_path / "particle_0.glb")
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "turntable_0.mp4"))[0] == 8


@pytest.mark.parametrize("wrong", ["full", "read-only"])
def test_a_disk_that_takes_nothing_is_said_and_what_was_there_stays(
    toy, train, export, small_disk, wrong
):
    (small_disk / "particle_0.glb").write_bytes(b"of an earlier run")
    if wrong == "full":
        (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    before = _all_files(small_disk)
    why = "No space left on device" if wrong == "full" else "Read-only file system"
    with pytest.raises(OSError, match=why) as error:
        train(toy.Module(), [export], default_root_dir=small_disk)
    assert "particle_0" in str(error.value) and "\n" not in str(error.value)
    assert _all_files(small_disk) == before
    assert (small_disk / "particle_0.glb").read_bytes() == b"of an earlier run"


@pytest.mark.parametrize("name", ["adapter", "model", "film", "report"])
def test_every_kind_of_file_says_that_the_disk_is_full(name, toy, small_disk):
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    path = small_disk / f"{name}.file"
    write = {
        "adapter": lambda: write_tensors(path, {"omega": torch.zeros(1000)}),
        "film": lambda: write_film(torch.rand(8, 3, 64, 64), path, 8),
        "model": lambda: write_glb(path, textured_mesh(toy.Sphere(), 8, 16), {}),
        "report": lambda: write_json(["a"] * 1000, path),
    }
    with pytest.raises(OSError, match=rf"cannot write .*{name}\.file: [Nn]o space left on device"):
        write[name]()
    assert [each.name for each in small_disk.iterdir()] == ["ballast"]


def test_an_error_in_the_final_export_is_not_tried_twice(toy, train, export, tmp_path):
    module = toy.Module()
    calls = []
    module.particles[0].render = lambda *_: calls.append(1) or 1 / 0
    with pytest.raises(ZeroDivisionError):
        train(module, [export])
    assert len(calls) == 1
    assert not _all_files(tmp_path)


def test_a_particle_without_surface_still_has_pictures(toy, train, export, tmp_path):
    with pytest.warns(RuntimeWarning, match="No model of particle 1: The field is empty"):
        train(toy.Module(radii=(0.6, 0.0)), [export])
    assert _names(tmp_path) == PRODUCTS - {"particle_1.glb"}
    assert "No model of particle 1" in (tmp_path / "report.html").read_text()


def test_without_assets_and_references(toy, train, export, tmp_path):
    data = toy.Data()
    data.assets, data.references = [], None
    train(toy.Module(), [export], data=data)
    assert _names(tmp_path) == PRODUCTS - {"retrieval"}
    assert "Retrieved assets" not in (tmp_path / "report.html").read_text()


def test_without_an_adapter(toy, train, export, tmp_path):
    module = toy.Module()
    module.adapter = None
    train(module, [export])
    assert _names(tmp_path) == PRODUCTS - {"adapter"}


def test_a_metric_that_cannot_measure_stops_the_run_before_it_starts(toy, train, tmp_path):
    class Broken(Metric):
        def measure(self, prompt, pictures, cameras):
            raise FileNotFoundError("no evaluation CLIP")

    module = toy.Module()
    with pytest.raises(FileNotFoundError, match="no evaluation CLIP"):
        train(module, [Export([Broken()])])
    assert module.particles[0].offset.item() == 0.0
    assert not _names(tmp_path)


def test_predict_exports_and_test_measures(toy, train, export, tmp_path):
    module, data = toy.Module(), toy.Data()
    trainer = train(module, [])
    trainer.callbacks.append(export)
    trainer.test(module, datamodule=data, verbose=False)
    assert _names(tmp_path) == {"metrics.json"}
    assert len(json.loads((tmp_path / "metrics.json").read_text())["particles"]) == 2
    trainer.predict(module, datamodule=data)
    assert _names(tmp_path) == PRODUCTS


def test_a_resumed_run_reports_all_of_its_curve(toy, train, tmp_path):
    options = {"surface_resolution": 8, "texture_size": 32, "num_frames": 8, "frame_size": 16}
    first = Export(**options, record_every_n_steps=1)
    trainer = train(toy.Module(radii=(0.6,)), [first], num_steps=3)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    resumed = Export(**options, record_every_n_steps=1)
    resumed.load_state_dict(
        torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"][resumed.state_key]
    )
    assert resumed.losses.curves == first.losses.curves
    assert [step for step, _ in resumed.losses.curves["distillation"]] == [1, 2, 3]
    assert resumed.state_dict()["seconds"] > 0 and resumed.state_dict()["steps"] == 3


def test_asset_pictures_are_large_however_small_the_references_are(toy):
    data = toy.Data()
    assert data.references.rgba.shape[-1] == 16
    first, second = asset_pictures(data.render_asset, 2, elevation_deg=10.0)
    assert first.shape == second.shape == (3, 256, 256)
    assert first[:, 0, 0].tolist() == [1.0, 1.0, 1.0]  # transparent is white
    assert first[0, 0, -1].item() == pytest.approx(0.1)
    assert second[0, 0, -1].item() == pytest.approx(0.5)


def test_models_in_other_formats_only(toy, train, tmp_path):
    options = {"surface_resolution": 12, "texture_size": 32, "num_frames": 8, "frame_size": 16}
    train(toy.Module(radii=(0.6,)), [Export(formats=["ply", "obj"], size_m=0.25, **options)])
    models = {path.name for path in tmp_path.glob("particle_*")}
    assert models == {f"particle_0.{suffix}" for suffix in ("ply", "obj", "mtl", "png")}
    assert trimesh.load(tmp_path / "particle_0.ply").extents.max() == pytest.approx(0.25)
    (model,) = json.loads((tmp_path / "metrics.json").read_text())["models"]
    assert model["psnr_db"] > 15.0  # the GLB is measured though it is not kept
    assert "model/gltf-binary" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    "options",
    [
        {"num_frames": 12},
        {"frame_size": 33},
        {"film_size": 33},
        {"prior_samples": -1},
        {"texture_size": 0},
        {"texture_size": 1 << 20},
        {"num_faces": 3},
        {"size_m": 0.0},
        {"size_m": float("nan")},
        {"surface_resolution": 1},
        {"formats": []},
        {"formats": ["fbx"]},
        {"record_every_n_steps": 0},
    ],
)
def test_unusable_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Export(**options)


def test_who_judges_poses_leaves_a_curve_and_a_number(toy, train, export, tmp_path):
    """A judge that takes every second picture for a front, of four poses: two faces."""

    class Judge:
        classifier = SimpleNamespace(num_poses=4)

        def front(self, pictures):
            return torch.arange(len(pictures)) % 2 * torch.ones(len(pictures))

    module, data = toy.Module(), toy.Data()
    module.poses = Judge()

    def faces():
        measures = json.loads((tmp_path / "metrics.json").read_text("utf-8"))["particles"]
        return [each["faces"] for each in measures]

    trainer = train(module, [export])
    assert faces() == [2.0, 2.0]
    for verb in (
        lambda: trainer.test(module, data, verbose=False),
        lambda: trainer.predict(module, data),
    ):
        (tmp_path / "metrics.json").unlink()
        verb()
        assert faces() == [2.0, 2.0]
    assert (tmp_path / "report.html").read_text("utf-8").count("front seen, by azimuth") == 2
