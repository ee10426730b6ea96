"""MV-Adapter against what its authors' own code said, what it is told, and what it refuses."""

import copy
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import multiview_parity
import mv_adapter_parity as parity
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn.functional import scaled_dot_product_attention

from redream.adapters import LightAdapter, VariationalAdapter
from redream.assets.references import ReferenceRenderer
from redream.cameras import orbit, set_steps
from redream.method.adaptation import Adaptation, AdaptationSchedule
from redream.priors import BASE, MVAdapterPrior
from redream.priors.families.base import append_pooled
from redream.priors.miniature import save_miniature_3, save_miniature_mv_adapter
from redream.priors.mv_adapter import AZIMUTHS_DEG
from redream.priors.poses import mv_adapter_conditions
from redream.testing.priors import AdapterContract, PriorContract, noisy_rows
from redream.types import NoisyRows, References

RECORDED = Path(__file__).parent / "recorded" / "mv_adapter.safetensors"
NAMES = {"sd21": "mvadapter_t2mv_sd21.safetensors", "sdxl": "mvadapter_t2mv_sdxl.safetensors"}
V = parity.V


def six_cameras(distance=22.9, fovy_deg=5.0):
    azimuth, ones = set_steps(V, AZIMUTHS_DEG), torch.ones(V)
    return orbit(azimuth, 0.0 * ones, distance * ones, fovy_deg * ones)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("mv_adapter")
    for name in NAMES:
        save_miniature_mv_adapter(root / name, is_xl=name == "sdxl")
    return {name: root / name for name in NAMES}


def load(folder, **options):
    return MVAdapterPrior(str(folder), str(folder), **options)


def as_the_authors_had_it(folder, name):
    """Base model and adapter with the tensors that their network had when it was recorded."""
    save_miniature_mv_adapter(folder, name == "sdxl", **parity.LAYOUTS[name])
    with safe_open(RECORDED, "pt") as file:
        shapes = json.loads(file.metadata()["shapes"])[name]
    for part, path in (
        ("unet", "unet/diffusion_pytorch_model.safetensors"),
        ("adapter", NAMES[name]),
    ):
        tensors = {
            key: multiview_parity.value(key, torch.Size(shape))
            for key, shape in shapes[part].items()
        }
        save_file(tensors, folder / path)
    return load(folder, image_size=parity.IMAGE_SIZE)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_authors_network(name, tmp_path):
    """Their attention, encoder and pipelines' arrangement; and without poses, and without rows."""
    recorded, prior = load_file(RECORDED), as_the_authors_had_it(tmp_path, name)
    given, poses = parity.inputs(name), six_cameras().c2w.repeat(2, 1, 1)
    text = given["encoder_hidden_states"]
    if name == "sdxl":
        text = append_pooled(text, given["added_cond_kwargs"]["text_embeds"])
    rows = NoisyRows(given["sample"], given["timestep"], text, (BASE,) * 2 * V, poses=poses)
    with torch.no_grad():
        eps = prior.predict_noise(rows)
        without_poses = prior.predict_noise(rows._replace(poses=torch.zeros_like(poses)))
        for path, each in prior.family.denoiser.named_parameters():
            if "to_out_mv" in path:
                each.zero_()
        without_rows = prior.predict_noise(rows)
    for found, key in (
        (eps, name),
        (without_poses, f"{name}.without_poses"),
        (without_rows, f"{name}.without_rows"),
    ):
        torch.testing.assert_close(found, recorded[key], atol=1e-5, rtol=0)
    assert (without_poses - eps).abs().max() > 0.05
    assert (without_rows - eps).abs().max() > 0.05


def test_cameras_are_told_as_the_authors_tell_them():
    """Their own table of the six, whatever the distance; what has no pose looks nowhere."""
    recorded = load_file(RECORDED)["told"]
    for distance in (1.8, 22.9):
        told = mv_adapter_conditions(six_cameras(distance).c2w)
        torch.testing.assert_close(told, recorded, atol=1e-6, rtol=0)
    assert mv_adapter_conditions(torch.zeros(1, 4, 4)).eq(0.5).all()


def test_the_front_is_seen_from_where_blender_has_it():
    """From -Y along +Y, in [0, 1]; a quarter further round from +X."""
    told = mv_adapter_conditions(six_cameras().c2w)
    torch.testing.assert_close(told[0], torch.tensor([0.5, 1.0, 0.5, 0.5, 0.0, 0.5]))
    torch.testing.assert_close(told[2], torch.tensor([0.0, 0.5, 0.5, 1.0, 0.5, 0.5]))


