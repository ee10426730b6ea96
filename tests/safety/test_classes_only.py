"""A configuration names classes: whatever may be called otherwise is refused on every road."""

import collections.abc
import contextlib
import functools
import importlib
import inspect
import pkgutil
import subprocess
import sys
import types
import typing
from argparse import Namespace

import jsonargparse._common
import pytest
import torch
import yaml
from jsonargparse import ArgumentError, set_parsing_settings
from lightning.pytorch import Callback, Trainer

from redream import cli
from redream.data import RetrievalDataModule
from redream.method.module import ReDream
from redream.representations import NeRF, Representation
from redream.tools.classes_only import expected_bases, require_classes
from redream.tools.lightning import configured
from redream.tools.parser import IMPORTABLE, NOT_IMPORTABLE, Parser, prepare_parser

CALLED = []
EVIL = "redream_trap"


def touch(a=None):
    """Harmless: it only leaves word that it was called."""
    CALLED.append(a)


def makes(a=None) -> Representation:
    """The same, where a function that makes a representation is looked for."""
    CALLED.append(a)
    return NeRF()


class Slots(Callback):
    """Functions wherever an annotation can have them."""

    def __init__(
        self,
        bare: collections.abc.Callable | None = None,
        typed: typing.Callable[[int], int] | None = None,
        several: list[collections.abc.Callable] | None = None,
        named: dict[str, collections.abc.Callable] | None = None,
        either: int | str | collections.abc.Callable[[int], bool] = 0,
        anything: typing.Any = None,
    ) -> None:
        pass


class Instance:
    def __call__(self):
        CALLED.append("an instance")


@pytest.fixture(autouse=True)
def trap(monkeypatch):
    """A module that may be imported, as if it belonged to an installed plugin."""
    module = types.ModuleType(EVIL)
    for each in (touch, makes, Slots, Instance):
        copied = (
            each
            if isinstance(each, type)
            else types.FunctionType(
                each.__code__, globals(), each.__name__, each.__defaults__, each.__closure__
            )
        )
        if not isinstance(each, type):
            copied.__annotations__ = dict(each.__annotations__)
        copied.__module__ = EVIL
        setattr(module, each.__name__, copied)
    module.partial = functools.partial(module.touch)
    module.instance = Instance()
    monkeypatch.setitem(sys.modules, EVIL, module)
    monkeypatch.setattr(Slots, "__module__", EVIL)
    settings = dict(jsonargparse._common.parsing_settings)
    prepare_parser({"trainer": Trainer, "model": ReDream, "data": RetrievalDataModule})
    set_parsing_settings(import_path_allowlist=[EVIL])
    CALLED.clear()
    yield module
    jsonargparse._common.parsing_settings.update(settings)
    assert CALLED == []


def has_callable(annotation):
    if (typing.get_origin(annotation) or annotation) is collections.abc.Callable:
        return True
    if annotation in (typing.Callable, typing.Any):
        return True
    return any(has_callable(each) for each in typing.get_args(annotation) if each is not ...)


def importable_classes():
    """Every class that the parser may import."""
    for name in ("redream", *IMPORTABLE[1:]):
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not found.name.startswith(NOT_IMPORTABLE[1:]):
                with contextlib.suppress(ImportError):  # of a package that is not installed
                    importlib.import_module(found.name)
    roots = (EVIL, *IMPORTABLE)
    seen = set()
    for module in [m for n, m in sys.modules.items() if n.startswith(roots)]:
        for each in list(vars(module).values()):
            if isinstance(each, type) and each not in seen and each.__module__.startswith(roots):
                if not each.__module__.startswith(NOT_IMPORTABLE[1:]):
                    seen.add(each)
                    yield each


def callable_arguments():
    for each in importable_classes():
        try:
            hints = typing.get_type_hints(each.__init__)
        except Exception:  # of a class whose names cannot be resolved
            hints = {n: p.annotation for n, p in inspect.signature(each).parameters.items()}
            hints = {n: typing.Any if "Callable" in str(h) else int for n, h in hints.items()}
        for name, hint in hints.items():
            if name != "return" and has_callable(hint):
                yield each, name, hint


def evils():
    """A function with arguments, its bare name, a partial, and what an instance can do."""
    yield {"class_path": f"{EVIL}.touch", "init_args": {"a": 1}}
    yield {"class_path": f"{EVIL}.makes", "init_args": {"a": 1}}
    yield f"{EVIL}.touch"
    yield f"{EVIL}.makes"
    yield f"{EVIL}.partial"
    yield f"{EVIL}.instance"


def values(annotation):
    """Evil values as an annotation may have them: alone, in a list, in a dictionary."""
    for evil in evils():
        yield evil
        if "list" in str(annotation).lower():
            yield [evil]
        if "dict" in str(annotation).lower():
            yield {"key": evil}


