"""Code that lies in the folder that a command is started in is not loaded."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: redream[ray]"
)


@pytest.fixture
def folder(tmp_path):
    """A distribution that was never installed, and modules by the names of others."""
    info = tmp_path / "evil-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[redream.retrievers]\nEvil = evil_module:Evil\n")
    source = f"open({str(tmp_path / 'sprung')!r}, 'a').write(__name__ + ' ')\n"
    for name in ("evil_module", "yaml", "jsonargparse", "PIL", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(source)
    return tmp_path


def run(folder, *command, **environment):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_python_m_redream_loads_nothing_from_there(folder):
    done = run(folder, "-m", "redream", "plugins")
    assert done.returncode == 0, done.stderr
    assert "ExactRetriever" in done.stdout and "Evil" not in done.stdout + done.stderr
    assert not (folder / "sprung").exists()


def test_nor_do_plugins_where_python_itself_looks_there(folder):
    for name in ("yaml", "jsonargparse", "PIL", "sitecustomize"):
        (folder / f"{name}.py").unlink()
    code = "from redream.plugins import list_components as l; print([c.name for c in l()])"
    done = run(folder, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "ExactRetriever" in done.stdout and "Evil" not in done.stdout
    assert not (folder / "sprung").exists()


@needs_ray
@pytest.mark.slow
def test_nor_does_a_sweep(folder):
    """Its run fails for want of a config's keys, in a worker that has looked for its plugins."""
    (folder / "prompts.txt").write_text("a dog\n")
    (folder / "c.yaml").write_text("seed_everything: 1\n")
    options = ["--prompts", "prompts.txt", "--config", "c.yaml", "--out", "out", "--workers", 1]
    done = run(folder, "-m", "redream", "sweep", *options, "--retries", 0)
    assert done.returncode == 2, done.stderr
    (log,) = (folder / "out").glob("runs/*/log.txt")
    assert "missing" in log.read_text()
    assert not (folder / "sprung").exists()


def test_the_first_entry_of_the_path_is_all_that_is_dropped(tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "named_module.py").write_text("")
    source = Path(__file__).parents[2] / "redream" / "__main__.py"
    code = (
        "import runpy, sys; sys.argv = ['redream', '--version']; num = sys.path.count('')\n"
        f"try: runpy.run_path({str(source)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "import named_module; assert num == 1 and '' not in sys.path"
    )
    done = run(tmp_path, "-c", code, PYTHONPATH=str(tmp_path / "named"))
    assert done.returncode == 0, done.stderr
