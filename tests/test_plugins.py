import json
import sys
import warnings
from importlib.metadata import EntryPoints, entry_points

import pytest

from redream import cli, plugins
from redream.plugins import class_of, find_class, list_components, load_plugins, suggest

GROUP = "redream.retrievers"

GOOD = """
from redream.retrieval import Retriever
class {name}(Retriever):
    def retrieve(self, prompt, k):
        return []
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a distribution: a real dist-info folder and its module, on sys.path."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def _install(distribution, source, entry_points, version="1.2"):
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        lines = [f"{name} = {module}:{target}" for name, target in entry_points.items()]
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(lines) + "\n")
        return module

    yield _install
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def of(distribution):
    return [each for each in list_components(GROUP) if each.distribution == distribution]


def test_a_good_plugin_is_listed_and_found(install):
    module = install(
        "acme-good", GOOD.format(name="GoodRetriever"), {"GoodRetriever": "GoodRetriever"}
    )
    (component,) = of("acme-good")
    assert component.reason is None
    assert (component.group, component.version) == (GROUP, "1.2")
    assert component.value == f"{module}:GoodRetriever"
    assert find_class(GROUP, "GoodRetriever") is sys.modules[module].GoodRetriever
    assert class_of(component) is sys.modules[module].GoodRetriever


@pytest.mark.parametrize(
    ("source", "entry_points", "reason"),
    [
        ("import nowhere_to_be_found", {"Lost": "Lost"}, "No module named 'nowhere_to_be_found'"),
        ("raise RuntimeError('two\\nlines')", {"Lost": "Lost"}, "RuntimeError: two lines"),
        ("import sys; sys.exit('bye')", {"Lost": "Lost"}, "SystemExit: bye"),
        ("def (", {"Lost": "Lost"}, "SyntaxError"),
        ("", {"Lost": "Lost"}, "no attribute 'Lost'"),
        ("class Lost: pass", {"Lost": "Lost"}, "is not a subclass of Retriever"),
        ("Lost = 3", {"Lost": "Lost"}, "is not a subclass of Retriever"),
        (GOOD.format(name="Found"), {"Lost": "Found"}, "must be named like its class, Found"),
    ],
)
def test_a_broken_plugin_is_isolated_and_says_why(install, source, entry_points, reason):
    install("acme-broken", source, entry_points)
    (component,) = of("acme-broken")
    assert reason in component.reason
    assert "\n" not in component.reason
    with pytest.raises(ValueError, match="acme-broken 1.2"):
        class_of(component)
    with pytest.warns(RuntimeWarning, match="acme-broken 1.2") as caught:
        components = load_plugins()
    assert any(reason in str(warning.message) for warning in caught)
    assert find_class(GROUP, "ExactRetriever").__name__ == "ExactRetriever"
    assert [c.name for c in components if c.distribution == "redream" and c.group == GROUP] == [
        "ExactRetriever",
        "FaissRetriever",
        "GenerativeRetriever",
        "MixedRetriever",
        "ScannRetriever",
        "StoreRetriever",
    ]


def test_asking_for_a_broken_plugin_by_name_repeats_the_reason(install, capsys):
    install("acme-broken", "import nowhere_to_be_found", {"Lost": "Lost"})
    with pytest.raises(ValueError, match="acme-broken 1.2 .* No module named"):
        find_class(GROUP, "Lost")
    assert cli.main(["retrieve", "a dog", "--retriever", "Lost", "--index", "nowhere"]) == 2
    error = capsys.readouterr().err
    assert "nowhere_to_be_found" in error and error.count("\n") == 1


def test_of_two_plugins_of_one_name_the_first_distribution_wins(install):
    install("acme-b", GOOD.format(name="Twin"), {"Twin": "Twin"})
    install("acme-a", GOOD.format(name="Twin"), {"Twin": "Twin"})
    assert of("acme-a")[0].reason is None
    assert of("acme-b")[0].reason == "duplicate: acme-a already provides this name"
    assert find_class(GROUP, "Twin").__module__ == "acme_a"
    assert "acme_b" not in sys.modules  # two classes of one name would be ambiguous in YAML


def test_no_plugin_replaces_a_builtin(install):
    install("aaa", GOOD.format(name="ExactRetriever"), {"ExactRetriever": "ExactRetriever"})
    assert of("aaa")[0].reason == "duplicate: redream already provides this name"
    assert find_class(GROUP, "ExactRetriever").__module__.startswith("redream.")


def test_a_working_plugin_replaces_a_broken_one_of_its_name(install):
    install("acme-a", "import nowhere_to_be_found", {"Twin": "Twin"})
    install("acme-b", GOOD.format(name="Twin"), {"Twin": "Twin"})
    assert "nowhere" in of("acme-a")[0].reason
    assert find_class(GROUP, "Twin").__module__ == "acme_b"


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"no 'ExactRetreiver' .* did you mean ExactRetriever"):
        find_class(GROUP, "ExactRetreiver")
    with pytest.raises(
        ValueError,
        match="choose from: .*FaissRetriever, GenerativeRetriever, MixedRetriever, Scann",
    ):
        find_class(GROUP, "zzz")


def test_a_name_in_the_wrong_case_is_near():
    assert suggest("nerf", ["NeRF", "Mesh"]) == "did you mean NeRF?"
    assert suggest("zzz", [], "look it up") == "look it up"


def test_every_component_of_redream_works():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = [each for each in list_components() if each.distribution == "redream"]
    assert [each for each in ours if each.reason is not None] == []
    assert {each.group for each in ours} == set(plugins.INTERFACES)


def test_the_listing_names_every_component(install, capsys):
    install("acme-broken", "import nowhere_to_be_found", {"Lost": "Lost"})
    assert cli.main(["plugins", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"group", "name", "distribution", "version", "value", "reason"} == set(listed[0])
    by_name = {each["name"]: each for each in listed}
    assert by_name["ExactRetriever"]["reason"] is None
    assert "nowhere_to_be_found" in by_name["Lost"]["reason"]
    assert cli.main(["plugins"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in by_name)
    assert "BROKEN: import failed: ModuleNotFoundError" in text


def test_a_class_is_tried_without_a_package(tmp_path, monkeypatch):
    """The environment names a file; its class is listed and found, ahead of installed ones."""
    name = f"tried_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(GOOD.format(name="TriedRetriever"))
    monkeypatch.setenv("REDREAM_PLUGINS", f"retrievers={tmp_path / name}.py:TriedRetriever")
    (component,) = of("REDREAM_PLUGINS")
    assert component.reason is None and component.value == f"{name}:TriedRetriever"
    assert find_class(GROUP, "TriedRetriever") is sys.modules[name].TriedRetriever
    del sys.modules[name]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("retrievers=/nowhere/my.py:Mine", "no file /nowhere/my.py"),
        ("retrievers=json:Nothing", "json' has no attribute 'Nothing'"),
        ("retrievers=json:JSONDecoder", "json:JSONDecoder is not a subclass of Retriever"),
    ],
)
def test_a_class_that_cannot_be_tried_says_why(words, said, monkeypatch):
    monkeypatch.setenv("REDREAM_PLUGINS", words)
    (component,) = of("REDREAM_PLUGINS")
    assert said in component.reason


@pytest.mark.parametrize("words", ["retriever=my.py:Mine", "retrievers=my.py"])
def test_what_the_variable_cannot_mean_is_one_line(words, monkeypatch, capsys):
    monkeypatch.setenv("REDREAM_PLUGINS", words)
    assert cli.main(["plugins"]) == 2
    assert "REDREAM_PLUGINS" in capsys.readouterr().err


def test_a_class_that_was_pulled_after_the_installation_says_to_install_again(monkeypatch):
    known = EntryPoints(each for each in entry_points(group=GROUP) if each.name != "ExactRetriever")
    monkeypatch.setattr(plugins, "entry_points", lambda: known)
    with pytest.raises(ValueError, match="does not register it among redream.retrievers.*pip inst"):
        find_class(GROUP, "ExactRetriever")
    assert plugins.not_registered("SDI").startswith("SDI is in redream.method.guidance")
    for no_plugin in ("Guidance", "Retriever", "EmbeddingIndex", "Nothing"):
        assert plugins.not_registered(no_plugin) is None