def test_no_argument_of_any_class_takes_a_function():
    found = list(callable_arguments())
    assert {(ReDream, "representation"), (Slots, "named")} <= {each[:2] for each in found}
    bases = expected_bases(Parser.core.values(), Parser.components)
    walked, parsers = set(), {}
    for each, name, hint in found:
        if inspect.isabstract(each):
            continue
        base = next((kind for kind in bases if issubclass(each, kind)), None)
        if base is None:  # cannot be asked for by any argument: not even when it is a callable's
            with pytest.raises(ValueError, match="may not be named"):
                require_classes({"class_path": f"{each.__module__}.{each.__qualname__}"}, bases)
            continue
        parser = parsers.get(each) or Parser(exit_on_error=False)
        if each not in parsers and each in Parser.core.values():
            parser.add_class_arguments(each, "it")
        elif each not in parsers:
            parser.add_subclass_arguments(base, "it")
        parsers[each] = parser
        for value in values(hint):
            said = {name: value}
            if each not in Parser.core.values():
                path = f"{each.__module__}.{each.__qualname__}"
                said = {"class_path": path, "init_args": said}
            try:
                parsed = parser.parse_object({"it": said}, _skip_required=True)
            except (ArgumentError, ValueError, TypeError):
                continue  # refused already
            init = parsed.it if each in Parser.core.values() else parsed.it.init_args
            if init[name] == value and "class_path" not in str(value):
                continue  # taken for what it is: a text
            with pytest.raises(ValueError, match="may not be named"):
                parser.instantiate(parsed)
                pytest.fail(f"{each}, {name}: {value}")
            walked.add((each, name))
    assert {(ReDream, "representation"), (Slots, "bare"), (Slots, "several")} <= walked
    assert len(walked) > 40


@pytest.mark.parametrize(
    "value",
    [
        touch,
        functools.partial(touch),
        Instance(),
        Instance().__call__,
        Instance,
        print,
        subprocess.run,
    ],
)
def test_what_can_be_called_is_found_at_any_depth(value):
    kinds = {Representation}
    for config in (value, [value], {"a": {"b": (1, [value])}}, Namespace(a=Namespace(b=value))):
        with pytest.raises(ValueError, match="may not be named"):
            require_classes(config, kinds)
    require_classes(Namespace(a=[1, "b", None, NeRF, {"c": 0.5}], b=torch.float32), kinds)
    circle = {"a": 1}
    circle["b"] = circle
    require_classes(circle, kinds)


@pytest.mark.parametrize(
    "path",
    [
        "redream.cli.main",
        "redream.tools.lightning.configured",
        "redream.representations.checkpoint.load_particle",
        "lightning.pytorch.cli.LightningCLI",
        "lightning.pytorch.utilities.seed.isolate_rng",
        "torch.optim.swa_utils.get_ema_avg_fn",
        "redream.files.whole_file",
    ],
)
def test_programs_and_functions_are_no_part_of_the_vocabulary(path):
    parser = Parser(exit_on_error=False)
    parser.add_lightning_class_args(ReDream, "model")
    for evil in (path, {"class_path": path}):
        with pytest.raises((ArgumentError, ValueError)):
            parser.instantiate(parser.parse_object({"model": {"representation": evil}}))


EVIL_CALLBACK = {
    "class_path": "lightning.pytorch.callbacks.LambdaCallback",
    "init_args": {"setup": {"class_path": f"{EVIL}.touch", "init_args": {"a": 1}}},
}


@pytest.mark.parametrize(
    "road", ["fit", "test", "predict", "validate", "index build", "configured", "stages"]
)
def test_every_road_looks(road, tmp_path, capsys):
    path = tmp_path / "config.yaml"
    trainer = {"callbacks": [EVIL_CALLBACK], "default_root_dir": str(tmp_path / "out")}
    with open("configs/default.yaml") as file:
        whole = yaml.safe_load(file)
    evil = whole | {"prompt": "a dog", "trainer": whole["trainer"] | trainer}
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir()
    torch.save({"state_dict": {}, "global_step": 1, "optimizer_states": []}, checkpoint)
    if road == "index build":
        evil = {"trainer": {"callbacks": [EVIL_CALLBACK]}}
    if road == "stages":
        evil = {"stages": {"one": whole | {"prompt": "a dog"}, "two": evil}}
        for each in evil["stages"].values():
            each["trainer"] = each["trainer"] | {"max_steps": 1}
    path.write_text(yaml.safe_dump(evil))
    if road == "configured":
        with pytest.raises(ValueError, match="may not be named"):
            configured(path)
        return
    arguments = {
        "index build": ["index", "build", "--config", path, "--out", tmp_path / "index"],
        "stages": ["fit", "--config", path],
        "fit": ["fit", "--config", path],
    }.get(road, [road, "--ckpt_path", checkpoint])
    assert cli.main([str(each) for each in arguments]) == cli.USER_ERROR
    assert "may not be named" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
