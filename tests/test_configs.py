"""The shipped configurations: each parses whole, and each method runs on the embedded world."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import trimesh
import yaml
from PIL import Image

from experiments.paper.world import WORLDS
from redream.assets.splat_files import read_splats
from redream.image_prompts import save_picture
from redream.priors.miniature import (
    save_miniature,
    save_miniature_imagedream,
    save_miniature_mv_adapter,
    save_miniature_mvdream,
    save_miniature_zero123,
)
from redream.testing.priors import disc_of
from redream.tools import run as tool

ROOT = Path(__file__).parents[1]
DEFAULT = ROOT / "configs" / "default.yaml"
METHODS = sorted((ROOT / "configs" / "methods").glob("*.yaml"))
BASELINES = {"dreamfusion", "sjc", "prolificdreamer", "debiased_sds", "perp_neg", "redream"}
WAYS = {"asd", "csd", "sds_bridge", "ism", "sdi", "reuse", "dsd"}
BESIDE = {"uniform_poses"}  # any of them
OTHER_PRIORS = {
    "mvdream", "mv_adapter", "imagedream", "zero123", "stable_zero123", "magic123", "joint",
    "mvdream_sd",
}  # fmt: skip


def printed(capsys, *arguments):
    """What ``--print_config`` says, which needs neither weights nor assets."""
    with pytest.raises(SystemExit) as leaving:
        tool.main("fit", [*map(str, arguments), "--print_config"])
    assert leaving.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def leaves(tree, path=()):
    """The values of a configuration by their path, components' names included."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    elif isinstance(tree, list) and tree and isinstance(tree[0], dict):
        yield from leaves(dict(enumerate(tree)), path)
    else:
        yield path, tree


def assert_holds(config, overlay):
    """Every value of the overlay is in the configuration, classes by their last name."""
    for path, value in leaves(overlay):
        found = config
        for key in path:
            short = key not in found and "init_args" in found  # a class by its arguments alone
            found = found["init_args"][key] if short else found[key]
        if path[-1] == "class_path":
            found, value = found.split(".")[-1], value.split(".")[-1]
        assert found == value, path


def test_each_baseline_of_table_1_that_needs_only_stable_diffusion_is_one_file():
    assert {path.stem for path in METHODS} == BASELINES | WAYS | BESIDE | OTHER_PRIORS


@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.stem)
def test_each_method_lies_over_the_default(capsys, method):
    config = printed(capsys, "--config", DEFAULT, "--config", method, "--prompt", "a dog")
    assert_holds(config, yaml.safe_load(method.read_text("utf-8")))
    assert config["data"]["retriever"]["init_args"]["index"] == "embedded:index"


@pytest.mark.parametrize("name", ["mixed", "splats"])
def test_what_lies_over_the_default_holds(capsys, name):
    overlay = ROOT / "configs" / f"{name}.yaml"
    config = printed(capsys, "--config", DEFAULT, "--config", overlay)
    assert_holds(config, yaml.safe_load(overlay.read_text("utf-8")))


