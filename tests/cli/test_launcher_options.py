"""A launcher's own options are options of `suite` where it is named: the built-ins' and a stranger's alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import plugin_packages
import pytest
import tiny

PLUGIN = """
from dataclasses import dataclass
from dfrd_bench.execution.protocol import Failed, Notice, option

@dataclass(frozen=True)
class Stranger:
    summary: str
    queue: str | None = option("Which queue.", metavar="NAME")
    night_only: bool = option("Not by day.", False)
    patience: float = option("Seconds.", 1.5)

    def launch(self, jobs, means, stops):
        yield Notice(f"{self.queue} {self.night_only} {self.patience}")
        for job in jobs:
            yield Failed(job, "I am a stranger here.")

stranger = Stranger("Somebody else's.")
"""
SUITE = ("suite", "conversion", "--device", "cpu", "--launcher")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    site = plugin_packages.plant(tmp_path / "site", "launchers", {"stranger": "stranger"}, PLUGIN)
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    plugin_packages.forget()
    yield
    monkeypatch.undo()
    plugin_packages.forget()


def test_a_strangers_launcher_is_given_its_options() -> None:
    given = tiny.command(*SUITE, "stranger", "--queue=long", "--night-only", "--patience", "3")
    assert given.code == 1
    assert "long True 3.0\n" in given.err
    assert "None False 1.5\n" in tiny.command(*SUITE, "stranger").err
    wrong = tiny.command(*SUITE, "stranger", "--patience", "long")
    assert wrong.code == 2
    assert "Invalid value for '--patience': 'long' is not a valid float" in wrong.err


def test_help_shows_the_options_of_the_launcher_that_is_named() -> None:
    assert "--queue NAME" in tiny.command("suite", "--launcher", "stranger", "--help").out
    ray = tiny.command("suite", "--launcher=ray", "--help").out
    assert "--address ADDRESS" in ray
    assert "--shared" in ray
    assert "--queue" not in ray
    plain = tiny.command("suite", "--help").out
    assert "--address ADDRESS" not in plain


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--address", "a:1"), "--address is an option of --launcher ray."),
        (("--launcher", "local", "--submit"), "--submit is an option of --launcher slurm."),
        (("--launcher", "ray", "--adress", "a:1"), "No such option '--adress'. (Did you mean one of: '--address',"),
        (("--launcher", "rya"), "Unknown launcher 'rya'. Did you mean 'ray'?"),
        (("--launcher",), "Option '--launcher' requires an argument."),
        (("--queue", "long"), "--queue is an option of --launcher stranger."),
    ],
)
def test_an_option_of_another_launcher_or_of_none_is_one_line(words: tuple[str, ...], message: str) -> None:
    outcome = tiny.command("suite", "conversion", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"Error: {message}")
    assert outcome.err.count("\n") == 1
