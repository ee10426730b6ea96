"""Mesh: starts from files and from other runs, and what its vertices and colours learn."""

import warnings

import pytest
import torch
import yaml
from lightning import LightningModule

from redream.assets import AssetRenderer, load_mesh, write_glb
from redream.cameras import turntable
from redream.meshes.triangles import sphere
from redream.representations import Mesh, NeRF
from redream.representations.start import read_start
from redream.training.checkpoints import require_same_parts
from redream.types import Material, TriangleMesh

SMALL = dict(num_levels=4, log2_table_size=12, base_resolution=4, max_resolution=32, hidden=16)


def painted_ball(**material):
    """A sphere of split vertices: blue, with a red texture on the side of +X."""
    vertices, faces = sphere(0.9, 3)
    corners = vertices[faces]
    uvs = torch.stack([0.5 + corners[..., 0] / 1.8, torch.full(corners.shape[:2], 0.5)], -1)
    texture = torch.tensor([[[0.0, 0, 1, 1], [1.0, 0, 0, 1]]]).repeat_interleave(16, 1)
    num = len(faces)
    return TriangleMesh(
        corners.reshape(-1, 3),
        torch.arange(3 * num).view(-1, 3),
        corners / 0.9,
        uvs,
        torch.ones(num, 3, 4),
        torch.zeros(num, dtype=torch.long),
        (Material(texture=texture, unlit=True),),
    )


