"""What the form asks for."""

import json

import pytest
from PIL import Image

pytest.importorskip("gradio")

import gradio as gr

from redream.ui.asked import Asked
from redream.ui.jobs import read_job
from redream.ui.looking import Found
from redream.ui.making import Making, filled


def form(*settings, preset="default", picture="", yaml=""):
    """The form's values: a prompt, a preset and the settings; nothing else is touched."""
    return ("", "a dog", preset, *settings, ["glb"], "auto", yaml, [], picture)


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
    assert name == gr.skip() and "Objects must be a whole number from 1 to 16" in said


def found(prompt, preset="default"):
    """Six assets as a look for a prompt leaves them: the nearest three ticked."""
    facts = Found("", "a dog", "library", {}, "cc0", "x", "", "")._asdict()
    looked = [prompt, preset, ""]
    return [{**facts, "uid": f"u{i}", "ticked": i < 3, "looked": looked} for i in range(6)]


@pytest.mark.parametrize(
    ("prompt", "ticks", "chosen"),
    [
        ("a dog", {}, ()),  # what a run takes by itself, which keeps its order of nearness
        ("a dog", {"u1": False, "u4": True}, ("u0", "u2", "u4")),
        ("a cat", {}, ("u0", "u1", "u2")),  # found for something else, and shown with their ticks
        ("a dog", {"u1": False, "u2": False}, ("u0",)),
    ],
)
def test_what_the_page_shows_ticked_is_taken(make_queue, prompt, ticks, chosen):
    queue = make_queue()
    values = list(form(0, 0, 0, 0))
    values[0], values[-2] = json.dumps(ticks), found(prompt)
    name, said = Making(queue, None).make(*values)
    assert said == "" and read_job(queue.out / name).asked.chosen == chosen


@pytest.mark.parametrize("num", [1, 2, 3, 4])
def test_asked_again_a_run_takes_the_assets_that_it_took(make_queue, num):
    making = Making(make_queue(), None)
    assets = [Found(f"u{i}", "a dog", "library", {}, "cc0", "x", "", "") for i in range(num)]
    asked = Asked("a dog", "default", {"trainer.max_steps": 77}, chosen=[a.uid for a in assets])
    again = making._asked(filled(making.fill(asked, assets)))
    assert list(again.chosen) == list(asked.chosen) and dict(again.settings) == dict(asked.settings)


@pytest.fixture
def picture(tmp_path):
    """A picture that a browser has sent, as Gradio hands it on."""
    path = tmp_path / "My <b>Dog.PNG"
    Image.new("RGBA", (600, 400), (217, 164, 31, 128)).save(path)
    return path


def test_a_picture_is_handed_in_where_the_preset_takes_one(make_queue, picture):
    queue = make_queue()
    making = Making(queue, None)
    name, said = making.make(*form(0, 0, 0, 0, preset="shown"))
    assert name == gr.skip() and "needs a picture of the object" in said
    taken, said = making.take_picture(str(picture))
    assert said == "" and (queue.uploads / taken).read_bytes() == picture.read_bytes()
    shown = making.show_picture(taken)
    assert "my-b-dog.png" in shown and "data:image/png;base64," in shown and "<b>" not in shown
    name, said = making.make(*form(0, 0, 0, 0, preset="shown", picture=taken))
    folder = queue.out / name
    asked = read_job(folder).asked
    assert said == "" and f"--data.image={queue.uploads / taken}" in queue.options(asked, folder)
    assert making.fill(asked)[-1] == taken  # "again with ..."
    name, said = making.make(*form(0, 0, 0, 0, picture=taken))  # to one that takes none
    assert said == "" and read_job(queue.out / name).asked.picture == ""
    of_yaml = form(0, 0, 0, 0, preset="shown", yaml="data: {image: a.png}")
    assert making.make(*of_yaml)[1] == ""


def test_the_field_is_there_where_the_preset_takes_a_picture(make_queue):
    making = Making(make_queue(), None)
    _, hidden, *_ = making.show_preset("default", "")
    _, visible, *_ = making.show_preset("shown", "")
    assert (hidden["visible"], visible["visible"]) == (False, True)


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0", b"\x89PNG\r\n\x1a\n rubbish", b""])
def test_what_is_no_picture_is_refused_and_not_kept(make_queue, tmp_path, content):
    queue = make_queue()
    (tmp_path / "a.png").write_bytes(content)
    taken, said = Making(queue, None).take_picture(str(tmp_path / "a.png"))
    assert "a.png" in said or "0 bytes" in said
    assert not isinstance(taken, str) and list(queue.uploads.rglob("*.png")) == []


def test_a_picture_that_lies_elsewhere_or_is_gone_is_refused(make_queue):
    making = Making(make_queue(), None)
    for name in ("../../secret.png", "0123/gone.png"):
        assert making.show_picture(name) == ""
        made, said = making.make(*form(0, 0, 0, 0, preset="shown", picture=name))
        assert made == gr.skip() and said != ""


def test_a_job_of_a_page_that_knew_no_pictures_is_read(make_queue):
    queue = make_queue()
    name, _ = Making(queue, None).make(*form(0, 0, 0, 0))
    path = queue.out / name / "job.json"
    job = json.loads(path.read_text("utf-8"))
    del job["asked"]["picture"], job["born"]
    path.write_text(json.dumps(job))
    assert read_job(queue.out / name).asked.prompt == "a dog"
