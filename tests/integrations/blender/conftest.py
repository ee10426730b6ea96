"""Blender as a module, in an environment of its own.

``REDREAM_BPY_PYTHON`` names a Python that has ``bpy`` (``python3.11 -m venv blender`` and
``blender/bin/pip install bpy``); else the running one is taken, if it has it.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "assets"))  # for its fabricated files


@pytest.fixture(scope="session")
def bpy_python():
    """The Python that has Blender; its tests are skipped where there is none."""
    python = os.environ.get("REDREAM_BPY_PYTHON")
    if python is None and importlib.util.find_spec("bpy") is not None:
        python = sys.executable
    if python is None:
        pytest.skip("REDREAM_BPY_PYTHON names no Python with bpy")
    return python


@pytest.fixture(scope="session")
def in_blender(bpy_python, tmp_path_factory):
    """Runs a script of this folder in Blender: what it is told and what it answers are JSON."""

    def run(script, environment=None, **told):
        folder = tmp_path_factory.mktemp("blender")
        (folder / "told.json").write_text(json.dumps({**told, "answer": str(folder / "a.json")}))
        # Blender's settings of this computer's user stay out of it, and untouched.
        apart = {"BLENDER_USER_RESOURCES": str(folder / "user")}
        done = subprocess.run(
            [bpy_python, str(HERE / script), str(folder / "told.json")],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, **apart, **(environment or {})},
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return json.loads((folder / "a.json").read_text("utf-8"))

    return run


@pytest.fixture(scope="session")
def archive(bpy_python, tmp_path_factory):
    """The extension as it is built."""
    out = tmp_path_factory.mktemp("dist")
    build = HERE.parents[2] / "integrations" / "blender" / "build.py"
    subprocess.run([sys.executable, str(build), "--out", str(out)], check=True, capture_output=True)
    (path,) = out.iterdir()
    return path
