"""GPTEval3D's layout, on a sphere whose every pixel is known."""

import json
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from redream.callbacks import GPTEval3D
from redream.training.parallel import ParticleParallel


def picture(path):
    return pil_to_tensor(Image.open(path)).float() / 255.0


def test_it_writes_the_layout_with_threestudios_cameras_and_colours(toy, train, tmp_path):
    root = tmp_path / "tournament"
    root.mkdir()
    (root / "prompts.json").write_text(json.dumps(["a corgi"]))
    train(toy.Module(), [GPTEval3D(root, "ours", seed=4, num_views=5, size=33)])
    prompts = json.loads((root / "prompts.json").read_text())
    assert prompts == ["a corgi", toy.Data().prompt]
    folder = root / "methods" / "ours" / "1"
    assert {path.name for path in folder.iterdir()} == {"4", "5"}  # two particles
    names = {f"{kind}_{i}.png" for kind in ("rgb", "normal") for i in range(5)}
    assert {path.name for path in (folder / "4").iterdir()} == names
    first, last = (picture(folder / "4" / f"rgb_{i}.png") for i in (0, 4))
    assert first.shape == (3, 33, 33) and torch.equal(first, last)  # 0 and 360 degrees
    assert not torch.equal(first, picture(folder / "4" / "rgb_1.png"))
    assert first[:, 0, 0].tolist() == [1.0, 1.0, 1.0]
    # Seen from an elevation of 15 degrees the centre's normal is (0, sin 15, cos 15) in our world.
    middle = picture(folder / "4" / "normal_0.png")[:, 16, 16]
    expected = torch.tensor([0.5 + 0.5 * 0.966, 0.5, 0.5 + 0.5 * 0.259])
    torch.testing.assert_close(middle, expected, atol=0.02, rtol=0)
    # From 90 degrees it is threestudio's y, as its cameras at 90 degrees stand.
    middle = picture(folder / "4" / "normal_1.png")[:, 16, 16]
    torch.testing.assert_close(middle, expected[[1, 0, 2]], atol=0.02, rtol=0)
    assert picture(folder / "4" / "normal_0.png")[:, 0, 0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("hook", ["on_fit_end", "on_predict_end"])
@pytest.mark.parametrize("is_first", [True, False])
def test_the_first_process_shows_the_particles_that_others_have_trained(
    toy, tmp_path, hook, is_first
):
    module = toy.Module()

    class Others(ParticleParallel):
        """Stands for a second process, in which particle 1 has become small."""

        def gather_particles(self):
            module.particles[1].radius = 0.1
            return is_first

    trainer = SimpleNamespace(strategy=Others(), datamodule=toy.Data())
    getattr(GPTEval3D(tmp_path / "t", num_views=2, size=33), hook)(trainer, module)
    assert (tmp_path / "t").exists() == is_first
    if is_first:
        folder = tmp_path / "t" / "methods" / "redream" / "0"
        shown = [(picture(folder / i / "normal_0.png").amax(0) > 0).sum() for i in ("0", "1")]
        small = toy.Sphere(0.1)
        silhouette = small.render(GPTEval3D(tmp_path).cameras.select(slice(0, 1)), 33, 33).opacity
        assert shown[1] == silhouette.sum() and shown[0] > 10 * shown[1]


def test_a_prompt_keeps_its_number(toy, train, tmp_path):
    for seed in (0, 2):
        train(toy.Module(), [GPTEval3D(tmp_path / "t", seed=seed, num_views=2, size=4)])
    folder = tmp_path / "t" / "methods" / "redream"
    assert {path.name for path in folder.iterdir()} == {"0"}
    assert {path.name for path in (folder / "0").iterdir()} == {"0", "1", "2", "3"}
    with pytest.raises(ValueError, match="num_views"):
        GPTEval3D(tmp_path, num_views=1)