def test_its_noise_is_the_authors_shifted_noise(loaded):
    prior = loaded["sd21"]
    expected = load_file(RECORDED)["alphas_cumprod"]
    torch.testing.assert_close(prior.alphas.square(), expected, atol=2e-6, rtol=0)
    torch.testing.assert_close(prior.sigmas.square(), 1.0 - expected, atol=2e-6, rtol=0)
    ratio = prior.alphas.double().square() / prior.sigmas.double().square()
    plain = prior.family.diffusion
    before = plain.alphas.double().square() / plain.sigmas.double().square()
    assert float(ratio[-1] / before[-1]) == pytest.approx(1 / 8, rel=1e-4)
    assert float(ratio[0] / before[0]) == pytest.approx(1.0, rel=1e-4)


@pytest.fixture(scope="session")
def loaded(folders):
    return {name: load(folder) for name, folder in folders.items()}


def test_rows_attend_to_the_same_rows_of_all_views_and_to_nothing_else(loaded):
    """As attention over each row of pixels written out, beside the base model's own."""
    unet = loaded["sd21"].family.denoiser
    attn = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    rows, side = torch.randn(2 * V, 16, attn.to_q.in_features), 4
    with torch.no_grad():
        found = attn.processor(attn, rows)
        base = attn.to_out[0](_attend(attn.to_q(rows), attn.to_k(rows), attn.to_v(rows), attn))
        across, own = torch.empty_like(rows), attn.processor
        for first in (0, V):
            for row in range(side):
                places = slice(row * side, (row + 1) * side)
                seen = rows[first : first + V, places].reshape(1, V * side, -1)
                heard = _attend(own.to_q_mv(seen), own.to_k_mv(seen), own.to_v_mv(seen), attn)
                said = own.to_out_mv[0](heard).view(V, side, -1)
                across[first : first + V, places] = said
    torch.testing.assert_close(found, base + across, atol=1e-6, rtol=1e-5)


def _attend(query, key, value, attn):
    heads = [each.unflatten(2, (attn.heads, -1)).transpose(1, 2) for each in (query, key, value)]
    return scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)


class OnMVAdapter:
    @pytest.fixture(autouse=True, params=list(NAMES))
    def _loaded(self, request, loaded):
        self.loaded = loaded[request.param]

    def make_prior(self):
        return copy.deepcopy(self.loaded)


class TestMVAdapterPrior(OnMVAdapter, PriorContract):
    pass


class TestLightAdapter(AdapterContract):
    @pytest.fixture(autouse=True)
    def _loaded(self, loaded):
        self.loaded = loaded["sd21"]

    def make_prior(self):
        return copy.deepcopy(self.loaded)

    def make_adapter(self):
        return LightAdapter(rank=2, learn_prefixes=False)


class TestVariationalAdapterOnXL(AdapterContract):
    @pytest.fixture(autouse=True)
    def _loaded(self, loaded):
        self.loaded = loaded["sdxl"]

    def make_prior(self):
        return copy.deepcopy(self.loaded)

    def make_adapter(self):
        return VariationalAdapter(rank=2, camera_conditioning=False)


def test_memory_can_be_traded_for_time_here_as_well(folders, loaded):
    """Blocks computed again have the same gradients, with what is added to them."""
    again = load(folders["sdxl"], gradient_checkpointing=True)
    found = []
    for prior in (loaded["sdxl"], again):
        rows = noisy_rows(prior, (BASE,))
        latents = rows.latents.requires_grad_()
        eps = prior.predict_noise(rows._replace(latents=latents))
        found.append((eps, *torch.autograd.grad(eps.square().sum(), latents)))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


def changed(folder, tmp_path, change, name="sd21", new=None):
    tensors = load_file(folder / NAMES[name])
    change(tensors)
    path = tmp_path / (new or NAMES[name])
    save_file(tensors, path)
    return str(path)


KEY = "mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_mv.weight"
REF = KEY.replace("_mv", "_ref")


