"""LPIPS against its authors' code and torchmetrics', and A-LPIPS's arithmetic on an orbit."""

import math
import urllib.error
import urllib.request
import warnings

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from redream import cameras
from redream.metrics import ALPIPS, LPIPS, ClipDistance, PerceptualDistance
from redream.retrieval import Encoder

MODELS = {"vgg": "vgg16", "alex": "alexnet"}


@pytest.fixture(scope="module", params=MODELS)
def trunk(request, tmp_path_factory):
    """A random network in torchvision's format, in both kinds of files."""
    with torch.device("meta"):
        features = torchvision.models.get_model(MODELS[request.param], weights=None).features
    torch.manual_seed(0)
    plain = {
        k: torch.randn(v.shape) / v[0].numel() ** 0.5 for k, v in features.state_dict().items()
    }
    state = {f"features.{k}": v for k, v in plain.items()}
    folder = tmp_path_factory.mktemp(request.param)
    save_file(state, folder / "trunk.safetensors")
    torch.save(state | {"classifier.1.bias": torch.zeros(3)}, folder / "trunk.pth")
    return request.param, folder, plain


def pictures(num, size=48):
    return torch.rand(num, 3, size, size, generator=torch.Generator().manual_seed(1))


def load_into(reference, state):
    """Puts a network's weights into the slices of a reference implementation."""
    slices = reference.net.state_dict()
    slices = {name: state[name.partition(".")[2]] for name in slices}
    reference.net.load_state_dict(slices)
    return reference.eval()


def authors_lpips(net):
    with warnings.catch_warnings():  # torchvision has renamed what the authors call
        warnings.simplefilter("ignore")
        return pytest.importorskip("lpips").LPIPS(net=net, pnet_rand=True, verbose=False)


def torchmetrics_lpips(net):
    from torchmetrics.functional.image.lpips import _NoTrainLpips

    return _NoTrainLpips(net=net, pnet_rand=True)


@pytest.fixture
def no_initial_weights(monkeypatch):
    """Spares the references the drawing of a hundred million numbers that are thrown away."""
    for name in ("kaiming_uniform_", "kaiming_normal_", "normal_", "uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)


@pytest.mark.parametrize("reference", [authors_lpips, torchmetrics_lpips])
def test_lpips_is_the_reference_implementations(trunk, reference, no_initial_weights):
    net, folder, state = trunk
    first, second = pictures(4).chunk(2)
    expected = load_into(reference(net), state)(first, second, normalize=True).flatten()
    distance = LPIPS(net, folder / "trunk.safetensors", device="cpu")
    found = distance.between(first, second)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert (found > 1e-5).all()
    assert distance.between(first, first).tolist() == [0.0, 0.0]


def test_both_kinds_of_files_hold_one_network(trunk):
    net, folder, _ = trunk
    first, second = pictures(2).chunk(2)
    torch.testing.assert_close(
        LPIPS(net, folder / "trunk.safetensors", device="cpu").between(first, second),
        LPIPS(net, folder / "trunk.pth", device="cpu").between(first, second),
    )


def test_without_a_network_lpips_says_what_to_do(monkeypatch, tmp_path):
    def no_network(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    first, second = pictures(2).chunk(2)
    with pytest.raises(ValueError, match="no route to host.*`trunk`.*vgg16-397923af.pth"):
        LPIPS("vgg", device="cpu").between(first, second)


def test_another_networks_weights_are_refused(trunk, tmp_path):
    net, folder, _ = trunk
    other = "alex" if net == "vgg" else "vgg"
    first, second = pictures(2).chunk(2)
    with pytest.raises(ValueError, match="does not hold torchvision's weights"):
        LPIPS(other, folder / "trunk.pth", device="cpu").between(first, second)
    with pytest.raises(FileNotFoundError, match="nowhere.pth"):
        LPIPS(net, tmp_path / "nowhere.pth")


class Brightness(PerceptualDistance):
    """A network that sees a picture's mean as an angle: distances in closed form."""

    name = "told"

    def features(self, pictures):
        angle = pictures.mean(dim=(1, 2, 3))
        return [torch.stack([angle.cos(), angle.sin()], dim=1)[:, :, None, None]]


@pytest.mark.parametrize("num", [2, 16, 17, 40])  # less than a batch, one, and more
def test_around_compares_every_neighbour_once(num):
    angle = torch.rand(num, generator=torch.Generator().manual_seed(0))
    found = Brightness().around(angle.view(-1, 1, 1, 1).expand(-1, 3, 2, 2))
    chord = 2.0 - 2.0 * (angle - angle.roll(-1)).cos()
    torch.testing.assert_close(found, chord, atol=1e-6, rtol=1e-5)


def orbit_of(angles):
    return torch.tensor(angles).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def test_a_lpips_states_its_protocol():
    metric = ALPIPS(Brightness(), num_views=4)
    steps = [0.0, 9.0, 0.3, 9.0, 0.0, 9.0, 0.3, 9.0]  # every second view is taken
    measures = metric.measure("", orbit_of(steps), cameras.turntable(8, elevation_deg=20.0))
    chord = 2.0 - 2.0 * math.cos(0.3)
    assert measures == {
        "a_lpips_told": pytest.approx(chord, rel=1e-4),
        "a_lpips_told_max": pytest.approx(chord, rel=1e-4),
        "a_lpips_told_std": pytest.approx(0.0, abs=1e-6),
        "a_lpips_told_num_views": 4,
        "a_lpips_told_step_deg": 90,
        "a_lpips_told_elevation_deg": 20,
    }
    with pytest.raises(ValueError, match="two or more"):
        ALPIPS(Brightness(), 1).measure("", orbit_of(steps), cameras.turntable(8))


def test_the_maximum_finds_a_seam():
    smooth = torch.linspace(0.0, 0.7, 8).tolist()  # ... and one jump back at the end of the orbit
    measures = ALPIPS(Brightness()).measure("", orbit_of(smooth), cameras.turntable(8))
    assert measures["a_lpips_told_max"] > 5 * measures["a_lpips_told"] > 0


def test_a_clip_without_stages_is_refused():
    class VisionTransformer(Encoder):
        image_tower = torch.nn.Identity()

    with pytest.raises(ValueError, match="ViT-B-32 is no ResNet"):
        ClipDistance(VisionTransformer("ViT-B-32", "tag", device="cpu")).features(pictures(1))
