"""Plugins: classes that installed distributions register as entry points, one group per interface.

A plugin's entry point is named like its class, and that name is the one to write in YAML::

    [project.entry-points."redream.retrievers"]
    MyRetriever = "my_package:MyRetriever"

ReDream's own classes come in by the same door. A plugin that cannot be used is never fatal: it is
kept with the reason, which is repeated when someone asks for it by name.

A class can be tried without a package: ``REDREAM_PLUGINS="representations=my.py:MyRepresentation"``
names files or modules, several apart by spaces. It is the user's environment that says so, never a
configuration, which may still name registered classes only.
"""

import importlib
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path

from redream.startup import uncollected

INTERFACES = {
    "redream.retrievers": "redream.retrieval:Retriever",
    "redream.representations": "redream.representations:Representation",
    "redream.priors": "redream.priors:Prior",
    "redream.guidance": "redream.method.guidance:Guidance",
    "redream.adapters": "redream.adapters:Adapter",
    "redream.stores": "redream.assets:Store",
    "redream.generators": "redream.sources:Generator",
    "redream.metrics": "redream.metrics:Metric",
    "redream.promptings": "redream.priors.prompting:Prompting",
    "redream.pictures": "redream.indexing:PictureSource",
    "redream.judges": "redream.metrics:ViewJudge",
    "redream.distances": "redream.metrics:PerceptualDistance",
    "redream.features": "redream.method.poses:PictureFeatures",
    "redream.callbacks": "lightning.pytorch:Callback",
}
"""The entry-point groups and the base class that each group's plugins must extend."""

OFFERED = {
    "DMTet": "plugins/redream-kaolin",
    "SentenceRetriever": "plugins/redream-sentence",
    "VoxelGrid": "plugins/redream-voxel-grid",
}
"""Classes of the plugins in ReDream's own repository, and the folders to install them from."""

VARIABLE = "REDREAM_PLUGINS"
"""The environment variable that names classes to try."""


try:
    _STARTED_IN = os.getcwd()  # Python looks there for modules, whoever has put them there
except OSError:  # the folder is gone
    _STARTED_IN = ""


@dataclass(frozen=True)
class Component:
    """One registered class, whether or not it can be used.

    Attributes:
        group: Entry-point group, such as ``redream.retrievers``.
        name: The entry point's name, which is the class's name and the name in YAML.
        distribution: The installed distribution that registers it.
        version: That distribution's version.
        value: Where the class is, as ``package.module:Class``.
        reason: Why it cannot be used, in one line; None when it can.
    """

    group: str
    name: str
    distribution: str
    version: str
    value: str
    reason: str | None = None


def list_components(group: str | None = None) -> list[Component]:
    """Imports every registered class and says of each whether it can be used.

    Of several distributions that register one name in one group, the first that works is kept:
    ReDream's own, then by distribution name. The others are listed as duplicates and stay
    unimported, because two imported classes of one name would be ambiguous in YAML.

    Args:
        group: Look at this group only; None for all groups.

    Returns:
        The components, by group in the order of ``INTERFACES``, then by name.
    """
    return [component for component, _ in _load(group)]


def load_plugins() -> list[Component]:
    """Imports every plugin and warns of each that cannot be used.

    Returns:
        All components, those with a ``reason`` included.

    Warns:
        RuntimeWarning: For each broken plugin, naming its distribution and the reason.
    """
    components = list_components()
    for component in components:
        if component.reason is not None:
            warnings.warn(describe_broken(component), RuntimeWarning, stacklevel=2)
    return components


def find_class(group: str, name: str) -> type:
    """Finds a plugin's class by its name.

    Args:
        group: Entry-point group.
        name: The plugin's name.

    Returns:
        The class.

    Raises:
        ValueError: If there is no such plugin (the message names the nearest ones) or it cannot
            be used (the message repeats the reason).
    """
    broken = None
    names = []
    for component, loaded in _load(group):
        if component.name == name and loaded is not None:
            return loaded
        if component.name == name:
            broken = broken or component
        elif loaded is not None:
            names.append(component.name)
    if broken is not None:
        raise ValueError(describe_broken(broken))
    raise ValueError(
        not_registered(name) or f"there is no {name!r} among {group}; {suggest(name, names)}"
    )


def class_of(component: Component) -> type:
    """The class of a component that :func:`list_components` has imported.

    Raises:
        ValueError: If it cannot be used; one line.
    """
    if component.reason is not None:
        raise ValueError(describe_broken(component))
    loaded: type = EntryPoint(component.name, component.value, component.group).load()
    return loaded


def not_registered(name: str) -> str | None:
    """Says what to do where ReDream has a class that its installation does not know.

    Entry points are written when a package is installed: one that was pulled since is older than
    its code.

    Args:
        name: A class's name.

    Returns:
        One line; None where ReDream has no such class.
    """
    for group, interface in INTERFACES.items():
        module, _, base = interface.partition(":")
        if not module.startswith("redream.") or name == base:
            continue
        found = getattr(importlib.import_module(module), name, None)
        expected = getattr(importlib.import_module(module), base)
        if isinstance(found, type) and issubclass(found, expected):
            return (
                f"{name} is in {module}, but this installation does not register it among "
                f"{group}: it is older than the code; install it again, as in pip install -e ."
            )
    return None


