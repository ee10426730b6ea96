"""The extension's manifest, the archive that is built, and that most of it needs no Blender."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import redream_blender
from redream_blender.versions import refusal

import redream

SOURCE = Path(redream_blender.__file__).parent
BUILD = SOURCE.parent / "build.py"
NEEDS_BLENDER = {"arrival", "classes", "operators", "panel", "selection", "settings", "watching"}


def built(out):
    done = subprocess.run(
        [sys.executable, str(BUILD), "--out", str(out)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (archive,) = out.glob("*.zip")
    return archive


def test_the_archive_has_the_manifest_and_every_module_and_nothing_else(tmp_path):
    archive = built(tmp_path / "a")
    assert archive.name == f"redream-{redream.__version__}.zip"
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        assert opened.testzip() is None
    sources = {each.name for each in SOURCE.iterdir() if each.suffix in (".py", ".toml")}
    assert set(names) == sources | {"LICENSE"}
    assert built(tmp_path / "b").read_bytes() == archive.read_bytes()


def test_the_version_is_redreams_and_the_oldest_blender_the_one_that_is_asked_for():
    text = (SOURCE / "blender_manifest.toml").read_text("utf-8")
    assert f'\nversion = "{redream.__version__}"\n' in text
    assert '\nblender_version_min = "4.2.0"\n' in text


@pytest.mark.parametrize(
    ("version", "is_refused"),
    [((4, 1, 9), True), ((3, 6, 0), True), ((4, 2, 0), False), ((5, 1, 0), False)],
)
def test_an_old_blender_is_refused_in_one_line(version, is_refused):
    said = refusal(version)
    assert bool(said) == is_refused
    if is_refused:
        found = ".".join(map(str, version))
        assert said.startswith("ReDream needs Blender 4.2 or newer, and this is " + found)
        assert "\n" not in said


def test_only_the_modules_at_the_border_know_blender_and_none_knows_a_package():
    for path in SOURCE.glob("*.py"):
        imported = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {each.name.split(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(str(node.module).split(".")[0])
        known = sys.stdlib_module_names | {"bpy", "bpy_extras", "mathutils"}
        assert imported <= known, path
        if "bpy" in imported and path.stem != "__init__":
            assert path.stem in NEEDS_BLENDER
