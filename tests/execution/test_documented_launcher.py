"""The launcher of docs/scaling.md, installed and used as the page says, with workers that need no PyTorch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import plugin_packages
import psutil
import pytest
import tiny
from stand_ins import stand_in

from dfrd_bench.execution.jobs import read_outcome

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
WORKER = """
import json, os, pathlib, sys
request = pathlib.Path(sys.argv[sys.argv.index("--config") + 1])
if json.loads(request.read_text())["method"] == "zskt":
    sys.exit("Error: no patience.")
(request.parent / "made").write_text(f"{os.getpriority(os.PRIO_PROCESS, 0)} {os.environ['OMP_NUM_THREADS']}")
"""
SUITE = "title: Mine\nruns:\n  - {method: noise}\n  - {method: zskt}\n  - {method: fast}\n"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="priorities are POSIX's")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's files, installed; workers that say how polite they are; a run is done where a file says so."""
    monkeypatch.chdir(tmp_path)
    found = re.findall(
        r'^```\w+ title="([^"]+)"\n(.*?)^```$', PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    for name, text in found:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    (tmp_path / "rows.yaml").write_text(SUITE)
    stand_in(monkeypatch, tmp_path, "hurried", WORKER)
    with plugin_packages.installing(tmp_path / "site") as install:
        install(Path("dfrd-bench-polite"))
        yield tmp_path


def suite(*words: str) -> tiny.Outcome:
    return tiny.command("suite", "rows.yaml", "--device", "cpu", "--threads", "3", "--launcher", "polite", *words)


def test_the_launcher_of_the_page_makes_every_run_and_reports_the_one_that_fails(place: Path) -> None:
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    polite = str(min(19, mine + 4))
    outcome = suite("--niceness", polite)
    assert outcome.code == 1
    assert "1 of 3 runs failed:\n" in outcome.err
    assert "no patience" in outcome.err
    made = sorted(place.rglob("made"))
    assert [path.read_text() for path in made] == [f"{polite} 3"] * 2
    kept = [read_outcome(folder) for folder in sorted((place / "results" / "launched").iterdir())]
    assert sorted(one.outcome for one in kept if one) == ["failed", "finished", "finished"]
    assert not [child for child in psutil.Process().children() if "hurried" in " ".join(child.cmdline())]


def test_its_options_are_the_commands_and_a_wrong_value_is_one_line_before_anything_starts(place: Path) -> None:
    help = tiny.command("suite", "--launcher", "polite", "--help").out
    assert "--niceness N" in help
    assert "--pause SECONDS" in help
    assert "polite" in tiny.command("list", "launchers").out
    refused = suite("--niceness", "20")
    assert (refused.code, refused.err.splitlines()[-1]) == (2, "Error: --niceness takes 0 to 19, not 20.")
    assert not [*place.rglob("made")]
