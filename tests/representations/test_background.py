import torch

from redream.representations.background import (
    DirectionBackground,
    spherical_harmonics,
)


def test_spherical_harmonics_are_orthonormal():
    num = 20_000  # a Fibonacci lattice
    i = torch.arange(num, dtype=torch.float64) + 0.5
    z = 1 - 2 * i / num
    angle = torch.pi * (1 + 5**0.5) * i
    ring = (1 - z * z).sqrt()
    values = spherical_harmonics(torch.stack([ring * angle.cos(), ring * angle.sin(), z], -1))
    gram = 4 * torch.pi * values.T @ values / num
    torch.testing.assert_close(gram, torch.eye(9, dtype=torch.float64), rtol=0, atol=1e-3)


def test_a_learned_background_can_take_a_colour_by_direction():
    generator = torch.Generator().manual_seed(0)
    background = DirectionBackground(16, generator)
    directions = torch.nn.functional.normalize(torch.randn(256, 3, generator=generator), dim=-1)
    target = torch.stack([0.5 + 0.4 * directions[:, 1], *[torch.full((256,), 0.3)] * 2], -1)
    optimizer = torch.optim.Adam(background.parameters(), lr=1e-2)
    for _ in range(200):
        loss = ((background(directions) - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1e-3
    assert background(directions.view(4, 64, 3)).shape == (4, 64, 3)
