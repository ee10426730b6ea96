"""Shap-E through diffusers on miniatures: a latent whose mesh is known, and a whole pipeline."""

import math
import shutil

import numpy as np
import pytest
import torch
from skimage.measure import marching_cubes

from redream.assets import load_mesh
from redream.kernels.distance import signed_distance
from redream.sources import GenerativeRetriever, ShapE
from redream.sources.shap_e import crossed_edges, require_tables

pytestmark = pytest.mark.filterwarnings(  # of diffusers' scheduler under NumPy 2
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

LEVEL = 2.6
COLOR = (0.8, 0.5, 0.2)
WIDTH = 3 + 3 * 15 * 2  # of an encoded position: itself, sines and cosines of 15 octaves
ROWS = 3  # hidden units, each a row of the latent
NUM_KINDS = 4  # what a row of the latent may choose among


def cosine(axis, octave=0):
    """The channel of an encoded position that holds cos(2^octave x_axis)."""
    return 3 + 45 + octave * 3 + axis


CHOICES = (cosine(0), cosine(1), cosine(2), cosine(0, 1))


def edge_tables():
    """Marching cubes' tables: skimage's triangles of each pattern of a single cube's corners."""
    cases = torch.zeros(256, 5, 3, dtype=torch.long)
    masks = torch.zeros(256, 5, dtype=torch.bool)
    numbers = {}
    for axis in range(3):
        others = [each for each in range(3) if each != axis]
        for number, (second, first) in enumerate(np.ndindex(2, 2)):
            middle = np.full(3, 0.5)
            middle[others] = first, second
            numbers[tuple(middle)] = 4 * axis + number
    for pattern in range(1, 255):
        corners = [(pattern >> (x + 2 * y + 4 * z)) & 1 for x, y, z in np.ndindex(2, 2, 2)]
        volume = np.array(corners, dtype=np.float32).reshape(2, 2, 2) * 2.0 - 1.0
        vertices, faces, _, _ = marching_cubes(volume, 0.0, method="lorensen")
        names = [numbers[tuple(np.round(each, 3))] for each in vertices]
        for row, face in enumerate(faces):
            cases[pattern, row] = torch.tensor([names[corner] for corner in face])
            masks[pattern, row] = True
    return cases, masks


@pytest.fixture(scope="module")
def renderer():
    """A decoder whose surface is cos(a) + cos(b) + cos(c) = LEVEL; the latent chooses a, b, c."""
    from diffusers.pipelines.shap_e import ShapERenderer

    made = ShapERenderer(
        param_names=("nerstf.mlp.0.weight",),
        param_shapes=((ROWS, WIDTH),),
        d_latent=NUM_KINDS,
        d_hidden=ROWS,
        n_hidden_layers=1,
        insert_direction_at=None,
    )
    with torch.no_grad():
        projection = made.params_proj.projections["nerstf__mlp__0__weight"]
        # of a one among zeros the layer norm makes sqrt(n - 1), and -1 / sqrt(n - 1) of these
        high, low = math.sqrt(WIDTH - 1), -1.0 / math.sqrt(WIDTH - 1)
        weight = torch.zeros(ROWS, WIDTH, NUM_KINDS)
        for kind, channel in enumerate(CHOICES):
            weight[:, channel, kind] = 1000.0
        projection.proj.weight.copy_(weight.flatten(0, 1))
        projection.norm.weight.fill_(1.0 / (high - low))
        projection.norm.bias.zero_()
        projection.proj.bias.fill_(-low / (high - low))
        first, last = made.mlp.mlp
        first.bias.fill_(40.0)  # where a swish is the identity
        last.weight.zero_()
        last.weight[0] = 1.0
        last.bias.zero_()
        last.bias[0] = -40.0 * ROWS - LEVEL
        last.bias[3:6] = torch.logit(torch.tensor(COLOR))
        for name, table in zip(("cases", "masks"), edge_tables(), strict=True):
            getattr(made.mesh_decoder, name).copy_(table)
    return made


@pytest.fixture(scope="module")
def folder(renderer, tmp_path_factory):
    """A whole pipeline of random weights around that decoder, as ``save_pretrained`` writes it."""
    from diffusers import HeunDiscreteScheduler, PriorTransformer, ShapEPipeline
    from transformers import CLIPTextModelWithProjection

    from redream.priors.miniature.clip import PROMPT_LENGTH, clip_config
    from redream.priors.miniature.tokenizers import letter_tokenizer

    torch.manual_seed(0)
    tokenizer = letter_tokenizer(PROMPT_LENGTH)
    prior = PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        embedding_dim=NUM_KINDS,
        num_embeddings=ROWS,
        embedding_proj_dim=16,
        time_embed_dim=16,
        additional_embeddings=0,
        time_embed_act_fn="gelu",
        norm_in_type="layer",
        encoder_hid_proj_type=None,
        added_emb_type=None,
        clip_embed_dim=2 * NUM_KINDS,
    )
    pipeline = ShapEPipeline(
        prior=prior,
        text_encoder=CLIPTextModelWithProjection(clip_config(tokenizer, 16)),
        tokenizer=tokenizer,
        scheduler=HeunDiscreteScheduler(
            beta_schedule="exp", num_train_timesteps=1024, prediction_type="sample",
            use_karras_sigmas=True, clip_sample=True, clip_sample_range=1.0,
        ),
        shap_e_renderer=renderer,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("shap-e")
    pipeline.save_pretrained(path)
    return path


def shap_e(folder, **options):
    return ShapE(str(folder), **{"num_steps": 2, "grid_size": 24, "device": "cpu", **options})


@pytest.mark.parametrize(("rows", "width"), [((0, 1, 2), 1.0), ((3, 1, 2), 0.5)])
def test_the_mesh_of_a_latent_is_the_known_surface(folder, tmp_path, rows, width):
    latent = torch.eye(NUM_KINDS)[list(rows)]
    path = tmp_path / "made.glb"
    path.write_bytes(shap_e(folder, grid_size=48).decode(latent))
    mesh = load_mesh(path)
    # +Z up became +Y up, and the farthest point 0.9: along an axis it lies at acos(LEVEL - 2)
    half = math.acos(LEVEL - 2.0)
    sides = (mesh.vertices.amax(0) - mesh.vertices.amin(0)) / 2.0
    torch.testing.assert_close(sides / sides[1], torch.tensor([width, 1.0, 1.0]), atol=0.02, rtol=0)
    scale = float(half / sides[1])
    x, z, y = (mesh.vertices * scale).unbind(1)
    value = torch.cos(x / width) + torch.cos(y) + torch.cos(z)
    assert (value - LEVEL).abs().max() < 0.03
    assert signed_distance(mesh.vertices, mesh.faces, torch.zeros(1, 3)).item() > 0.3
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    assert (a * torch.linalg.cross(b, c)).sum() > 0.0  # seen from outside, counter-clockwise
    color = mesh.corner_colors[..., :3].reshape(-1, 3)
    torch.testing.assert_close(color, torch.tensor(COLOR).expand_as(color), atol=1e-4, rtol=0)


def test_axes_are_turned_and_not_mirrored(folder, tmp_path, renderer):
    """What is up in Shap-E is up here: the surface is squeezed along its own z alone."""
    latent = torch.eye(NUM_KINDS)[[0, 1, 2]]
    generator = shap_e(folder)
    tilted = generator._pipeline.shap_e_renderer.mlp.mlp[1]
    with torch.no_grad():
        tilted.weight[0] = torch.tensor([1.0, 1.0, 4.0])  # cos(z) counts four times
        tilted.bias[0] = -40.0 * 6.0 - LEVEL - 3.0
    path = tmp_path / "made.glb"
    path.write_bytes(generator.decode(latent))
    mesh = load_mesh(path)
    sides = mesh.vertices.amax(0) - mesh.vertices.amin(0)
    assert sides[1] < 0.7 * sides[0] and sides[0] == pytest.approx(float(sides[2]), rel=0.03)


def test_the_loaded_pipeline_is_diffusers_own(folder):
    from diffusers import ShapEPipeline

    theirs = ShapEPipeline.from_pretrained(folder)
    theirs.set_progress_bar_config(disable=True)
    noise = torch.Generator("cpu").manual_seed(3)
    options = {"num_inference_steps": 2, "guidance_scale": 15.0, "output_type": "latent"}
    expected = theirs("a dog", generator=noise, **options).images[0]
    noise = torch.Generator("cpu").manual_seed(3)
    found = shap_e(folder)._pipeline("a dog", generator=noise, **options).images[0]
    assert torch.equal(found, expected)


def test_a_prompt_becomes_meshes_that_seeds_decide(folder, encoder, tmp_path):
    def made(cache):
        retriever = GenerativeRetriever(shap_e(folder), encoder, 2, cache_dir=tmp_path / cache)
        found = retriever.retrieve("a striped dog", 2)
        assert retriever.generator._loaded is None  # its memory is the run's again
        return {a.uid: retriever.store.load(a.uid).vertices for a in found}, found[0]

    first, asset = made("one")
    second, _ = made("two")
    assert first.keys() == second.keys() and len(first) == 2
    assert all(torch.equal(first[uid], second[uid]) for uid in first)
    assert asset.license == "mit" and asset.author.startswith(f"Shap-E ({folder}, weights ")


def test_kept_meshes_follow_the_weights_and_the_numbers(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    other = tmp_path / "other"
    shutil.copytree(folder, other)
    path = other / "prior" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name] + 1.0}, path, {"format": "pt"})
    assert shap_e(folder).key() == shap_e(folder).key() != shap_e(other).key()
    assert shap_e(folder).key() != shap_e(folder, guidance_scale=3.0).key()