@pytest.mark.parametrize(
    ("change", "new", "said"),
    [
        (lambda t: t.pop("adapter.conv_in.bias"), None, r"lacks 1 of .* \(adapter.conv_in.bias\)"),
        (lambda t: t.pop(KEY), "own.safetensors", rf"own.safetensors lacks .*\({KEY}\)"),
        (lambda t: t.update({KEY: torch.zeros(4, 4)}), None, "another layout: its .*(4, 4)"),
        (
            lambda t: t.update({KEY.replace("_mv", "_ref"): t[KEY].clone()}),
            None,
            "MV-Adapter's i2mv",
        ),
        (lambda t: None, "mvadapter_tg2mv_sdxl.safetensors", "MV-Adapter's tg2mv"),
    ],
    ids=["encoder", "layer", "shape", "picture", "surface"],
)
def test_other_adapters_are_refused_in_one_line(folders, tmp_path, change, new, said):
    path = changed(folders["sd21"], tmp_path, change, new=new)
    with pytest.raises(ValueError, match=said) as refusal:
        MVAdapterPrior(str(folders["sd21"]), path)
    assert "\n" not in str(refusal.value)


def test_adapter_and_base_model_must_be_of_one_kind(folders, tmp_path):
    one, two = (str(folders["sdxl"] / NAMES["sdxl"]), str(folders["sd21"] / NAMES["sd21"]))
    with pytest.raises(ValueError, match="lacks .* for this UNet|another layout"):
        MVAdapterPrior(str(folders["sd21"]), one)
    with pytest.raises(ValueError, match="lacks .* for this UNet|another layout"):
        MVAdapterPrior(str(folders["sdxl"]), two)
    save_miniature_3(tmp_path / "3")
    with pytest.raises(ValueError, match="made for StableDiffusion3Pipeline"):
        MVAdapterPrior(str(tmp_path / "3"), one)


def test_what_is_no_adapter_is_refused_in_one_line(folders, tmp_path):
    base = str(folders["sd21"])
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    empty = tmp_path / "empty"
    empty.mkdir()
    for wrong, error, said in (
        (tmp_path / "torn.safetensors", ValueError, "damaged or no checkpoint"),
        (empty, FileNotFoundError, "has no mvadapter_t2mv_sd21.safetensors"),
        (tmp_path / "none.safetensors", FileNotFoundError, "no adapter .*huanngzh/mv-adapter"),
    ):
        with pytest.raises(error, match=said):
            MVAdapterPrior(base, str(wrong))
    with pytest.raises(ValueError, match="multiple of 4, not 18"):
        load(folders["sdxl"], image_size=18)


def test_tensors_without_a_place_are_named(folders, tmp_path):
    path = changed(folders["sd21"], tmp_path, lambda t: t.update({"more.weight": t[KEY].clone()}))
    with pytest.warns(UserWarning, match="no place for 1 .* more.weight"):
        MVAdapterPrior(str(folders["sd21"]), path)


def test_references_are_seen_as_the_prior_sees_them(loaded):
    """Sets at the six azimuths; those of another elevation or perspective are refused."""
    level = dict(elevation_deg=(0.0, 0.0), fovy_deg=(5.0, 5.0), half_height=(1.0, 1.0))
    cameras = ReferenceRenderer(num_views=13, **level).cameras(0, V, AZIMUTHS_DEG)
    torch.testing.assert_close(cameras.c2w[:V], six_cameras(1.0 / math.tan(math.pi / 72)).c2w)
    assert cameras.num == 12 and torch.equal(cameras.c2w[:V], cameras.c2w[V:])
    prior = copy.deepcopy(loaded["sd21"])
    omega = LightAdapter(rank=1, learn_prefixes=False)
    omega.attach(prior)

    def taught(cameras):
        rgba = torch.rand(12, 4, 16, 16)
        views = References(rgba, cameras, ("a dog",), torch.zeros(12, dtype=torch.long), V)
        assets = SimpleNamespace(references=views, prompt="a dog")
        return Adaptation(prior, omega, assets, AdaptationSchedule(V)).batch(0).rows

    assert torch.equal(taught(cameras).poses, cameras.c2w[:V])
    for name, given in (("elevation_deg", (30.0, 30.0)), ("fovy_deg", (40.0, 40.0))):
        others = ReferenceRenderer(num_views=12, **(level | {name: given})).cameras(0, V)
        said = rf"--data.references.init_args.{name} \[0,"
        with pytest.raises(ValueError, match=said):
            taught(others)


def test_pictures_are_scored_at_the_size_of_the_adapters_training(folders, tmp_path):
    """XL's own is larger; a smaller model keeps its own."""
    for name, trained in (("sdxl", 768), ("sd21", 512)):
        large = tmp_path / name
        shutil.copytree(folders[name], large)
        path = large / "unet" / "config.json"
        config = json.loads(path.read_text()) | {"sample_size": 1024}
        path.write_text(json.dumps(config))
        assert load(large).image_size == trained
        assert load(folders[name]).image_size == 16