def test_the_recipe_of_minutes_runs_on_a_miniature(tmp_path, sd_folders, monkeypatch):
    """configs/splats_gpu.yaml over configs/paper.yaml, whole but for sizes, starts on the asset."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    box = trimesh.creation.box((1.0, 0.4, 1.0))
    box.visual.vertex_colors = [255, 0, 0, 255]
    (tmp_path / "box.ply").write_bytes(box.export(file_type="ply"))
    (tmp_path / "short.yaml").write_text(
        "trainer:\n  callbacks:\n    - class_path: redream.callbacks.Export\n      init_args: "
        "{num_frames: 8, frame_size: 32, surface_resolution: 24, texture_size: 32, "
        "formats: [glb, ply_splats]}\n"
    )
    configs = ROOT / "configs" / "paper.yaml", ROOT / "configs" / "splats_gpu.yaml"
    cloud = ["--model.representation.init_args.num_splats=500", "--trainer.max_steps=3"]
    tool.main(
        "fit",
        [
            *(f"--config={path}" for path in (*configs, tmp_path / "short.yaml")),
            "--prompt=a red box", f"--data.assets={tmp_path / 'box.ply'}", "--data.encoder=null",
            f"--model.prior.init_args.model={sd_folders['epsilon']}", "--trainer.accelerator=cpu",
            "--model.prior.init_args.dtype=float32", "--model.cameras.render_size=24",
            "--data.retriever=null", "--data.store=null",
            "--data.references.init_args.size=16", "--data.references.init_args.cache_dir=null",
            f"--trainer.default_root_dir={tmp_path / 'out'}", *cloud,
        ],
    )  # fmt: skip
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["steps"] == 3 and metrics["models"][0]["silhouette_iou"] > 0.7
    splats = read_splats(tmp_path / "out" / "particle_0.splats.ply")
    assert len(splats.means) == 500
    size = splats.means.amax(0) - splats.means.amin(0)
    assert float(size[1] / size[0]) == pytest.approx(0.4, abs=0.1)
    red, _, blue = (0.5 + 0.2820948 * splats.harmonics[:, 0]).mean(0).tolist()
    assert red > 0.7 > 0.3 > blue


@pytest.mark.skipif(
    importlib.util.find_spec("redream.assets.objaverse") is None, reason="no Objaverse store"
)
@pytest.mark.parametrize("overlay", [None, "paper_check", "splats_gpu", *sorted(BASELINES)])
def test_the_papers_configuration_is_complete(capsys, overlay):
    paper = ROOT / "configs" / "paper.yaml"
    arguments = ["--config", paper, "--prompt", "a dog"]
    if overlay is not None:
        (path,) = (ROOT / "configs").rglob(f"{overlay}.yaml")
        arguments += ["--config", path]
        paper = path
    config = printed(capsys, *arguments)
    expected = yaml.safe_load(paper.read_text("utf-8"))
    expected.pop("prompt", None)
    expected.get("trainer", {}).pop("callbacks", None)
    assert_holds(config, expected)


def test_to_the_letter_turns_off_whatever_is_ours(capsys):
    """Over the configuration that has all of it, and over the paper's."""
    letter = ROOT / "configs" / "methods" / "redream.yaml"
    for beneath in (DEFAULT, ROOT / "configs" / "paper.yaml"):
        config = printed(capsys, "--config", beneath, "--config", letter, "--prompt", "a dog")
        model = config["model"]
        adapter = model["adapter"]["init_args"]
        ours = ("lowest_time", "max_emphasis", "view_contrast", "anchor", "cosine_decay")
        assert {name: float(adapter[name]) for name in ours} == dict.fromkeys(ours, 0.0)
        scene = model["representation"]["init_args"]
        assert scene["sharpness"] == 1.0
        for name in ("orientation", "spread"):
            assert scene["penalties"][name]["start"] == scene["penalties"][name]["end"] == 0.0
        assert not model["adaptation"]["balanced_views"]
        correction, rate = model["correction"]["weight"], model["learning_rate_scale"]
        assert correction["start"] == correction["end"] == rate["start"] == rate["end"] == 1.0
        assert model["pictures"] == {
            "random_background": 0.5, "white_share": 0.0, "sample_latents": True
        }  # fmt: skip
        assert model["weight_decay"] == 0.01 and config["data"]["front_axis"] == "highest"
        assert config["data"]["least_likeness"] < -1.0  # all N, whatever a cosine is


THREESTUDIO = {  # configs/dreamfusion-sd.yaml and configs/prolificdreamer.yaml of commit 28d9d80
    "dreamfusion": {
        "steps": 10000, "size": (64, 64), "distance": [1.5, 2.0], "decay": 0.0, "scale": 101.0,
        "sparsity": (1.0, 1.0, 0), "opacity": (0.0, 0.0, 0), "orientation": (10.0, 1000.0, 5000),
        "high": (0.98, 0.98, 0), "mlp": 0.01, "random": 0.0,
    },
    "prolificdreamer": {
        "steps": 25000, "size": (64, 512), "distance": [1.0, 1.5], "decay": 0.01, "scale": 7.5,
        "sparsity": (10.0, 10.0, 0), "opacity": (0.0, 1000.0, 10000), "orientation": (0.0, 0.0, 0),
        "high": (0.98, 0.5, 5000), "mlp": 0.001, "random": 0.5,
    },
}  # fmt: skip