def changed(folder, to, change):
    """A copy whose decoder's tables are changed."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, to)
    path = to / "shap_e_renderer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})
    return to


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: [t.pop(f"mesh_decoder.{each}") for each in ("cases", "masks")],
            "lacks 2 of its",
        ),
        (lambda t: t["mesh_decoder.masks"].zero_(), "has empty tables"),
        (lambda t: t["mesh_decoder.cases"].zero_(), "not marching cubes"),
        (lambda t: t["mesh_decoder.cases"].add_(12), "not marching cubes"),
    ],
)
def test_a_decoder_without_its_tables_is_refused_in_a_line(folder, tmp_path, change, said):
    broken = changed(folder, tmp_path / "broken", change)
    with pytest.raises(ValueError, match=said) as caught:
        shap_e(broken).generate("a dog", 0, tmp_path / "made.glb")
    assert "\n" not in str(caught.value) and not (tmp_path / "made.glb").exists()
    assert said in shap_e(broken).lacks()[0]
    assert shap_e(folder).lacks() == []


def test_the_tables_of_a_cube_touch_the_edges_that_are_crossed():
    require_tables(*edge_tables(), "none")
    crossed = crossed_edges()
    assert not crossed[0].any() and not crossed[255].any()
    assert torch.equal(crossed, crossed.flip(0))  # inside and outside change places
    # one corner alone: the three edges that meet there, along x, y and z
    assert crossed[1].nonzero().flatten().tolist() == [0, 4, 8]


def test_what_it_needs_and_lacks_is_named(tmp_path, monkeypatch):
    (tmp_path / "prior").mkdir()
    assert any("lacks shap_e_renderer/" in each for each in ShapE(str(tmp_path)).lacks())
    monkeypatch.setattr("redream.sources.shap_e.try_to_load_from_cache", lambda *_: None)
    assert "first use downloads them" in ShapE().lacks()[0]
    with pytest.raises(ValueError, match="grid_size at least 4"):
        ShapE(grid_size=2)
    with pytest.raises(FileNotFoundError, match="no folder"):
        _ = ShapE("no such folder").digest


def test_a_latent_without_a_surface_says_so(folder):
    generator = shap_e(folder)
    last = generator._pipeline.shap_e_renderer.mlp.mlp[1]
    with torch.no_grad():
        last.bias[0] -= 100.0
    with pytest.raises(ValueError, match="no surface"):
        generator.decode(torch.eye(NUM_KINDS)[:3])
