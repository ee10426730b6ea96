"""Weights and inputs of the parity tests of multi-view networks, from torch alone."""

import zlib

import torch

V = 4
_COMMON = dict(
    image_size=8,
    in_channels=4,
    out_channels=4,
    model_channels=32,
    attention_resolutions=[2, 1],
    num_res_blocks=1,
    channel_mult=[1, 2],
    use_spatial_transformer=True,
    transformer_depth=1,
    context_dim=16,
    legacy=False,
    use_checkpoint=False,
    camera_dim=16,
)
_LINEAR = dict(num_head_channels=16, use_linear_in_transformer=True)
_IMAGE = dict(with_ip=True, ip_dim=16, ip_mode="local_resample")
LAYOUTS = {
    "mvdream": {"sd-v2.1": _COMMON | _LINEAR, "sd-v1.5": _COMMON | dict(num_heads=8)},
    "imagedream": {"local": _COMMON | _LINEAR | _IMAGE, "pixel": _COMMON | _LINEAR | _IMAGE},
}
"""The networks of each package, as small as their group norms allow."""

WIDTH_OF_PICTURE = 1280


def random(name, shape, scale=1.0):
    """Values that depend on the name alone."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return scale * torch.randn(shape, generator=generator)


def value(name, shape):
    """A weight's value, neither vanishing nor exploding."""
    if len(shape) == 1 and name.endswith("weight"):  # a norm's
        return 1.0 + random(name, shape, 0.1)
    if len(shape) == 1:
        return random(name, shape, 0.1)
    fan_in = torch.Size(shape[1:]).numel()
    return random(name, shape, fan_in**-0.5)


@torch.no_grad()
def fill(state):
    """Gives every tensor of a state its value."""
    for name, tensor in state.items():
        tensor.copy_(value(name, tensor.shape))


def poses():
    """Camera-to-world matrices of two sets of views, each its own elevation and distance."""
    from redream.cameras import concatenate, turntable

    sets = [turntable(V, 15.0, 3.0), turntable(V, 25.0, 2.0)]
    return concatenate(sets).c2w


def inputs(package, name):
    """What the authors' network is given: two sets of views; a fifth of each is the picture."""
    num = V + 1 if name == "pixel" else V
    times = torch.tensor([700, 300])
    given = {
        "x": random("x", (2 * V, 4, 8, 8)),
        "context": random("context", (2 * V, 16, 16)),
        "camera": cameras(),
        "timesteps": times.repeat_interleave(num),
        "num_frames": num,
    }
    if package == "imagedream":
        given["ip"] = random("ip", (1, 257, WIDTH_OF_PICTURE)).repeat(2 * V, 1, 1)
    if name == "pixel":
        for key, fifth in (("x", 0.0), ("camera", 0.0), ("context", None), ("ip", None)):
            sets = given[key].unflatten(0, (2, V))
            last = sets[:, -1:] if fifth is None else torch.zeros_like(sets[:, -1:])
            given[key] = torch.cat([sets, last], 1).flatten(0, 1)
        given["ip_img"] = random("ip_img", (1, 4, 8, 8)).repeat(2, 1, 1, 1)
    return given


def cameras():
    """The matrices of ``poses`` by the authors' description: Blender's axes, unit distance."""
    flip = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    matrices = flip @ poses()
    matrices[:, :3, 3] /= matrices[:, :3, 3].norm(dim=1, keepdim=True)
    return matrices.flatten(1)
