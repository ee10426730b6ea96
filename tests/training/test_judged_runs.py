"""Two processes share one adapter that is made once, and one count of the poses that are shown."""

import os

import judged_runs
import pytest
import spawning
import torch
from toy_runs import DiscData, make_module, make_trainer

from redream.method.guidance import SDS
from redream.method.poses import UniformPoses


@pytest.fixture(scope="module")
def runs(sd_folders, tmp_path_factory):
    """The folder of one run in this process and of one in two, each with a cache of its own."""
    root, prior = tmp_path_factory.mktemp("runs"), str(sd_folders["epsilon"])
    for how in ("alone", "both"):  # each in processes of its own, whose sums are of the same order
        (root / how).mkdir()
        world = os.environ | {"REDREAM_CACHE": str(root / f"{how} cache")}
        done = spawning.script(judged_runs.__file__, prior, root / how, how, env=world)
        assert done.returncode == 0, done.stderr[-3000:]
    return root, done.stderr


RANKS = ("alone/rank0", "both/rank0", "both/rank1")


def told(root, name):
    return torch.load(root / f"{name}.pt", weights_only=True)


def test_the_adapter_is_made_once_and_is_the_same_everywhere(runs):
    root, said = runs
    alone, first, second = (told(root, name) for name in RANKS)
    assert said.count("the prior is adapted to the assets") == 1
    assert len(list((root / "both cache" / "adapters").iterdir())) == 1
    assert alone["finished"] and first["finished"] and second["finished"]
    for name, weight in alone["adapter"].items():
        assert torch.equal(first["adapter"][name], weight), name
        assert torch.equal(second["adapter"][name], weight), name


def test_the_means_are_those_of_one_process(runs):
    root, said = runs
    alone, first, second = (told(root, name) for name in RANKS)
    assert said.count("poses told apart") == 1
    num = 2 * judged_runs.NUM_STEPS
    for kind, size in (("marginals", 4), ("shown", 12)):
        assert alone["poses"][kind]["counts"].shape == (2, size)
        assert float(alone["poses"][kind]["counts"].sum()) == num
        for each in (first, second):
            assert torch.equal(each["poses"][kind]["counts"], alone["poses"][kind]["counts"])
            torch.testing.assert_close(
                each["poses"][kind]["values"], alone["poses"][kind]["values"], rtol=1e-3, atol=1e-4
            )
    assert alone["faces"] == first["faces"] == second["faces"]


@pytest.mark.filterwarnings("ignore:predict returned None")
def test_a_checkpoint_is_judged_as_the_run_was(sd_folders, tmp_path):
    """Predict makes the classifier that training had."""
    pictures, features = torch.rand(6, 3, 16, 16), judged_runs.MeanColour()
    poses = UniformPoses(watch=True, features=features, min_accuracy=0.0)
    prior, one = sd_folders["epsilon"], dict(guidance=SDS(), adapter=None, num_particles=1)
    modules = [make_module(prior, **one, poses=poses) for _ in range(2)]
    make_trainer(tmp_path, 1).fit(modules[0], DiscData())
    trainer = make_trainer(tmp_path, 1, limit_predict_batches=1)
    trainer.predict(modules[1], DiscData(), ckpt_path=str(tmp_path / "checkpoints" / "last.ckpt"))
    judged = [module.poses.front(pictures) for module in modules]
    assert torch.equal(*judged) and judged[0].std() > 0
