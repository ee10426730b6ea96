"""The ray caster against its brute-force reference."""

import pytest
import torch

from redream.kernels.raycast import RayCaster, RayHits, cast_rays_reference


def _rays(num: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    origins = 3 * torch.nn.functional.normalize(torch.randn(num, 3, generator=generator), dim=-1)
    targets = torch.rand(num, 3, generator=generator) - 0.5
    return origins, targets - origins


def _soup(num: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(num, 1, 3, generator=generator) - 0.5
    corners = centres + 0.3 * (torch.rand(num, 3, 3, generator=generator) - 0.5)
    return corners.reshape(-1, 3), torch.arange(3 * num).reshape(-1, 3)


def _sphere(num_rings: int = 16, num_sides: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    polar = torch.linspace(0, torch.pi, num_rings + 1)[:, None]
    around = torch.arange(num_sides) * (2 * torch.pi / num_sides)
    sphere = [polar.sin() * around.sin(), polar.cos().expand(-1, num_sides)]
    vertices = torch.stack([*sphere, polar.sin() * around.cos()], -1).reshape(-1, 3)
    ring, side = torch.meshgrid(torch.arange(num_rings), torch.arange(num_sides), indexing="ij")
    a, b = ring * num_sides + side, ring * num_sides + (side + 1) % num_sides
    quads = torch.stack([a, b, b + num_sides, a, b + num_sides, a + num_sides], -1)
    return vertices, quads.reshape(-1, 3)


def _assert_same(hits: RayHits, expected: RayHits, min_agreement: float = 0.999) -> None:
    same = hits.face == expected.face  # rays through a shared edge may choose either side
    assert same.float().mean() >= min_agreement
    torch.testing.assert_close(hits.depth[same], expected.depth[same], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        hits.barycentric[same], expected.barycentric[same], rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_random_soup_agrees_with_reference(seed: int) -> None:
    vertices, faces = _soup(200, seed)
    origins, directions = _rays(2000, seed)
    hits = RayCaster(vertices, faces).cast(origins, directions)
    assert 0.1 < (hits.face >= 0).float().mean() < 1
    _assert_same(hits, cast_rays_reference(vertices, faces, origins, directions))


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_what_is_blocked_is_what_is_hit_before(scale: float) -> None:
    vertices, faces = _soup(200, 2)
    caster = RayCaster(vertices, faces)
    origins, directions = _rays(2000, 2)
    distances = torch.rand(2000, generator=torch.Generator().manual_seed(0)) * 2.0 / scale
    blocked = caster.blocked(origins, scale * directions, distances)
    depth = caster.cast(origins, scale * directions).depth
    assert torch.equal(blocked, depth < distances)
    assert 0.05 < blocked.float().mean() < 0.95


def test_nothing_blocks_where_there_is_no_mesh() -> None:
    empty = RayCaster(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    origins, directions = _rays(5, 0)
    assert not empty.blocked(origins, directions, torch.full((5,), 9.0)).any()
    vertices, faces = _sphere()
    none = RayCaster(vertices, faces).blocked(origins[:0], directions[:0], torch.zeros(0))
    assert none.shape == (0,)


def test_sphere_depth_and_position() -> None:
    vertices, faces = _sphere()
    origins, directions = _rays(1000, 3)
    hits = RayCaster(vertices, faces).cast(origins, directions)
    _assert_same(hits, cast_rays_reference(vertices, faces, origins, directions))
    assert (hits.face >= 0).all()
    points = origins + hits.depth[:, None] * directions
    corners = vertices[faces[hits.face]]
    torch.testing.assert_close(
        (hits.barycentric[..., None] * corners).sum(1), points, rtol=0, atol=1e-4
    )
    assert (points.norm(dim=-1) - 1).abs().max() < 0.03


def test_misses() -> None:
    vertices, faces = _sphere()
    origins = torch.tensor([[0.0, 0.0, 3.0], [0.0, 5.0, 3.0]])
    directions = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    for hits in (
        RayCaster(vertices, faces).cast(origins, directions),
        cast_rays_reference(vertices, faces, origins, directions),
    ):
        assert (hits.face == -1).all()
        assert torch.isinf(hits.depth).all()
        assert (hits.barycentric == 0).all()


def test_degenerate_triangles_are_never_hit() -> None:
    line = [[0.0, 0, 0], [1, 0, 0], [0.5, 0, 0]]
    vertices = torch.tensor([*line, [-1, -1, -1], [1, -1, -1], [0, 2, -1]])
    faces = torch.tensor([[0, 1, 2], [0, 0, 0], [3, 4, 5]])
    origins = torch.tensor([[0.0, 0.0, 2.0], [0.2, 0.0, 2.0]])
    directions = torch.tensor([[0.0, 0.0, -1.0]]).expand(2, 3)
    for hits in (
        RayCaster(vertices, faces).cast(origins, directions),
        cast_rays_reference(vertices, faces, origins, directions),
    ):
        assert hits.face.tolist() == [2, 2]
        torch.testing.assert_close(hits.depth, torch.full((2,), 3.0))


def test_empty_batch_and_empty_mesh() -> None:
    vertices, faces = _sphere()
    nothing = torch.zeros(0, 3)
    for hits in (
        RayCaster(vertices, faces).cast(nothing, nothing),
        cast_rays_reference(vertices, faces, nothing, nothing),
    ):
        assert [tuple(x.shape) for x in hits] == [(0,), (0, 3), (0,)]
    origins, directions = _rays(4, 0)
    no_faces = torch.zeros(0, 3, dtype=torch.int64)
    for hits in (
        RayCaster(vertices, no_faces).cast(origins, directions),
        cast_rays_reference(vertices, no_faces, origins, directions),
    ):
        assert (hits.face == -1).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_agrees_with_cpu() -> None:
    vertices, faces = _soup(200, 5)
    origins, directions = _rays(2000, 5)
    hits = RayCaster(vertices, faces, "cuda").cast(origins, directions)
    on_cpu = RayCaster(vertices, faces).cast(origins, directions)
    _assert_same(RayHits(*(x.cpu() for x in hits)), on_cpu)
