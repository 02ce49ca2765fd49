"""A command that is stopped says what is true for it: of checkpoints speaks what has checkpoints."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import tiny

from dfrd_bench.cli.session import ANEW, CHECKPOINTS, TAKEN, VERDICTS

RESULTS = Path(__file__).parents[2] / "results" / "digits"
RUN = str(next(RESULTS.glob("*/*/zskt/default-seed0-*")))
STOPPED: dict[tuple[str, ...], tuple[str, str]] = {
    ("run", "--method", "zskt"): ("runs.run.fulfil", CHECKPOINTS),
    ("run", "--method", "zskt", "--dry-run"): ("cli.rehearsing.rehearse_run", ANEW),
    ("teacher", "train"): ("runs.run.fulfil", CHECKPOINTS),
    ("suite", "conversion"): ("runs.run.fulfil", CHECKPOINTS),
    ("suite", "conversion", "--dry-run"): ("cli.rehearsing.rehearse_suite", ANEW),
    ("suite", "conversion", "--status"): ("execution.status.standings", ANEW),
    ("evaluate", RUN): ("runs.reevaluation.evaluate_run", VERDICTS),
    ("evaluate", "--teacher", "digits-wrn-10-2"): ("runs.reevaluation.evaluate_teacher", VERDICTS),
    ("verify", RUN): ("runs.verification.examine_run", ANEW),
    ("verify", RUN, "--rerun"): ("runs.verification.examine_run", VERDICTS),
    ("merge", RUN, "--into", "merged"): ("runs.merging.merge", TAKEN),
    ("inspect", RUN): ("runs.inspection.its_teacher", ANEW),
    ("audit", RUN): ("reporting.found.find_runs", ANEW),
    ("table", RUN): ("reporting.found.find_runs", ANEW),
    ("report", RUN, "--output", "site"): ("reporting.found.find_runs", ANEW),
    ("compare", RUN, RUN): ("reporting.comparison.differences.compare_runs", ANEW),
    ("figure", "plane", RUN): ("reporting.found.find_runs", ANEW),
    ("list", "runs", RUN): ("runs.overview.runs_below", ANEW),
    ("bench", "startup"): ("benchmarks.speed.startup.measure", ANEW),
    ("check", "zskt"): ("testing.check_method", ANEW),
}


@pytest.mark.parametrize(
    ("words", "where", "left"), [(words, *said) for words, said in STOPPED.items()], ids=lambda value: ""
)
def test_it_says_what_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], where: str, left: str
) -> None:
    def ctrl_c(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(f"dfrd_bench.{where}", ctrl_c)
    stopped = tiny.command(*words)
    assert stopped.code == 130, stopped
    assert stopped.err.splitlines()[-1] == f"Stopped. {left}"
