"""Workers that stand in for `dfrd-bench run`: a script of a few lines, whose run is done where a file says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfrd_bench.execution import attempts, waitlist
from dfrd_bench.execution.jobs import jobs_of
from dfrd_bench.execution.status import Standing
from dfrd_bench.runs.request import Request


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, text: str) -> None:
    """Have workers run a module of this name and text, from a folder; a run is done where `made` is in its job's folder."""
    (folder / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(attempts, "WORKER", name)

    def standing(request: Request) -> Standing:
        (job,) = jobs_of([request])
        made = (job.folder / "made").exists()
        return Standing(request, "done" if made else "missing", folder if made else None)

    for module in (attempts, waitlist):
        monkeypatch.setattr(module, "standing", standing)
