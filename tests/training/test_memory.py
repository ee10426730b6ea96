"""A run that a GPU has no room for says so, without a GPU."""

import pytest
from toy_runs import make_module

from redream.method.cameras import CameraSampler
from redream.representations import NeRF
from redream.schedules import Ramp
from redream.training.memory import predicted_memory, require_memory


def test_a_run_that_would_not_fit_is_refused_with_three_options():
    predicted = {"networks": 5_000_000_000, "step": 4_200_000_000}
    require_memory(predicted, 9_200_000_000)
    with pytest.raises(ValueError, match="about 9.2 GB .*networks 5.0, step 4.2.* 8.0 GB") as error:
        require_memory(predicted, 8_000_000_000)
    said = str(error.value)
    assert "\n" not in said
    for option in ("guidance.init_args.prior null", "gradient_checkpointing true", "image_size"):
        assert option in said


def test_what_is_predicted_follows_what_is_asked(sd_folders):
    module = make_module(sd_folders["epsilon"])
    module.particles[0] = NeRF(num_levels=2, log2_table_size=8, base_resolution=4,
                               max_resolution=8, hidden=8)  # fmt: skip

    def predicted(**cameras):
        module.cameras = CameraSampler(**cameras)
        return module.predicted_memory()

    one = predicted(render_size=64)
    stored = sum(each.nbytes for each in [*module.prior.parameters(), *module.prior.buffers()])
    assert one["networks"] == stored
    assert one["training"] == 12 * sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert one["step"] == module.particles_per_step * module.prior.step_bytes(1) > 0
    module.guidance.learns_first = True
    beside = module.prior.family.autoencoder_bytes * module.prior.image_size**2 * 2  # float32
    assert predicted(render_size=64)["step"] == one["step"] + beside * module.particles_per_step
    module.guidance.learns_first = False
    assert predicted(num_views=3)["step"] == 3 * one["step"]
    large = predicted(render_size=Ramp(64, 512, 10, 10))  # the largest that will come
    assert large["particles"] > 5 * one["particles"]
    module.particles[0].samples_at_once = 1000
    assert predicted(render_size=512)["particles"] < 0.4 * large["particles"]
    assert predicted_memory([module.prior] * 2, [], [], 1, 1, 1)["networks"] == stored
