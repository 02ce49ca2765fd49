"""Whatever a plugin does: its row fails with one line and a traceback in a file, and the others go on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import plugin_packages
import pytest
import tiny

from dfrd_bench.errors import FailedError
from dfrd_bench.runs.run import run

pytestmark = pytest.mark.usefixtures("few_digits")

IMPORTS = """
import warnings, click
from dfrd_bench.methods.data_free.zskt import ZSKT

class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")

"""
RAISED = {
    "an error": "ValueError('math domain\\nerror')",
    "an end": "SystemExit(0)",
    "a key": "KeyboardInterrupt()",
    "an end of file": "EOFError()",
    "a pipe": "BrokenPipeError()",
    "a generator's end": "GeneratorExit()",
    "click's end": "click.exceptions.Exit(0)",
    "click's abort": "click.Abort()",
    "no text": "Mute()",
    "a recursion": "RecursionError('deep')",
}
SETTINGS = ("batch_size=8", "distillation_steps=2", "attack_steps=2", "epochs=1")
ROW = "{epochs: 1, distillation_steps: 2, batch_size: 8, attack_steps: 2}"

Plant = Callable[..., None]


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    def add(group: str, names: dict[str, str], source: str) -> None:
        monkeypatch.syspath_prepend(plugin_packages.plant(tmp_path / "site", group, names, source))
        plugin_packages.forget()

    yield add
    monkeypatch.undo()
    plugin_packages.forget()


def method(body: str, name: str = "hostile") -> tuple[str, dict[str, str], str]:
    """A method whose epochs begin with a statement."""
    indented = "\n".join(f"        {line}" for line in body.splitlines())
    return (
        "methods",
        {name: "Hostile"},
        f'{IMPORTS}class Hostile(ZSKT):\n    """Hostile."""\n    def train_epoch(self, epoch):\n{indented}\n'
        "        return super().train_epoch(epoch)\n",
    )


def arguments(results: Path, *more: str, name: str = "hostile") -> list[str]:
    chosen = [part for setting in SETTINGS for part in ("--set", setting)]
    attacks = () if "--attacks" in more else ("--attacks", "clean")
    return ["run", "--method", name, *chosen, *attacks, "--results", str(results), "--quiet", *more]


@pytest.mark.parametrize("raised", RAISED.values(), ids=RAISED)
def test_what_a_method_raises_is_one_line_and_its_traceback_is_in_the_runs_folder(
    plant: Plant, tmp_path: Path, raised: str
) -> None:
    plant(*method(f"raise {raised}"))
    outcome = tiny.command(*arguments(tmp_path / "results"))
    kind = re.split(r"[(.]", raised.removeprefix("click.exceptions.").removeprefix("click."))[0]
    (log,) = (tmp_path / "results").rglob("error.log")
    assert (log.parent / "state").exists()
    assert outcome.code == 1
    assert outcome.out == ""
    assert re.fullmatch(rf"Error: {kind}\b.* \(traceback: {re.escape(str(log))}\)\n", outcome.err), outcome.err
    written = log.read_text()
    assert f"raise {raised}".splitlines()[0] in written
    assert "in train_epoch" in written


def test_debug_shows_the_traceback_and_then_the_line(plant: Plant, tmp_path: Path) -> None:
    plant(*method("raise ValueError('math domain')"))
    err = tiny.command(*arguments(tmp_path), "--debug").err
    assert "Traceback" in err
    assert "in train_epoch" in err
    assert err.splitlines()[-1].startswith("Error: ValueError: math domain (traceback: ")
    assert "Traceback" in tiny.command("--debug", *arguments(tmp_path)).err


@pytest.mark.parametrize("raised", ["ValueError('x')", "SystemExit(0)", "KeyboardInterrupt()"])
def test_the_other_rows_of_a_suite_go_on_and_it_ends_with_a_list_of_those_that_failed(
    plant: Plant, tmp_path: Path, raised: str
) -> None:
    plant(*method(f"raise {raised}"))
    rows = f"title: two\nruns:\n- {{method: hostile, settings: {ROW}}}\n- {{method: zskt, settings: {ROW}}}\n"
    (tmp_path / "rows.yaml").write_text(rows)
    results = tmp_path / "results"
    outcome = tiny.command(
        "suite", tmp_path / "rows.yaml", "--seeds", "0-1", "--attacks", "clean", "--results", results, "--quiet"
    )
    assert outcome.code == 1
    assert [path.parts[-3] for path in sorted(results.rglob("record.json"))] == ["zskt", "zskt"]
    assert [path.parts[-3] for path in sorted(results.rglob("error.log"))] == ["hostile", "hostile"]
    end = outcome.err.splitlines()[-3:]
    assert end[0] == "2 of 4 runs failed:"
    kind = raised.split("(")[0]
    assert [line.split(": ")[1].split(" (")[0] for line in end[1:]] == [kind, kind]
    assert "seed=0" in end[1]
    assert "seed=1" in end[2]


def test_a_method_that_ends_the_program_when_it_is_imported_fails_in_its_row_only(plant: Plant, tmp_path: Path) -> None:
    plant("methods", {"hostile": "Hostile"}, "raise SystemExit(0)\n")
    (tmp_path / "rows.yaml").write_text(
        f"title: two\nruns:\n- {{method: hostile}}\n- {{method: zskt, settings: {ROW}}}\n"
    )
    results = tmp_path / "results"
    outcome = tiny.command("suite", tmp_path / "rows.yaml", "--attacks", "clean", "--results", results, "--quiet")
    assert outcome.code == 1
    assert len([*results.rglob("record.json")]) == 1
    assert "1 of 2 runs failed:\nhostile seed=0: The method 'hostile' of dfrd-bench-planted 1.5 cannot" in outcome.err
    assert "raise SystemExit(0)" in (results / "error.log").read_text()


@pytest.mark.parametrize("raised", [*RAISED.values(), "argparse"], ids=[*RAISED, "a parser of arguments"])
def test_a_plugin_that_cannot_be_imported_is_named_in_the_list(plant: Plant, raised: str) -> None:
    parser = "import argparse\nparser = argparse.ArgumentParser(exit_on_error=True)\nparser.parse_args(['--x'])\n"
    plant("methods", {"hostile": "Hostile"}, parser if raised == "argparse" else f"{IMPORTS}raise {raised}\n")
    outcome = tiny.command("list", "methods", "--json")
    assert outcome.code == 0
    listed = {entry["name"]: entry["problem"] for entry in json.loads(outcome.out)}
    assert listed["hostile"].startswith("cannot be loaded: ")
    assert not any(problem for name, problem in listed.items() if name != "hostile")


CONFIG = "from dfrd_bench.method import MethodConfig, param\n"


@pytest.mark.parametrize(
    "field",
    [
        "class Hostile(MethodConfig):\n    width = 3\n",
        "class Hostile(MethodConfig):\n    width = param(3, 'how wide', 'ours', ge=1)\n",
        "class Base(MethodConfig):\n    width: int = 3\nclass Hostile(Base):\n    width = 4\n",
    ],
)
def test_a_hyper_parameter_without_a_type_is_named_and_how_it_is_written(plant: Plant, field: str) -> None:
    plant("methods", {"hostile": "Hostile"}, CONFIG + field)
    refused = tiny.command("show", "hostile")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "the hyper-parameter 'width' of its Config has " in refused.err
    assert "write `width: float = …`" in refused.err
    assert "errors.pydantic.dev" not in refused.err


def test_what_else_pydantic_refuses_is_said_without_its_address(plant: Plant) -> None:
    plant(
        "methods", {"hostile": "Hostile"}, CONFIG + "class Hostile(MethodConfig):\n    _width: int = param(3, '', '')\n"
    )
    refused = tiny.command("show", "hostile")
    assert "leading underscores" in refused.err
    assert "errors.pydantic.dev" not in refused.err


def test_a_broken_plugin_makes_a_list_no_wider_and_is_explained_below_it(plant: Plant) -> None:
    before = tiny.command("list", "launchers").out.splitlines()
    plant("launchers", {"hostile": "Hostile"}, f"raise RuntimeError('{200 * 'x'}')\n")
    after = tiny.command("list", "launchers").out.splitlines()
    assert after[-1].startswith("hostile of dfrd-bench-planted 1.5: cannot be loaded: RuntimeError: xxx")
    assert max(map(len, after[:-1])) <= max(*map(len, before), len("name  ")) + len(" dfrd-bench-planted 1.5")


def test_what_a_plugin_prints_while_it_is_imported_is_not_in_a_commands_output(plant: Plant) -> None:
    plant("methods", {"hostile": "Hostile"}, 'print("hello")\nclass Hostile:\n    """Talks."""\n')
    outcome = tiny.command("list", "methods", "--json")
    assert {entry["name"]: entry["summary"] for entry in json.loads(outcome.out)}["hostile"] == "Talks."
    assert "hello" in outcome.err


ATTACK = """
class Attack:
    summary = "hostile"
    def parameters(self, threat):
        return {}
    def __call__(self, model, x, y, **more):
        raise ZeroDivisionError("here")
