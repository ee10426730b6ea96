"""What priors of several views and of pictures cannot do, refused by the command line itself."""

import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from redream import cli
from redream.priors.miniature import (
    save_miniature,
    save_miniature_imagedream,
    save_miniature_mv_adapter,
    save_miniature_mvdream,
    save_miniature_zero123,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    save_miniature(root / "plain")
    save_miniature_mvdream(root / "mvdream")
    save_miniature_imagedream(root / "imagedream")
    save_miniature_mv_adapter(root / "mv_adapter")
    save_miniature_mv_adapter(root / "mv_adapter_xl", is_xl=True)
    save_miniature_zero123(root / "zero123", "distance")
    Image.new("RGBA", (32, 32), (200, 30, 30, 0)).save(root / "nothing.png")
    disc = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    disc.paste((200, 30, 30, 255), (8, 8, 24, 24))
    disc.save(root / "disc.png")
    save_file({"weight": torch.zeros(3)}, root / "other.safetensors")
    return root


def refused(words, capsys):
    """The one line that a command ends with, and its exit code is 2."""
    capsys.readouterr()
    assert cli.main([*map(str, words)]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(said) == 1
    return said[0]


def fit(models, tmp_path, method, *options, model=None):
    configs = [ROOT / "configs" / "default.yaml", ROOT / "configs" / "methods" / f"{method}.yaml"]
    return [
        "fit", *(f"--config={path}" for path in configs), "--prompt=a cube",
        f"--model.prior.init_args.model={models / (model or method)}",
        *(option.format(models=models) for option in options),
        f"--trainer.default_root_dir={tmp_path / 'out'}", "--trainer.max_steps=1",
        "--data.references.init_args.num_views=10", "--data.num_assets=1",
    ]  # fmt: skip


ADAPTER = "--model.prior.init_args.adapter={models}/mv_adapter"
PICTURE = "--data.image={models}/disc.png"
BY_DEPTH = "--model.reconstruction.depth_order={{start: 1.0, end: 1.0}}"
PERP_NEG = "--model.prompting=redream.priors.prompting.PerpNeg"


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("mvdream", ["--model.cameras.num_views=1"], "set --model.cameras.num_views 4"),
        (
            "mvdream",
            ["--model.cameras.half_height=null", "--model.cameras.distance=[6.0,7.0]"],
            "farther away than it knows: set --model.cameras.half_height [0.8,1]",
        ),
        (
            "imagedream",
            [PICTURE, "--model.cameras.fovy_deg=[50.0,100.0]"],
            "set --model.cameras.fovy_deg [15,60]",
        ),
        ("mv_adapter", [ADAPTER, "--model.cameras.num_views=4"], "set --model.cameras.num_views 6"),
        (
            "mv_adapter",
            [ADAPTER, "--model.cameras.elevation_deg=[0.0,30.0]"],
            "set --model.cameras.elevation_deg [0,0]",
        ),
        (
            "mv_adapter",
            [ADAPTER, "--model.cameras.fovy_deg=[40.0,40.0]"],
            "set --model.cameras.fovy_deg [0,5]",
        ),
        ("mv_adapter", [ADAPTER + "_xl/mvadapter_t2mv_sdxl.safetensors"], "this UNet"),
        ("zero123", ["--data.image={models}/nothing.png"], "no object"),
        (
            "zero123",
            [PICTURE, "--model.cameras.distance=[9.0,9.0]"],
            "set --model.cameras.distance [3.8,3.8]",
        ),
        ("zero123", [], "Zero123Prior must be shown the object"),
        ("mvdream", [PICTURE], "nobody looks at --data.image"),
        (
            "imagedream",
            [PICTURE, "--data.image_camera.azimuth_deg=-90"],
            "said to be from azimuth -90: give a picture of the front",
        ),
        ("zero123", [PICTURE, BY_DEPTH], "set --data.image_depth to a picture"),
        ("zero123", [PICTURE, "--model.guidance=SDSBridge"], "SDSBridge compares what a prior"),
        ("zero123", [PICTURE, PERP_NEG], "PerpNeg would make no difference"),
        ("zero123", [PICTURE, "--model.adapter=LightAdapter"], "learn_prefixes false"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_what_to_set(
    models, tmp_path, capsys, method, options, said
):
    line = refused(fit(models, tmp_path, method, *options), capsys)
    assert said in line
    assert not (tmp_path / "out").exists()  # nothing was retrieved for it


def test_what_a_prior_cannot_paint_without_is_said_before_it_paints(
    models, tmp_path, capsys, monkeypatch
):
    """magic123 without a picture, where nothing is installed that cuts the object out."""
    monkeypatch.setitem(sys.modules, "rembg", None)
    (tmp_path / "own.yaml").write_text(
        "model:\n  guidance:\n    init_args:\n      others:\n        - prior: {class_path: "
        f"StableDiffusionPrior, init_args: {{model: {models / 'plain'}}}}}\n          way: SDS\n"
    )
    words = fit(models, tmp_path, "magic123", f"--config={tmp_path / 'own.yaml'}", model="zero123")
    assert "pip install 'redream[image]'" in refused(words, capsys)
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_layout_is_refused(models, tmp_path, capsys):
    line = refused(fit(models, tmp_path, "mvdream", model="plain"), capsys)
    assert "made for StableDiffusionPipeline: give a model of MVDreamPipeline" in line
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_layout_is_not_converted(models, tmp_path, capsys):
    out = tmp_path / "converted"
    line = refused(["convert", models / "other.safetensors", out], capsys)
    assert "other.safetensors" in line and not out.exists()