def checkpoint(folder, particles, **arguments):
    """What a run leaves: its particles and its configuration."""
    state = {
        f"particles.{i}.{name}": value
        for i, particle in enumerate(particles)
        for name, value in particle.state_dict().items()
    }
    (folder / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": state}, folder / "checkpoints/last.ckpt")
    made = {"class_path": "redream.representations.NeRF", "init_args": arguments}
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": {"representation": made}}))
    return folder / "checkpoints/last.ckpt"


@pytest.fixture(scope="module")
def ball_glb(tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "ball.glb"
    write_glb(path, painted_ball())
    return path


def test_it_looks_like_the_file_that_it_starts_from(ball_glb):
    mesh = Mesh(init_from=str(ball_glb), **SMALL).eval()
    assert len(mesh.vertices) == 8 * 4**3 // 2 + 2  # welded
    cameras = turntable(3)
    with torch.no_grad():
        views = mesh.render(cameras, 48, 48)
    expected = AssetRenderer(load_mesh(ball_glb)).render(cameras, 48, 48, supersample=4)
    inside = (views.opacity > 0.99) & (expected.opacity > 0.99)
    error = ((views.rgb - expected.rgb) ** 2).mean(1, keepdim=True)[inside].mean()
    assert -10 * error.log10().item() > 17.0
    assert (views.opacity - expected.opacity).abs().mean() < 2e-3
    torch.testing.assert_close(views.depth[inside], expected.depth[inside], rtol=0, atol=0.02)
    aligned = (views.normal * expected.normal).sum(1, keepdim=True)
    assert aligned[inside].min() > 0.98


def test_vertices_learn_an_outline_and_the_texture_a_picture():
    target = Mesh(learn_background=False, **SMALL).eval()
    target.vertices.data = target.vertices * torch.tensor([1.3, 0.9, 1.0])
    mesh = Mesh(seed=1, vertex_lr=5e-3, mlp_lr=1e-2, learn_background=False, **SMALL)
    optimizer = torch.optim.Adam(mesh.parameter_groups(), betas=(0.9, 0.99))
    cameras, size = turntable(4), 32
    opacity = target.render(cameras, size, size).opacity.detach()
    red = torch.tensor([1.0, 0.2, 0.1]).view(3, 1, 1) * opacity
    for _ in range(60):
        views = mesh.render(cameras, size, size)
        loss = ((views.opacity - opacity) ** 2).mean() + ((views.rgb - red) ** 2).mean()
        loss = loss + 0.5 * views.penalties["laplacian"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    views = mesh.eval().render(cameras, size, size)
    start = Mesh(**SMALL).eval().render(cameras, size, size).opacity
    assert (views.opacity - opacity).abs().mean() < 0.3 * (start - opacity).abs().mean()
    assert (views.rgb - red).abs().mean() < 0.02


@pytest.mark.parametrize("shading", ["color", "lit", "normal"])
def test_shading_shows_colour_light_or_normals(shading):
    mesh = Mesh(shading=shading, learn_background=False, **SMALL).eval()
    views = mesh.render(turntable(1, elevation_deg=0.0), 33, 33)
    colour, middle = views.rgb[0, :, 16, 16], mesh.colors(torch.tensor([[0.0, 0.0, 0.5]]))[0]
    if shading == "normal":
        torch.testing.assert_close(colour, torch.tensor([0.5, 0.5, 1.0]), rtol=0, atol=0.02)
    elif shading == "color":
        torch.testing.assert_close(colour, middle, rtol=0, atol=0.01)
    else:
        assert (colour < 0.98 * middle).all()
        assert (colour > 0.65 * middle).all()
    torch.testing.assert_close(views.normal[0, :, 16, 16], torch.tensor([0.0, 0, 1]), rtol=0,
                               atol=0.03)  # fmt: skip


def test_particles_start_from_the_particles_of_another_run(tmp_path):
    nerfs = [NeRF(seed=i, blob_scale=scale, **SMALL) for i, scale in enumerate((60.0, 60.0))]
    nerfs[1].field.density_mlp[2].bias.data += 20.0
    path = checkpoint(tmp_path, nerfs, blob_scale=60.0, **SMALL)
    radii = [
        Mesh(seed=seed, init_from=str(path), init_resolution=24, init_steps=1, **SMALL)
        .vertices.norm(dim=-1).mean().item()
        for seed in (0, 1, 2)
    ]  # fmt: skip
    assert radii[0] == pytest.approx(radii[2])
    assert radii[1] > 1.2 * radii[0]
    own, _ = nerfs[1].extract_surface(24)
    assert radii[1] == pytest.approx(own.norm(dim=-1).mean().item(), rel=1e-3)
    chosen = read_start(str(path), 1, 24)
    torch.testing.assert_close(chosen.colors, nerfs[1].colors(chosen.points))


def test_a_density_without_a_surface_is_named_and_another_taken(tmp_path):
    arguments = dict(blob_scale=60.0, surface_density=1e6, **SMALL)
    path = checkpoint(tmp_path, [NeRF(**arguments)], **arguments)
    with pytest.warns(RuntimeWarning, match=r"no surface at density 1e\+06.*going on with half"):
        start = read_start(str(path), 0, 16)
    assert len(start.faces) > 0


def test_what_cannot_be_a_start_is_named(tmp_path):
    def reads(path, match, error=ValueError):
        with pytest.raises(error, match=match) as caught:
            read_start(str(path), 0, 8)
        assert "\n" not in str(caught.value)

    reads(tmp_path / "none.ckpt", "there is no checkpoint", FileNotFoundError)
    reads(tmp_path / "none.glb", "there is no 3D file", FileNotFoundError)
    reads(tmp_path / "none.fbx", "there is no 3D file", FileNotFoundError)
    (tmp_path / "empty.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    reads(tmp_path / "empty.obj", "cannot read")
    (tmp_path / "nan.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    reads(tmp_path / "nan.obj", "no triangle with an area")
    (tmp_path / "torn.ckpt").write_bytes(b"PK\x03\x04 torn")
    reads(tmp_path / "torn.ckpt", "no checkpoint of a run")
    path = checkpoint(tmp_path / "run", [NeRF(**SMALL)], **(SMALL | dict(hidden=4)))
    reads(path, "config.yaml is another's")
    (tmp_path / "run/config.yaml").write_text("model: {representation: {class_path: Unheard}}")
    reads(path, "Unheard, which is not installed")
    (tmp_path / "run/config.yaml").write_text("model: 3")
    reads(path, "says of no model.representation")
    (tmp_path / "run/config.yaml").unlink()
    reads(path, "needs its run's config.yaml", FileNotFoundError)


def test_a_config_can_only_name_representations(tmp_path):
    path = checkpoint(tmp_path, [NeRF(**SMALL)])
    (tmp_path / "config.yaml").write_text("model: {representation: {class_path: os.system}}")
    with pytest.raises(ValueError, match="system, which is not installed"):
        read_start(str(path), 0, 8)


def test_a_state_brings_its_own_topology(ball_glb):
    ball = Mesh(init_from=str(ball_glb), init_steps=1, **SMALL)
    other = Mesh(seed=5, **SMALL)
    other.load_state_dict(ball.state_dict())
    assert torch.equal(other.faces, ball.faces)
    pictures = [each.eval().render(turntable(1), 16, 16).rgb for each in (ball, other)]
    assert torch.equal(*pictures)


class Run(LightningModule):
    """A module with one particle."""

    def __init__(self, particle):
        super().__init__()
        self.particles = torch.nn.ModuleList([particle])


def test_a_run_that_started_from_an_asset_is_restored_before_it_has_started(ball_glb):
    ball, other = Run(Mesh(init_from=str(ball_glb), init_steps=1, **SMALL)), Run(Mesh(**SMALL))
    assert len(ball.particles[0].vertices) != len(other.particles[0].vertices)
    state = {key: value.clone() for key, value in ball.state_dict().items()}
    require_same_parts({"state_dict": state}, other)
    other.load_state_dict(state)
    torch.testing.assert_close(other.particles[0].vertices, ball.particles[0].vertices)


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("vertices", lambda value: value[:, :2], "vertices has the shape"),
        ("vertices", lambda value: value / 0.0, "vertices is not finite"),
        ("faces", lambda value: value.float(), "faces has numbers of the type"),
        ("faces", lambda value: value + 9999, "a corner that is no vertex"),
        ("vertices", lambda value: value[:-1], "a corner that is no vertex"),
        ("color_field.nothing", lambda value: torch.ones(1), "is in the checkpoint alone"),
    ],
)
def test_geometry_that_is_none_is_refused(ball_glb, name, spoil, said):
    state = Run(Mesh(init_from=str(ball_glb), init_steps=1, **SMALL)).state_dict()
    key = f"particles.0.{name}"
    state[key] = spoil(state.get(key))
    other = Run(Mesh(**SMALL))
    with pytest.raises(ValueError, match=said):
        require_same_parts({"state_dict": state}, other)
        other.load_state_dict(state)


def test_geometry_stays_unless_it_may_move():
    mesh = Mesh(**SMALL)
    assert not mesh.vertices.requires_grad
    assert "vertices" not in [group["name"] for group in mesh.parameter_groups()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mesh.render(turntable(1), 8, 8).rgb.sum().backward()
