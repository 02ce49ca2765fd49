"""`new-method` writes a package that installs, is listed, runs and passes its own test; and refuses what cannot work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import plugin_packages
import pytest
import tiny

from dfrd_bench.method import MethodConfig
from dfrd_bench.registry import METHODS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def install(tmp_path: Path) -> Iterator[plugin_packages.Install]:
    with plugin_packages.installing(tmp_path / "site") as install:
        yield install


def refused(*args: str | Path) -> str:
    outcome = tiny.command("new-method", *args)
    assert outcome.code == 2, outcome
    assert re.fullmatch(r"Error: [^\n]+\n", outcome.err), outcome.err
    return outcome.err


class TestWritten:
    def test_says_what_it_wrote_and_what_comes_next(self, elsewhere: Path) -> None:
        outcome = tiny.command("new-method", "my-method")
        assert outcome.code == 0
        assert tiny.files_below(elsewhere) == [
            "my-method/README.md",
            "my-method/dfrd_bench_my_method.py",
            "my-method/pyproject.toml",
            "my-method/tests/test_my_method.py",
        ]
        assert all(path.removeprefix("my-method/") in outcome.out for path in tiny.files_below(elsewhere))
        assert "pip install -e my-method pytest\n" in outcome.out
        assert "  dfrd-bench check my-method\n" in outcome.out
        assert "dfrd-bench run --method my-method\n" in outcome.out

    def test_goes_where_it_is_told_and_quotes_the_way_there(self, elsewhere: Path) -> None:
        (elsewhere / "some where").mkdir()
        outcome = tiny.command("new-method", "x2", "--output", "some where")
        assert "pytest 'some where'\n" in outcome.out
        assert (elsewhere / "some where" / "dfrd_bench_x2.py").exists()

    @pytest.mark.usefixtures("few_digits")
    def test_installs_and_passes_its_test_and_runs(self, install: plugin_packages.Install) -> None:
        assert tiny.command("new-method", "my_own-method").code == 0
        install(Path("my_own-method"))
        assert plugin_packages.run_tests(Path("my_own-method")) == 1
        (entry,) = [entry for entry in METHODS.entries() if entry.name == "my_own-method"]
        assert (entry.distribution, entry.problem) == ("dfrd-bench-my-own-method 0.1.0", "")
        assert entry.summary.startswith("MyOwnMethod: ")
        run = ("run", "--method", "my_own-method", "--epochs", "1", "--attacks", "clean", "--quiet")
        small = ("batch_size=8", "warmup_epochs=0", "synthesis_steps=2", "distillation_steps=2")
        outcome = tiny.command(*run, *(part for setting in small for part in ("--set", setting)))
        assert outcome.code == 0, outcome.err

    @pytest.mark.usefixtures("few_digits")
    def test_with_data_it_does_so_too_and_says_what_it_sees(
        self, install: plugin_packages.Install, elsewhere: Path
    ) -> None:
        assert tiny.command("new-method", "mine", "--with-data").code == 0
        install(Path("mine"))
        assert plugin_packages.run_tests(Path("mine")) == 1
        (entry,) = [entry for entry in METHODS.entries() if entry.name == "mine"]
        assert (entry.sees, entry.problem) == ("training images", "")
        run = ("run", "--method", "mine", "--epochs", "1", "--attacks", "clean", "--set", "attack_steps=1", "--quiet")
        outcome = tiny.command(*run, "--set", "batch_size=30", "--set", "fair=true")
        assert outcome.code == 0, outcome.err
        assert "With data: " in tiny.command("table", "results").out

    @pytest.mark.parametrize("name", ["lesson", "batch", "attacked", "inner-attack", "per-image", "learner"])
    def test_with_data_a_name_that_means_something_else_works_as_well(self, elsewhere: Path, name: str) -> None:
        assert tiny.command("new-method", name, "--with-data").code == 0
        path = elsewhere / name / f"dfrd_bench_{name.replace('-', '_')}.py"
        namespace: dict[str, object] = {"__name__": "dfrd_bench"}
        exec(compile(path.read_text(), str(path), "exec"), namespace)
        (config,) = [v for key, v in namespace.items() if key.endswith("Config") and key != "AttackedConfig"]
        assert config().model_dump()["clean_weight"] == 0.2  # type: ignore[operator]

    @pytest.mark.parametrize("name", ["none", "f", "tensor", "reference", "synthesis", "synthesize-then-distill"])
    def test_a_name_that_means_something_else_works_as_well(self, elsewhere: Path, name: str) -> None:
        assert tiny.command("new-method", name).code == 0
        path = elsewhere / name / f"dfrd_bench_{name.replace('-', '_')}.py"
        namespace: dict[str, object] = {"__name__": "generated"}
        exec(compile(path.read_text(), str(path), "exec"), namespace)
        (config,) = [value for key, value in namespace.items() if key.endswith("Config") and key != "SynthesisConfig"]
        assert isinstance(config, type)
        assert issubclass(config, MethodConfig)
        assert config().model_dump()["lambda_oh"] == 1


IDENTIFIER = "must be a Python identifier once '-' is replaced by '_' (letters, digits and '_', no digit first)."
BAD_NAMES = {
    "my method": f"{IDENTIFIER} Try 'my-method'.",
    "2slow": f"{IDENTIFIER} Try 'my-2slow'.",
    "a/b": f"{IDENTIFIER} Try 'a-b'.",
    "../up": IDENTIFIER,
    "": IDENTIFIER,
    "Mine": "must be in lower case and without accents. Try 'mine'.",
    "größe": "must be in lower case and without accents",
    "a--b": "must be words joined by a single '-' or '_'. Try 'a-b'.",
    "_hidden": "must be words joined by a single '-' or '_'. Try 'hidden'.",
    "ferd": "There is a method 'ferd' already, of dfrd-bench ",
    "class": "'class' cannot name a method: it is a word of Python, which a package of it would shadow. Try 'my-class'.",
    "json": "it is a module of Python, which a package of it would shadow. Try 'my-json'.",
    "torch": "it is a module that is installed here, which a package of it would shadow. Try 'my-torch'.",
    "dfrd-bench": "it is a module that is installed here",
    "FERD": "must be in lower case and without accents.\n",  # 'ferd' would not help
}


@pytest.mark.parametrize(("name", "message"), BAD_NAMES.items())
def test_a_bad_name_is_refused_with_the_rule_it_breaks(elsewhere: Path, name: str, message: str) -> None:
    assert message in refused("--", name)
    assert tiny.files_below(elsewhere) == []


def test_a_plugins_name_is_taken_too_however_it_is_written(install: plugin_packages.Install, elsewhere: Path) -> None:
    assert tiny.command("new-method", "my-method", "--output", "first").code == 0
    install(Path("first"))
    assert "There is a method 'my-method' already, of dfrd-bench-my-method 0.1.0" in refused("my_method")
    assert not (elsewhere / "my_method").exists()


class TestInTheWay:
    @pytest.mark.parametrize("what", ["file", "folder/file"])
    def test_nothing_is_overwritten(self, elsewhere: Path, what: str) -> None:
        path = elsewhere / what
        path.parent.mkdir(exist_ok=True)
        path.write_text("precious")
        folder = what.split("/")[0]
        assert f"{folder} exists and is left as it is: name another folder" in refused("mine", "--output", folder)
        assert tiny.files_below(elsewhere) == [what]
        assert path.read_text() == "precious"

    def test_a_folder_of_that_name_elsewhere_is_no_module(
        self, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(elsewhere)
        (elsewhere / "mine").mkdir()
        assert tiny.command("new-method", "mine").code == 0

    def test_a_second_time_is_refused(self, elsewhere: Path) -> None:
        assert tiny.command("new-method", "mine").code == 0
        (elsewhere / "mine" / "dfrd_bench_mine.py").write_text("# my work")
        assert "mine exists" in refused("mine")
        assert (elsewhere / "mine" / "dfrd_bench_mine.py").read_text() == "# my work"

    def test_a_file_among_the_parents_is_named(self, elsewhere: Path) -> None:
        (elsewhere / "file").write_text("precious")
        assert "Cannot write file/below/" in refused("mine", "--output", "file/below")


@pytest.mark.usefixtures("elsewhere")
def test_a_method_that_is_not_installed_yet_is_said_to_be_so_before_any_other_is_suggested() -> None:
    for name, near in (("my-ferd", "did you mean 'ferd'?\n"), ("my-new-thing-9", "in its folder.\n")):
        outcome = tiny.command("check", name)
        assert outcome.code == 2
        assert outcome.err.startswith(
            f"Error: No method of the name {name!r} is installed. If it is yours, install it first"
        )
        assert "`pip install -e .` in its folder" in outcome.err
        assert outcome.err.endswith(near)


@pytest.mark.parametrize("name", ["3methods", "2-3", "4.5x"])
def test_a_name_that_begins_with_a_digit_gets_one_that_is_taken_and_keeps_the_digit(elsewhere: Path, name: str) -> None:
    (better,) = re.findall(r"Try '([^']+)'", refused(name))
    assert name[0] in better
    assert tiny.command("new-method", better).code == 0