attack = Attack()
"""


def test_an_attack_that_fails_costs_no_training(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant("attacks", {"hostile": "attack"}, ATTACK)
    failing = tiny.command(*arguments(tmp_path / "results", "--attacks", "clean,hostile", name="zskt"))
    (log,) = (tmp_path / "results").rglob("error.log")
    assert (failing.code, failing.err.count("\n")) == (1, 1)
    assert f"Error: ZeroDivisionError: here (traceback: {log})" in failing.err
    monkeypatch.setattr("dfrd_bench.methods.data_free.zskt.ZSKT.train_epoch", lambda *_: pytest.fail("trained again"))
    assert tiny.command(*arguments(tmp_path / "results", name="zskt")).code == 0
    assert not log.exists()  # of an attempt that is over
    (folder,) = (path.parent for path in (tmp_path / "results").rglob("record.json"))
    again = tiny.command("evaluate", folder, "--attacks", "hostile", "--quiet")
    assert (again.code, log.exists()) == (1, True)


@pytest.mark.parametrize(
    ("group", "options"),
    [
        ("datasets", ("--dataset", "hostile")),
        ("students", ("--student", "hostile")),
        ("teachers", ("--teacher", "hostile")),
        ("methods", ("--method", "hostile")),
    ],
)
@pytest.mark.parametrize(
    "source",
    ["raise SystemExit(3)\n", "class Hostile:\n    def __getattr__(self, name):\n        1 / 0\nthing = Hostile()\n"],
)
def test_what_fails_before_there_is_a_run_is_logged_in_the_results(
    plant: Plant, tmp_path: Path, group: str, options: tuple[str, str], source: str
) -> None:
    plant(group, {"hostile": "thing"}, source)
    outcome = tiny.command(*arguments(tmp_path / "results", *options, name="zskt"))
    log = tmp_path / "results" / "error.log"
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert f"(traceback: {log})" in outcome.err
    assert "dfrd_bench_planted.py" in log.read_text()
    assert "Traceback" not in tiny.command(*arguments(tmp_path / "dry", *options, "--dry-run", name="zskt")).err


def test_a_storm_of_warnings_leaves_the_screen_readable_and_the_run_goes_on(tmp_path: Path) -> None:
    warn, log = "warnings.warn(f'warning {n}')", "logging.getLogger('h').warning(f'log {n}')"
    storm = f"import logging\nfor n in range(3000):\n    {warn}\n    {log}"
    site = plugin_packages.plant(tmp_path / "site", *method(storm))
    outcome = subprocess.run(
        [sys.executable, "-m", "dfrd_bench", *arguments(tmp_path), "--test-images", "20"],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert "warning 0" in outcome.stderr
    assert len(outcome.stderr.splitlines()) < 100
    assert re.search(r"^5,960 more warnings of the same kind were not shown\.$", outcome.stderr, re.MULTILINE)


def test_from_python_the_cause_is_there_and_ctrl_c_is_ctrl_c(plant: Plant, tmp_path: Path) -> None:
    settings = {"batch_size": 8, "distillation_steps": 2, "attack_steps": 2}
    plant(*method("raise ValueError('math domain')"))
    with pytest.raises(FailedError, match=r"^ValueError: math domain") as caught:
        run("hostile", epochs=1, settings=settings, results=tmp_path)
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.log is not None
    plant(*method("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        run("hostile", epochs=1, settings=settings, results=tmp_path)


@pytest.mark.parametrize("command", [("show", "hostile"), ("show", "hostile", "--dataset", "digits")])
def test_a_command_without_a_folder_says_that_code_failed(plant: Plant, command: tuple[str, ...]) -> None:
    plant(
        "methods",
        {"hostile": "thing"},
        "class Hostile:\n    def __getattr__(self, name):\n        exit(0)\nthing = Hostile()\n",
    )
    outcome = tiny.command(*command)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "Error: SystemExit: 0 (--debug shows where)\n"


def test_a_log_that_cannot_be_written_is_said(plant: Plant, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "error.log").mkdir()
    plant("methods", {"hostile": "thing"}, "raise ValueError('x')\n")
    outcome = tiny.command(*arguments(tmp_path / "results"))
    assert outcome.code == 1
    assert "(no traceback is kept, as " in outcome.err
