"""The tutorial's plugin as a stranger has it: a wheel, installed into a fresh environment."""

import json
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from redream.testing import ASSETS, index_captions

PLUGIN = Path(__file__).parent.parent / "plugins" / "redream-by-author"

COMMANDS = """
import sys
from redream import cli
for command in {commands!r}:
    print("\\n$", *command, flush=True)
    try:
        status = cli.main(command)
    except SystemExit as end:
        status = end.code
    print("status", status or 0, flush=True)
"""


def run(*arguments, **options):
    done = subprocess.run(
        [str(each) for each in arguments], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a fresh environment with the plugin's wheel, beside what runs here.

    Nothing is downloaded: the packages that are installed here can be imported there.
    """
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("road")
    shutil.copytree(PLUGIN, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "dist"))
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", cwd=folder / "source")
    (wheel,) = (folder / "source" / "dist").iterdir()
    venv.EnvBuilder(with_pip=False).create(folder / "env")
    binaries = "Scripts" if sys.platform == "win32" else "bin"
    python = folder / "env" / binaries / "python"
    purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    (Path(purelib) / "what_runs_here.pth").write_text("\n".join(lines) + "\n")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    run(sys.executable, "-m", "pip", "--python", python, *install, wheel)
    return python


def test_a_strangers_wheel_is_listed_named_and_used(python, tmp_path):
    index = index_captions(tmp_path / "index", ASSETS)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"""\
prompt: a golden elephant
model:
  prior: {{class_path: StableDiffusionPrior, init_args: {{model: nowhere}}}}
data:
  retriever: {{class_path: ByAuthor, init_args: {{index: {index}, author: Ada}}}}
  store: {{class_path: FolderStore, init_args: {{path: nowhere}}}}
"""
    )
    short = ["--data.retriever=ByAuthor", f"--data.retriever.index={index}"]
    commands = [
        ["plugins", "--json"],
        ["retrieve", "a golden elephant", "--index", str(index), "--retriever", "ByAuthor", "-k1"],
        ["fit", "--config", str(config), "--print_config"],
        ["fit", "--config", str(config), *short, "--data.retriever.author=Bob", "--print_config"],
        ["fit", "--help"],
        ["fit", "--data.retriever.help", "ByAuthor"],
    ]
    printed = run(python, "-c", COMMANDS.format(commands=commands), cwd=tmp_path)
    assert printed.count("status 0") == len(commands)
    listed, retrieved, from_yaml, from_line, general, own = printed.split("\n$ ")[1:]
    components = json.loads(listed[listed.index("[") : listed.rindex("]") + 1])
    (plugin,) = (each for each in components if each["name"] == "ByAuthor")
    assert plugin["distribution"] == "redream-by-author" and plugin["reason"] is None
    assert "golden-elephant  a golden elephant  words 1.000" in retrieved
    for config, author in ((from_yaml, "Ada"), (from_line, "Bob")):
        assert "class_path: redream_by_author.ByAuthor" in config and f"author: {author}" in config
    assert "redream_by_author.ByAuthor" in general
    assert "The author's name; everyone's assets by default." in own
