"""Help is there for every command and costs no heavy import."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from dfrd_bench.cli.figure import KINDS as FIGURES
from dfrd_bench.cli.listing import KINDS
from dfrd_bench.cli.main import COMMANDS
from dfrd_bench.cli.progress import bars, summarise

HEAVY = ("torch", "torchvision", "robustbench", "sklearn", "matplotlib", "pandas", "pyautoattack")


def test_help_of_every_command_imports_nothing_heavy() -> None:
    calls = [[], *([name] for name in COMMANDS), ["teacher", "train"], *(["figure", kind] for kind in FIGURES)]
    calls += [["bench", name] for name in ("methods", "attacks", "autoattack", "startup", "agreement", "all")]
    script = f"""
import io, json, sys
from contextlib import redirect_stdout
from dfrd_bench.cli.main import main
shown = []
for call in {calls!r}:
    with redirect_stdout(io.StringIO()) as out:
        try:
            main([*call, "--help"])
        except SystemExit as stop:
            assert not stop.code, call
    shown.append(out.getvalue())
print(json.dumps([shown, [name for name in {HEAVY!r} if name in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown, loaded = json.loads(done.stdout)
    assert loaded == []
    for call, text in zip(calls, shown, strict=True):
        assert re.match(rf"Usage: \S+ {' '.join(call)}", text), call
        assert "Example" in text or call == ["teacher"], call
    assert all(name in shown[0] for name in COMMANDS)


def test_no_command_at_all_shows_the_help() -> None:
    outcome = tiny.command()
    assert "Distill a student without data" in outcome.out + outcome.err
    assert "Error: Usage" not in outcome.err


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "dfrd_bench", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "Distill a student without data" in done.stdout


@pytest.mark.parametrize("asked", [*([kind] for kind in KINDS), ["teachers", "--dataset", "cifar10"]], ids=" ".join)
def test_lists_import_nothing_heavy(asked: list[str]) -> None:
    script = f"""
import sys
from importlib import metadata
everything = metadata.entry_points
own = lambda group: [point for point in everything(group=group) if point.dist.name == "dfrd-bench"]
metadata.entry_points = own  # plugins import what they like
from dfrd_bench.cli.main import main
main(["list", *{asked!r}])
assert not [name for name in {HEAVY!r} if name in sys.modules]
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > (1 if asked == ["launchers"] else 2)


def test_a_list_still_says_what_is_wrong_with_a_plugin(tmp_path: Path) -> None:
    (tmp_path / "needy.py").write_text('import no_such_library\n\nclass Needy:\n    """Reads well."""\n')
    info = tmp_path / "needy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: needy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dfrd_bench.methods]\nneedy = needy:Needy\n")
    done = subprocess.run(
        [sys.executable, "-m", "dfrd_bench", "list", "methods", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["needy"]["problem"] == "cannot be loaded: ModuleNotFoundError: No module named 'no_such_library'"
    assert rows["needy"]["summary"] == ""
    assert rows["ferd"]["problem"] == ""


def test_listing_and_showing_load_no_dataset() -> None:
    script = """
import sys
from dfrd_bench.cli.main import main
main(["show", "ferd"])
main(["list", "methods"])
assert "sklearn" not in sys.modules
assert "torchvision" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "lambda_bn" in done.stdout


def test_a_family_of_any_numbers_can_be_shown() -> None:
    """Margins are below zero, a class without images has none."""
    assert bars([0.0, 0.5, 1.0]) == "▁▄█"
    assert bars([-9.6, 0.1]) == "▁█"
    assert bars([-1.0, -2.0]) == "▁▁"
    assert bars([float("nan"), 2.0, float("inf")]) == " █ "
    assert summarise({"m/0": -9.6, "m/1": 0.1, "loss": 0.5}) == "loss 0.5  m ▁█ ≤0.10"


def test_what_plugins_say_of_themselves_is_not_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    from dfrd_bench.cli import listing
    from dfrd_bench.registry import Entry

    said = "noise in [low, high]; pip install x[gpu]; cannot open [/opt/x.so]"
    monkeypatch.setattr(listing, "_entries", lambda kind, dataset: [Entry("x", "x 1.0", said)])
    assert said in tiny.command("list", "methods").out


def test_showing_a_method_on_a_dataset_counts_what_a_run_makes() -> None:
    shown = tiny.command("show", "ferd", "--dataset", "digits").out
    assert "on digits: 10,240 synthetic images, 1,600 synthesis steps, 2,800 student steps" in shown
    assert "synthetic images" not in tiny.command("show", "ferd").out


@pytest.mark.parametrize("group", ["teacher", "bench", "figure"])
def test_no_line_about_a_command_of_a_group_is_cut(group: str) -> None:
    shown = tiny.command(group, "--help").out
    assert "..." not in re.sub(r"(ARGS\]|RESULTS…?)\.\.\.", "", shown)


def test_what_is_said_of_list_and_figure_names_their_kinds() -> None:
    from dfrd_bench.cli.listing import KINDS
    from dfrd_bench.cli.main import COMMANDS

    assert all(kind in COMMANDS["list"][1] for kind in KINDS)
