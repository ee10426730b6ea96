"""Every kernel compiles for CUDA; that needs no GPU, only the compiler that Warp brings."""

import ast
import importlib
from pathlib import Path

import pytest
import warp as wp

import redream.kernels

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
"""From Turing (T4, RTX 20) to Blackwell (B200, RTX 50)."""


def kernel_modules():
    folder = Path(redream.kernels.__file__).parent
    sources = {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.py"))}
    return [f"redream.kernels.{name}" for name, text in sources.items() if "@wp.kernel" in text]


def compiled(name, arch, use_ptx, folder):
    wp.init()
    module = importlib.import_module(name)
    binaries = wp.compile_aot_module(module, arch=arch, module_dir=folder, use_ptx=use_ptx)
    return {path.suffix: path.read_bytes() for path in binaries}


def names_of_kernels(name):
    tree = ast.parse(Path(importlib.import_module(name).__file__).read_text("utf-8"))
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(each) == "wp.kernel" for each in node.decorator_list)
    ]


def test_no_module_of_kernels_is_overlooked():
    assert len(kernel_modules()) >= 5


@pytest.mark.parametrize("name", kernel_modules())
def test_kernels_compile_for_cuda(name, tmp_path):
    """To PTX, which a driver finishes for any card from this architecture on."""
    (text,) = compiled(name, 80, True, tmp_path).values()
    for kernel in names_of_kernels(name):
        assert f"{kernel}_".encode() in text
    assert b".target sm_80" in text


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_kernels_compile_for_each_generation_of_cards(arch, tmp_path):
    for name in kernel_modules():
        for use_ptx in (True, False):
            binaries = compiled(name, arch, use_ptx, tmp_path / f"{name}{use_ptx}")
            assert list(binaries) == [".ptx" if use_ptx else ".cubin"]
            assert all(len(binary) > 1000 for binary in binaries.values())
