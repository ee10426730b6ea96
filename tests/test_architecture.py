"""The house's rules as tests: who may import whom, and how long a file may be."""

import ast
import subprocess
import sys
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import redream
from redream.plugins import INTERFACES

PACKAGE = Path(redream.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

CORE = {
    "types", "cameras", "errors", "losses", "precision", "schedules", "kernels", "files",
    "measures", "pictures", "escaping", "locks", "plain_data", "signals", "stage", "startup",
    "status", "tensor_files",
}  # fmt: skip
BELOW = {"meshes"}
SIBLINGS = {"assets", "retrieval", "representations", "priors", "adapters"}
ORDER = [
    {"image_prompts", "indexing", "training", "export", "metrics"},
    {"sources"},
    {"data", "method"},
    {"callbacks"},
]
UPPER = set.union(*ORDER)
TOP = {"cli", "tools", "ui", "__main__"}
ALONE = {"plugins"}
ABOVE = {"mini", "testing"}

MAY_IMPORT = {
    **{room: CORE for room in CORE},
    **{room: CORE | BELOW for room in BELOW},
    **{room: CORE | BELOW | {room} for room in SIBLINGS},
    **{
        room: CORE | BELOW | SIBLINGS | {room} | set().union(*ORDER[:level])
        for level, rooms in enumerate(ORDER)
        for room in rooms
    },
    **{room: CORE | BELOW | SIBLINGS | UPPER | TOP | ALONE for room in TOP},
    **{room: CORE | BELOW | SIBLINGS | UPPER | TOP | ALONE | ABOVE for room in ABOVE},
    "plugins": {"startup"},
    "__init__": CORE,
}
"""For each room, the rooms that it may import."""

DOORS = {
    ("tools/embedded.py", "mini"),  # for the names ``embedded:...`` of a config
    ("representations/start.py", "assets"),  # a particle may start from a 3D file
    ("__init__.py", "tools"),  # the public face, when it is first asked for
}
"""The single files that may import a room which the rest of their room must not know."""

CORE_PACKAGES = {"torch", "warp", "numpy", "jaxtyping", "safetensors", "PIL", "yaml", "filelock"}
CONFINED = {
    "lightning": UPPER | TOP | ABOVE,
    "diffusers": {"priors", "adapters", "mini", "sources/shap_e.py"},
    "transformers": {"priors", "adapters", "mini", "sources/shap_e.py"},
    "peft": {"priors", "adapters", "mini"},
    "open_clip": {"retrieval/encoder.py", "retrieval/encoder_names.py", "metrics", "mini"},
    "timm": {"method/poses/features.py"},
    "scann": {"retrieval"},
    "faiss": {"retrieval"},
    "trimesh": {"assets", "mini"},
    "objaverse": {"assets"},
    "huggingface_hub": {"assets", "priors", "sources/shap_e.py"},
    "warp": {"kernels"},
    "jsonargparse": {"tools"},
    "filelock": {"locks.py"},
    "psutil": {"ui/processes.py"},
    "gradio": {"ui"},
    "fastapi": {"ui"},
    "starlette": {"ui"},
    "uvicorn": {"ui"},
    "ray": {"tools/cluster.py"},
}
"""Third parties and the rooms or files that may import them."""


def room_of(path):
    """The room of a file: the folder or module right below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree_of(source):
    """A file's syntax, parsed once for all tests."""
    return ast.parse(source)


@cache
def nodes_of(source):
    """Its imports, anywhere."""
    return [
        node for node in ast.walk(tree_of(source)) if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def imports_of(source):
    """Every module that a file imports, at the top or inside a function."""
    for node in nodes_of(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "import by the full name"
            for alias in node.names:  # `from redream import cli` imports a room, too
                yield f"{node.module}.{alias.name}" if node.module == "redream" else node.module


def forbidden(path, source):
    """The imports of a file that break the rules."""
    room, name = room_of(path), path.relative_to(PACKAGE).as_posix()
    for module in imports_of(source):
        package, _, rest = module.partition(".")
        target = rest.partition(".")[0]
        if package == "redream":
            is_room = target in MAY_IMPORT and target != "__init__"
            if is_room and target not in MAY_IMPORT[room] and (name, target) not in DOORS:
                yield f"{name} imports redream.{target}"
        elif package in CONFINED and not {room, name} & CONFINED[package]:
            yield f"{name} imports {package}"
        elif package not in sys.stdlib_module_names and (
            room in ALONE | {"cli"} or (room in CORE and package not in CORE_PACKAGES)
        ):
            yield f"{name} imports {package}"


def test_every_file_has_a_room():
    assert {room_of(path) for path in FILES} <= set(MAY_IMPORT)


def test_no_room_imports_what_it_must_not_know():
    broken = [each for path in FILES for each in forbidden(path, path.read_text("utf-8"))]
    assert broken == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("types.py", "import lightning"),
        ("losses.py", "import redream.priors"),
        ("assets/folder.py", "from redream.retrieval import Encoder"),
        ("representations/mesh.py", "from redream.assets import load_mesh"),
        ("meshes/simplify.py", "from redream.representations import Mesh"),
        ("retrieval/exact.py", "import diffusers.models"),
        ("retrieval/exact.py", "import open_clip"),
        ("priors/base.py", "def load():\n    import lightning"),
        ("method/module.py", "from redream import cli"),
        ("method/module.py", "from redream.mini.world import all_pairs"),
        ("export/atlas.py", "from redream.callbacks import Export"),
        ("training/optimizer.py", "from redream.method.module import ReDream"),
        ("plugins.py", "import torch"),
        ("tools/ui.py", "import gradio"),
        ("callbacks/status.py", "from redream.ui.jobs import read_job"),
        ("plugins.py", "from redream.types import Asset"),
        ("cli.py", "import torch"),
        ("cli.py", "import redream.mini.prepare"),
    ],
)
def test_the_rules_see_a_breach(name, source):
    assert list(forbidden(PACKAGE / name, source)) != []


def file_of(module):
    """The file of a module of the package; None where the name is no module."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    files = (place.with_suffix(".py"), place / "__init__.py")
    return next((each for each in files if each.is_file()), None)


def files_imported(path):
    """The files of the package that a file imports, at the top or inside a function."""
    for node in nodes_of(path.read_text("utf-8")):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):  # a module of a package, or what is in a module
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [each if file_of(each) else node.module for each in inside]
        for name in names:
            found = file_of(name) if name.partition(".")[0] == "redream" else None
            if found not in (None, path, PACKAGE / "__init__.py"):
                yield found


def circles(graph):
    """Files that import each other, by whatever way round."""
    reached = {each: set(graph.get(each, ())) for each in graph}
    for middle in graph:  # Warshall
        for each in graph:
            if middle in reached[each]:
                reached[each] |= reached[middle]
    return sorted(each for each in graph if each in reached[each])


def test_no_imports_run_in_a_circle():
    """Not even one that is hidden inside a function: the public face alone looks back."""
    files = [path for path in FILES if path != PACKAGE / "__init__.py"]
    assert circles({path: {*files_imported(path)} for path in files}) == []


def test_a_circle_is_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]


def test_importing_redream_is_light():
    code = (
        "import sys, redream\n"
        "print([name for name in ('lightning', 'diffusers', 'transformers', 'open_clip', 'torch')"
        " if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def at_the_top(source):
    """What a file imports when it is imported itself: not what its functions do."""
    waiting = [*tree_of(source).body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        waiting += ast.iter_child_nodes(node)


def loaded_with(*modules):
    """The third parties that are imported at once with modules of the package."""
    waiting, seen, packages = [*modules], set(), set()
    while waiting:
        module = waiting.pop()
        path = file_of(module)
        if path is None or module in seen:
            continue
        seen.add(module)
        waiting.append(module.rpartition(".")[0])  # a package is imported before what is in it
        for node in at_the_top(path.read_text("utf-8")):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module, *(f"{node.module}.{name}" for name in names)]
            waiting += [name for name in names if name.partition(".")[0] == "redream"]
            packages |= {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    return packages - {"redream"}


REGISTERED = {
    each.value.partition(":")[0] for group in INTERFACES for each in entry_points(group=group)
}
"""The modules of all components: a command that reads a configuration imports every one."""


@pytest.mark.parametrize(
    ("modules", "late"),
    [
        (
            {"redream.tools.retrieve"},
            {"lightning", "torchmetrics", "torchvision", "matplotlib", "scipy", "skimage"},
        ),
        ({"redream.tools.run", "redream.method.module", "redream.data", *REGISTERED}, set()),
    ],
)
def test_what_takes_seconds_is_imported_when_it_is_needed(modules, late):
    """Lightning brings torchvision, scipy and Matplotlib of its own; the rest is ours to defer."""
    late |= {"diffusers", "transformers", "peft", "open_clip", "timm", "trimesh", "imageio"}
    late |= {"faiss", "scann", "ray", "kaolin", "pxr", "rembg", "gsply", "lpips", "DracoPy"}
    found = loaded_with(*modules)
    assert {"torch", "warp"} <= found
    assert found & late == set()


def test_an_import_at_the_top_is_told_from_one_in_a_function():
    source = "import a\nclass C:\n    from b import c\ndef f():\n    import d\n"
    assert {ast.unparse(node) for node in at_the_top(source)} == {"import a", "from b import c"}
    assert "open_clip" in loaded_with("redream.mini.train_clip")


def test_what_the_page_does_beside_painting_is_light():
    """The server watches runs; it must not hold a second PyTorch in memory."""
    code = (
        "import sys\nfrom redream.ui import looking, presets, queue, runs\n"
        "print([name for name in ('lightning', 'torch', 'gradio') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_no_file_is_longer_than_400_lines():
    long = {
        path.name: n for path in FILES if (n := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert long == {}


def test_no_file_is_a_drawer_for_odds_and_ends():
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert [path for path in FILES if path.stem in drawers] == []
