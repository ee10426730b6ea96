"""Every computer: what Unix alone has is missing elsewhere, and nothing there must need it."""

import ast
import os
import re
from pathlib import Path

import pytest
import spawning

import redream

PACKAGE = Path(redream.__file__).parent
MODULES = ("fcntl", "resource", "termios", "pwd", "grp", "pty", "syslog")
NAMES = {
    "os": (
        "O_NOFOLLOW", "O_DIRECTORY", "fork", "killpg", "getpgid", "setsid", "getuid", "geteuid",
        "sched_getaffinity", "sysconf", "uname", "mkfifo", "chown", "waitstatus_to_exitcode",
    ),
    "signal": ("SIGKILL", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE"),
}  # fmt: skip

IMPORTS = f"""
import builtins, importlib, os, pkgutil, signal, sys
import redream
skipped = ("redream.ui.page", "redream.ui.making", "redream.ui.watching", "redream.ui.server",
           "redream.ui.live", "redream.ui.files", "redream.ui.objects", "redream.__main__",
           "redream.testing")  # with Gradio or pytest
names = [each.name for each in pkgutil.walk_packages(redream.__path__, "redream.")]
names = [each for each in names if not each.startswith(skipped)]
for name in names:  # and all that they import from elsewhere
    importlib.import_module(name)
for name in [each for each in sys.modules if each.startswith("redream.")]:
    del sys.modules[name]
for module, hidden in {NAMES!r}.items():
    for name in hidden:
        sys.modules[module].__dict__.pop(name, None)
find = builtins.__import__
def import_(name, globals=None, *rest):
    if name in {MODULES!r} and (globals or {{}}).get("__name__", "").startswith("redream"):
        raise ModuleNotFoundError(f"no module {{name}}")
    return find(name, globals, *rest)
builtins.__import__ = import_
for name in names:
    importlib.import_module(name)
print(len(names))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="here they are missing")
def test_every_module_can_be_imported_without_them():
    done = spawning.python(IMPORTS)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


def needed(source):
    """What Unix alone has that a file takes for granted."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module, name = node.value.id, node.attr
            asked = ("os", "killpg") if name == "SIGKILL" else (module, name)
            if name in NAMES.get(module, ()) and 'hasattr({}, "{}")'.format(*asked) not in source:
                yield f"{module}.{name}"
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in MODULES)


def test_no_file_takes_them_for_granted():
    """But where a system is asked for first, in the same file."""
    found = {
        path.relative_to(PACKAGE).as_posix(): names
        for path in sorted(PACKAGE.rglob("*.py"))
        if (names := sorted(set(needed(path.read_text("utf-8")))))
        and not re.search(r"sys\.platform|os\.name", path.read_text("utf-8"))
    }
    assert found == {}


def test_the_rule_sees_a_breach():
    assert set(needed("import os\nos.killpg(1, 2)\nimport fcntl")) == {"os.killpg", "fcntl"}
    assert list(needed('if hasattr(os, "killpg"):\n    os.killpg(1, 2)')) == []