@pytest.mark.parametrize("method", THREESTUDIO)
def test_real_baselines_are_threestudios_number_by_number(capsys, method):
    expected, world = THREESTUDIO[method], WORLDS["real"]
    options = [word for path in world.layers(method)[:-1] for word in ("--config", path)]
    config = printed(capsys, *options, "--prompt", "a dog")
    model, guidance = config["model"], config["model"]["guidance"]["init_args"]
    scene = model["representation"]["init_args"]

    def ramp(value):
        moves = value["start"] != value["end"]
        return value["start"], value["end"], value["end_step"] if moves else 0

    size = model["cameras"]["render_size"]
    ends = (size, size) if isinstance(size, int) else (size["start"], size["end"])
    assert config["trainer"]["max_steps"] == expected["steps"] and ends == expected["size"]
    assert model["cameras"]["distance"] == expected["distance"]
    assert model["cameras"]["elevation_deg"] == [-10.0, 45.0]
    assert model["cameras"]["fovy_deg"] == [40.0, 70.0]
    assert guidance["scale"] == expected["scale"] and model["weight_decay"] == expected["decay"]
    for name in ("sparsity", "opacity", "orientation"):
        assert ramp(scene["penalties"][name]) == expected[name], name
    assert ramp(guidance["timesteps"]["high"]) == expected["high"]
    assert scene["alpha_threshold"] == 0.01 and scene["mlp_lr"] == expected["mlp"]
    assert scene["grid_lr"] == 0.01 and scene["background_lr"] == 0.001
    radius = 2.0 if method == "dreamfusion" else 1.0  # theirs, of which ours shows a part
    step = 2.0 * scene["radius"] / scene["num_steps"]
    assert step == pytest.approx(1.732 * 2 * radius / 512, rel=0.005)
    assert model["pictures"] == {
        "random_background": expected["random"], "white_share": 0.0, "sample_latents": True
    }  # fmt: skip
    assert model["adapter"] is None and model["warmup"]["steps"] == 0
    assert model["correction"]["period"] == 0


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of its own: the library and the index are made once."""
    return tmp_path_factory.mktemp("cache")


def on_miniatures(folder, method):
    """What a method whose weights are no part of ReDream is given in their place."""
    if method.stem not in OTHER_PRIORS:
        return {}
    model = yaml.safe_load(method.read_text("utf-8"))["model"]
    given = {"prior": {"init_args": {"model": str(folder)}}}
    if method.stem in ("mvdream_sd", "mvdream"):
        save_miniature_mvdream(folder)
    elif method.stem == "joint":
        save_miniature(folder)
        save_miniature_mvdream(folder / "judge")
        judge = {"class_path": "MVDreamPrior", "init_args": {"model": str(folder / "judge")}}
        given["guidance"] = {"init_args": {"judge": judge}}
    elif method.stem == "mv_adapter":
        save_miniature_mv_adapter(folder)
        given["prior"]["init_args"]["adapter"] = str(folder)
    elif method.stem == "imagedream":
        save_miniature_imagedream(folder)
    else:
        save_miniature_zero123(folder, "elevation" if "stable" in method.stem else "distance")
        given["reconstruction"] = {"render_size": 32}
    others = model["guidance"]["init_args"].get("others", [])
    for each in others:
        each["prior"]["init_args"]["model"] = "embedded:prior"
    if others:
        given["guidance"] = {"init_args": {"others": others}}
    data = (
        {}
        if others or method.stem in ("mvdream", "mv_adapter", "joint")
        else {"image": str(folder / "disc.png")}
    )
    save_picture(
        disc_of(SimpleNamespace(image_size=64, alphas=torch.ones(1), device="cpu")),
        folder / "disc.png",
    )
    return {"model": given, "data": data}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Stable Zero123's weights are licensed")
@pytest.mark.filterwarnings("ignore:the prompt is too long")  # for the miniature of MVDream
@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.stem)
def test_each_method_runs_on_the_embedded_world(tmp_path, cache, monkeypatch, method):
    monkeypatch.setenv("REDREAM_CACHE", str(cache))
    (tmp_path / "short.yaml").write_text(
        "trainer:\n  callbacks:\n    - class_path: redream.callbacks.Export\n      init_args: "
        "{num_frames: 8, frame_size: 32, surface_resolution: 16, texture_size: 32}\n"
    )
    (tmp_path / "model").mkdir()
    own = on_miniatures(tmp_path / "model", method)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    whole = Image.new("L", (64, 64), 255)  # what the miniature paints has no object to cut out
    monkeypatch.setattr("redream.image_prompts.rembg_mask", lambda picture: whole)
    configs = [DEFAULT, method, tmp_path / "short.yaml", tmp_path / "own.yaml"]
    tool.main(
        "fit",
        [
            *(f"--config={path}" for path in configs), "--prompt=a golden elephant",
            "--trainer.max_steps=20", f"--trainer.default_root_dir={tmp_path / 'out'}",
            "--model.num_particles=1", "--model.cameras.render_size=32",
            "--data.references.init_args.num_views=10",
        ],
    )  # fmt: skip
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["steps"] == 20
