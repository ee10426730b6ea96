"""What the form asks for."""

import pytest

pytest.importorskip("gradio")

from redream.ui.jobs import read_job
from redream.ui.making import Making


def form(*settings):
    """The form's values: a prompt, a preset and the settings; nothing else is touched."""
    return ("a dog", "default", *settings, ["glb"], "auto", "", [], {})


def test_a_setting_that_neither_preset_nor_person_says_is_left_out(make_queue):
    """Gradio shows a number that is not said as 0, and sends that."""
    queue = make_queue()
    making = Making(queue, None)
    for numbers in ((None, None, None, 0), (0, 0, 0, 0)):
        name, said = making.make(*form(*numbers))
        assert said == "" and (queue.out / name).is_dir()
    name, said = making.make(*form(20, 0, 0, 3))
    assert read_job(queue.out / name).asked.settings == {
        "trainer.max_steps": 20,
        "seed_everything": 3,
    }


def test_a_setting_out_of_its_range_is_refused_in_words(make_queue):
    name, said = Making(make_queue(), None).make(*form(0, 99, 0, 0))
    assert name == "" and "Objects must be a whole number from 1 to 16" in said