def describe_broken(component: Component) -> str:
    """Says in one line which plugin cannot be used and why."""
    return (
        f"plugin {component.name} of {component.distribution} {component.version} "
        f"({component.group}) cannot be used: {component.reason}"
    )


def suggest(name: str, names: Iterable[str], otherwise: str = "") -> str:
    """Points from a misspelt name to the right ones.

    Args:
        name: What was written.
        names: What could have been meant.
        otherwise: What to say when nothing is near; by default all names are listed.

    Returns:
        Half a sentence, such as ``did you mean fit?``.
    """
    by_lowercase = {each.lower(): each for each in names}
    nearest = get_close_matches(name.lower(), by_lowercase, n=3, cutoff=0.6)
    if nearest:
        return f"did you mean {' or '.join(by_lowercase[each] for each in nearest)}?"
    return otherwise or f"choose from: {', '.join(sorted(by_lowercase.values())) or 'nothing'}"


def _load(group: str | None) -> Iterator[tuple[Component, type | None]]:
    """Yields the components with their classes, or with None where one cannot be used."""
    installed = entry_points()  # which looks through everything that is installed
    for each in INTERFACES if group is None else (group,):
        owners: dict[str, str] = {}
        for component, loaded in _tried(each):
            if loaded is not None:
                owners[component.name] = component.distribution
            yield component, loaded
        for entry_point in sorted(
            filter(_is_installed, installed.select(group=each)), key=_priority
        ):
            distribution, version = _distribution(entry_point)
            loaded = None
            reason = None
            if entry_point.name in owners:
                reason = f"duplicate: {owners[entry_point.name]} already provides this name"
            else:
                loaded, reason = _import(entry_point)
            if loaded is not None:
                owners[entry_point.name] = distribution
            component = Component(
                each, entry_point.name, distribution, version, entry_point.value, reason
            )
            yield component, loaded


def _tried(group: str) -> Iterator[tuple[Component, type | None]]:
    """The classes that ``REDREAM_PLUGINS`` names for a group."""
    for word in os.environ.get(VARIABLE, "").split():
        kind, _, value = word.partition("=")
        if f"redream.{kind}" != group:
            if f"redream.{kind}" not in INTERFACES:
                kinds = [each.removeprefix("redream.") for each in INTERFACES]
                raise ValueError(f"{VARIABLE}: there is no kind {kind!r}; {suggest(kind, kinds)}")
            continue
        place, _, name = value.rpartition(":")
        if not place or not name.isidentifier():
            raise ValueError(f"{VARIABLE}: {word!r} is not of the form KIND=FILE.py:CLASS")
        loaded, reason = None, None
        try:
            module = Path(place).stem if place.endswith(".py") else place
            if place.endswith(".py"):
                _import_file(module, Path(place))
            loaded, reason = _import(EntryPoint(name, f"{module}:{name}", group))
        except (Exception, SystemExit) as error:  # the file may fail in any way
            reason = f"import failed: {type(error).__name__}: {one_line(error)}"
        yield Component(group, name, VARIABLE, place, f"{module}:{name}", reason), loaded


def _import_file(name: str, path: Path) -> None:
    """Imports a file under a name, once."""
    known = sys.modules.get(name)
    if known is not None:
        if getattr(known, "__file__", None) != str(path.resolve()):
            raise ImportError(f"there is a module {name} already: call the file something else")
        return
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _import(entry_point: EntryPoint) -> tuple[type | None, str | None]:
    """Imports an entry point's class: the class, or None and the reason."""
    try:
        with uncollected():
            loaded = entry_point.load()
    except (Exception, SystemExit) as error:  # a stranger's module may fail in any way
        return None, f"import failed: {type(error).__name__}: {one_line(error)}"
    try:
        interface = _interface(entry_point.group)
    except Exception as error:
        return None, f"its interface is missing: {type(error).__name__}: {one_line(error)}"
    if not (isinstance(loaded, type) and issubclass(loaded, interface)):
        return None, f"{entry_point.value} is not a subclass of {interface.__name__}"
    if loaded.__name__ != entry_point.name:
        return None, f"its entry point must be named like its class, {loaded.__name__}"
    return loaded, None


def _interface(group: str) -> type:
    """The base class of a group, imported only when it is needed."""
    module, _, name = INTERFACES[group].partition(":")
    interface: type = getattr(importlib.import_module(module), name)
    return interface


def one_line(error: BaseException) -> str:
    """An error's message without line breaks."""
    return " ".join(str(error).split()) or "no message"


def _distribution(entry_point: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution that registers an entry point."""
    if entry_point.dist is None:
        return "unknown", "unknown"
    return _name_and_version(entry_point.dist)


@lru_cache(maxsize=16)  # each asking parses the distribution's metadata anew
def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]


def _is_installed(entry_point: EntryPoint) -> bool:
    """Whether its distribution is more than a folder that happens to be where we were started."""
    if entry_point.dist is None:
        return False
    return os.path.realpath(str(entry_point.dist.locate_file(""))) != _STARTED_IN


def _priority(entry_point: EntryPoint) -> tuple[str, bool, str, str]:
    """Sorts by name; of one name ReDream's own first, then by distribution and target."""
    distribution = re.sub(r"[-_.]+", "-", _distribution(entry_point)[0]).lower()
    return entry_point.name, distribution != "redream", distribution, entry_point.value
