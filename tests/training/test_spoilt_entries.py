"""A checkpoint with any entry dropped, retyped or reshaped is refused in a line."""

import copy

import pytest
import torch
from judged_runs import MeanColour
from toy_runs import DiscData, make_module, make_trainer

from redream.adapters import LightAdapter
from redream.callbacks.budget import Budget
from redream.callbacks.export import Export
from redream.method.guidance import VSD, Reuse
from redream.method.poses import UniformPoses
from redream.schedules import Ramp
from redream.training.checkpoints import WholeCheckpoints
from redream.training.optimizer import require_resumable

pytestmark = [
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]


class Curves(Export):
    """The state of an export, without its files."""

    def _export(self, trainer, pl_module, interrupted):
        pass


def run(prior, folder, num_steps, checkpoint=None):
    """A run in which everything that a checkpoint may hold is there."""
    module = make_module(
        prior, guidance=Reuse(VSD(), 2), adapter=LightAdapter(patience=2), num_particles=1,
        poses=UniformPoses(Ramp(1.0, 1.0), features=MeanColour(), min_accuracy=0.0),
    )  # fmt: skip
    curves = Curves(num_frames=8, frame_size=8, record_every_n_steps=1)
    callbacks = [Budget(max_passes=10**6, record_every_n_steps=1), curves]
    trainer = make_trainer(folder, num_steps, callbacks)
    trainer.fit(module, DiscData(), ckpt_path=checkpoint)
    return trainer


@pytest.fixture(scope="module")
def ended(sd_folders, tmp_path_factory):
    """The trainer of a run of three steps, and the checkpoint that it left."""
    folder = tmp_path_factory.mktemp("run")
    trainer = run(sd_folders["epsilon"], folder, 3)
    return trainer, WholeCheckpoints().load_checkpoint(folder / "checkpoints" / "last.ckpt")


def read(trainer, state):
    """What Lightning has read back, in its order, without the steps that would follow."""
    trainer.lightning_module.on_load_checkpoint(state)
    for callback in trainer.callbacks:
        if callback.state_key in state["callbacks"]:
            callback.load_state_dict(copy.deepcopy(state["callbacks"][callback.state_key]))
    require_resumable(state, trainer.optimizers[0], trainer.lr_scheduler_configs[0].scheduler)


def places(tree, path=()):
    """The path of each entry below one, weights of a kind but once."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    seen = set()
    for key, value in items:
        kind = "LoRA" if ".lora" in str(key) else "one of many" if isinstance(key, int) else key
        if kind in seen:
            continue
        seen.add(kind)
        yield (*path, key)
        if isinstance(value, dict | list | tuple):
            yield from places(value, (*path, key))


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


MISSING = object()


def others(value):
    """Values of other forms than one."""
    yield from (MISSING, "x", [1, "x"], {"x": 1}, torch.zeros(2, 3, 1, 7))
    if isinstance(value, torch.Tensor):
        yield from (None, value[None], torch.zeros_like(value, dtype=torch.complex64))
        if value.is_floating_point():
            yield from (torch.full_like(value, float("nan")), value.long())
    elif not isinstance(value, bool):
        yield float("nan")


def spoilt(state):
    """Each entry of each kind in turn, exchanged for something of another form."""
    for path in places(state):
        value = at(state, path)
        for other in others(value):
            tree = copy.copy(state)
            holder = tree
            for key in path[:-1]:
                inner = holder[key]
                holder[key] = list(inner) if isinstance(inner, list | tuple) else dict(inner)
                holder = holder[key]
            if other is MISSING:
                del holder[path[-1]]
            else:
                holder[path[-1]] = other
            yield path, other, tree


READ_BACK = ("state_dict", "guidance", "poses", "optimizer_states", "lr_schedulers", "callbacks")


def test_what_was_written_is_read(ended):
    trainer, state = ended
    assert set(READ_BACK) <= state.keys() and len(state["guidance"]) == 1
    assert {"Budget", "Curves"} <= state["callbacks"].keys()
    assert state["callbacks"]["Curves"]["losses"]["loss"] and state["callbacks"]["Budget"]["curve"]
    read(trainer, copy.deepcopy(state))


def is_looked_at_elsewhere(path, other):
    """What a run may lack, what is no checkpoint at all, and what Lightning reads by itself."""
    if len(path) == 1:
        return other is MISSING or path[0] in ("state_dict", "callbacks")
    if path == ("guidance", "0"):  # whose size the views decide
        return other is MISSING or getattr(other, "shape", None) == (2, 3, 1, 7)
    if path == ("optimizer_states", 0, "state", 0):  # of what has not learned yet
        return other is MISSING
    if path[0] == "callbacks" and other is MISSING and {"curve", "losses"} & set(path[:-1]):
        return True  # curves are as long as they are
    return path[0] == "callbacks" and (len(path) < 3 or path[1] not in ("Budget", "Curves"))


FREE = {"steps", "finished", "foreach", "fused", "asset_of"} | {
    "amsgrad", "maximize", "capturable", "differentiable", "decoupled_weight_decay",
    "_is_initial", "_get_lr_called_within_step", "lr_lambdas",
}  # fmt: skip
"""What an older version has not written, so that it may be missing."""


@pytest.mark.parametrize("part", READ_BACK)
def test_any_other_form_is_refused_in_a_line(part, ended):
    trainer, state = ended
    num, taken = 0, []
    for path, other, tree in spoilt({part: state[part]}):
        if is_looked_at_elsewhere(path, other):
            continue
        num += 1
        try:
            read(trainer, state | tree)
        except ValueError as error:
            assert len(str(error).splitlines()) == 1
        except Exception as error:
            raise AssertionError(f"{path} as {str(other)[:80]}: {error!r}") from error
        else:
            if not (other is MISSING and path[-1] in FREE):
                taken.append((path, str(other)[:80]))
    assert not taken, taken
    assert num > 10


@pytest.mark.parametrize(
    ("path", "other", "said"),
    [
        (("poses", "shown", "counts"), torch.zeros(3), r"poses\.shown\.counts has the shape"),
        (("poses", "marginals"), "x", r"poses\.marginals is no table"),
        (("state_dict", "asset_of"), torch.tensor([7]), "held by asset 7 of 2"),
        (("guidance", "0"), torch.zeros(1, 4, 3, 3), r"guidance\.0 has the shape"),
        (("optimizer_states", 0, "param_groups", 0, "lr"), "x", r"\[0\]\.lr is no number"),
    ],
)
def test_a_run_ends_before_it_spoils_anything(path, other, said, ended, sd_folders, tmp_path):
    state = copy.deepcopy(ended[1])
    at(state, path[:-1])[path[-1]] = other
    torch.save(state, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=said) as error:
        run(sd_folders["epsilon"], tmp_path / "run", 5, str(tmp_path / "last.ckpt"))
    assert "\n" not in str(error.value)
