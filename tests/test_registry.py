"""Names to things: nearest names, broken plugins and names taken twice, with distributions really on sys.path."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from dfrd_bench.errors import DfrdBenchError, nearest
from dfrd_bench.registry import ATTACKS, METHODS, REGISTRIES, Registry
from dfrd_bench.summaries import summary_in_source, summary_of

MODULE = '"""A plugin."""\n\nclass Good:\n    """A good method.\n\n    More about it."""\n'


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Put a distribution with entry points where importlib.metadata finds it."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def add(name: str, points: dict[str, str], group: str = "dfrd_bench.methods", source: str = MODULE) -> None:
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        lines = [f"{point} = {value}" for point, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))

    yield add
    for module in set(sys.modules) - before:
        del sys.modules[module]


def methods() -> Registry[object]:
    """A registry that has not looked yet."""
    return Registry("method", "dfrd_bench.methods")


class TestNames:
    @pytest.mark.parametrize(
        ("wrong", "right"), [("frd", "ferd"), ("FERD", "ferd"), ("zsk", "zskt"), ("ferd2", "ferd")]
    )
    def test_a_wrong_name_gets_the_nearest(self, wrong: str, right: str) -> None:
        with pytest.raises(DfrdBenchError, match=rf"^Unknown method '{wrong}'\. Did you mean '{right}'"):
            METHODS.get(wrong)

    def test_a_name_near_nothing_gets_all_there_are(self) -> None:
        with pytest.raises(DfrdBenchError, match=r"Known: autoattack, autoattack-fast, clean, cw, cw_l2, fgsm, pgd20"):
            ATTACKS.get("xyzxyz")

    def test_the_distribution_of_a_wrong_name_is_refused_too(self) -> None:
        with pytest.raises(DfrdBenchError, match="Did you mean 'ferd'"):
            METHODS.distribution("frd")

    @pytest.mark.parametrize("kind", REGISTRIES)
    def test_whoever_wrote_one_is_told_how_it_is_installed(self, kind: str) -> None:
        with pytest.raises(DfrdBenchError, match=r"installed first: `pip install -e \.` in its folder"):
            REGISTRIES[kind].get("nothing-of-this-name")

    def test_only_names_about_as_like_as_the_nearest_are_offered(self) -> None:
        assert nearest("plaen", ["plane", "samples", "classes", "nsd"]) == ["plane"]
        assert nearest("digits-wrn", ["digits-wrn-10-2", "digits-natural-wrn-10-1"]) == [
            "digits-wrn-10-2",
            "digits-natural-wrn-10-1",
        ]
        assert nearest("samplus", ["samples", "sampler", "xyz"]) == ["samples", "sampler"]
        assert nearest("qqq", ["plane"]) == []

    def test_what_follows_a_colon_is_an_argument(self) -> None:
        assert Registry.parse("checkpoint:a/b:c.pt") == ("checkpoint", "a/b:c.pt")
        assert Registry.parse("ferd") == ("ferd", "")
        assert REGISTRIES["students"].get("wrn:16-2") is REGISTRIES["students"].get("wrn")


@pytest.mark.parametrize("kind", REGISTRIES)
def test_what_is_read_of_a_built_in_without_loading_it_is_what_it_says_when_loaded(kind: str) -> None:
    registry = REGISTRIES[kind]
    own = [entry for entry in registry.entries() if entry.distribution.startswith("dfrd-bench ")]
    read = {
        point.name: summary_in_source(point.module, point.attr)
        for point in entry_points(group=registry.group)
        if point.dist is not None and point.dist.name == "dfrd-bench"
    }
    assert {entry.name: entry.summary for entry in own} == read
    assert {name: summary_of(registry.get(name)) for name in read} == read


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_built_in_loads_and_says_what_it_is(kind: str) -> None:
    own = [entry for entry in REGISTRIES[kind].entries() if entry.distribution.startswith("dfrd-bench ")]
    assert own
    for entry in own:
        assert REGISTRIES[kind].get(entry.name) is not None
        assert entry.problem == ""
        assert len(entry.summary) > 10, entry
        assert "\n" not in entry.summary


class TestPlugins:
    def test_a_plugin_is_found_beside_the_built_ins(self, install) -> None:  # type: ignore[no-untyped-def]
        install("nice-plugin", {"nice": "nice_plugin:Good"})
        registry = methods()
        assert {"nice", "ferd", "zskt"} <= set(registry.names())
        assert registry.get("nice").__name__ == "Good"  # type: ignore[attr-defined]
        assert registry.distribution("nice") == "nice-plugin 1.5"
        (entry,) = [e for e in registry.entries() if e.name == "nice"]
        assert entry.summary == "A good method."

    @pytest.mark.parametrize(
        ("source", "value", "reason"),
        [
            ("import no_such_module_anywhere\n", "bad_plugin:Good", "ModuleNotFoundError"),
            ("raise RuntimeError('two\\nlines')\n", "bad_plugin:Good", "RuntimeError: two lines"),
            (MODULE, "bad_plugin:Gone", "AttributeError"),
            ("def broken(:\n", "bad_plugin:Good", "SyntaxError"),
        ],
        ids=["missing-dependency", "raises", "missing-attribute", "syntax"],
    )
    def test_a_broken_plugin_is_reported_and_breaks_nothing_else(  # type: ignore[no-untyped-def]
        self, install, source: str, value: str, reason: str
    ) -> None:
        install("bad-plugin", {"bad": value}, source=source)
        registry = methods()
        problems = {entry.name: entry.problem for entry in registry.entries()}
        assert problems["bad"].startswith("cannot be loaded: ")
        assert reason in problems["bad"]
        assert "\n" not in problems["bad"]
        assert problems["ferd"] == problems["zskt"] == ""
        assert registry.get("ferd") is METHODS.get("ferd")
        with pytest.raises(DfrdBenchError, match=r"^The method 'bad' of bad-plugin 1\.5 cannot be loaded: ") as caught:
            registry.get("bad")
        assert "\n" not in str(caught.value)

    def test_a_built_in_name_cannot_be_taken(self, install) -> None:  # type: ignore[no-untyped-def]
        install("aaa-plugin", {"ferd": "aaa_plugin:Good"})
        registry = methods()
        assert registry.get("ferd") is METHODS.get("ferd")
        assert registry.distribution("ferd").startswith("dfrd-bench ")
        own, other = [e for e in registry.entries() if e.name == "ferd"]
        assert own.problem == ""
        assert other.distribution == "aaa-plugin 1.5"
        assert other.problem.startswith("ignored: the name is taken by dfrd-bench ")

    def test_of_two_plugins_the_alphabetically_first_wins(self, install) -> None:  # type: ignore[no-untyped-def]
        install("z-plugin", {"nice": "z_plugin:Good"})
        install("b-plugin", {"nice": "b_plugin:Good"})
        registry = methods()
        assert registry.get("nice").__module__ == "b_plugin"
        assert [(e.distribution, bool(e.problem)) for e in registry.entries() if e.name == "nice"] == [
            ("b-plugin 1.5", False),
            ("z-plugin 1.5", True),
        ]

    @pytest.mark.parametrize("metadata", [None, "", "Metadata-Version: 2.1\n"])
    def test_a_distribution_that_is_half_installed_breaks_nothing(  # type: ignore[no-untyped-def]
        self, install, tmp_path: Path, metadata: str | None
    ) -> None:
        install("nice-plugin", {"nice": "nice_plugin:Good"})
        path = tmp_path / "nice_plugin-1.5.dist-info" / "METADATA"
        path.unlink() if metadata is None else path.write_text(metadata)
        registry = methods()
        problems = {entry.name: entry.problem for entry in registry.entries()}
        assert problems["ferd"] == problems["nice"] == ""
        assert not registry.distribution("nice").startswith("dfrd-bench ")

    def test_an_entry_of_another_group_is_not_found(self, install) -> None:  # type: ignore[no-untyped-def]
        install("nice-plugin", {"nice": "nice_plugin:Good"}, group="dfrd_bench.attacks")
        assert "nice" not in methods().names()
        assert "nice" in Registry("attack", "dfrd_bench.attacks").names()

    def test_names_load_nothing(self, install) -> None:  # type: ignore[no-untyped-def]
        install("nice-plugin", {"nice": "nice_plugin:Good"})
        assert "nice" in methods().names()
        assert "nice_plugin" not in sys.modules
