"""How the runs of a plan stand, from the results folder alone: from any machine that sees it, and while they run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from dfrd_bench.errors import DfrdBenchError, asked_to_stop, in_a_line
from dfrd_bench.execution.jobs import FAILED, HANDED, RUNNING, Outcome, job_folder, read_outcome
from dfrd_bench.records.presence import Worker, at_work, is_alive
from dfrd_bench.records.reading import MIB, brief, read_file
from dfrd_bench.records.schema import ExperimentSpec
from dfrd_bench.records.store import RECORD_FILE, load_record
from dfrd_bench.runs.checkpoint import HISTORY_FILE, State
from dfrd_bench.runs.checkpoint import LARGEST as LARGEST_HISTORY
from dfrd_bench.runs.failures import ERROR_LOG
from dfrd_bench.runs.identity import Identity, identity_of
from dfrd_bench.runs.remaining import seconds_left, warmup_in
from dfrd_bench.runs.request import Request

Stage = Literal["done", "running", "stopped", "failed", "missing"]
STAGES: tuple[Stage, ...] = ("done", "running", "stopped", "failed", "missing")


@dataclass(frozen=True)
class Standing:
    """How one run stands.

    Attributes:
        request: what is asked for.
        stage: done (recorded, with all attacks that are asked for), running, stopped (begun, and nobody works on it), failed
            (so it ended when it was last tried) or missing.
        folder: the run's, if there is one.
        where: who works on it, or did last; of a missing one, whom it was handed to.
        part: of a run that was begun: training or evaluation; "starting" where only its process is there.
        epoch, epochs: trained so far, and in all; None where that is not known.
        left: seconds of training that are left, at the run's own speed; None where that is not known, as in the evaluation.
        why: it failed, or a run with a record is not done, or one that is missing was made by other code.
        code: the digest of the code that made it; None where it does not say.
    """

    request: Request
    stage: Stage
    folder: Path | None = None
    where: str = ""
    part: str = ""
    epoch: int | None = None
    epochs: int | None = None
    left: float | None = None
    why: str = ""
    code: str | None = None


def standings(requests: Sequence[Request]) -> list[Standing]:
    """How each of these runs stands; see `standing`."""
    return [standing(request) for request in requests]


def standing(request: Request) -> Standing:
    """How a run stands. No network and no image is loaded, and nothing is written.

    Teachers are told apart by their names: a run with other weights under the same name would be taken for this one. A run by
    other code of the method than today's is not this one.
    """
    outcome = read_outcome(job_folder(request))
    try:
        identity = identity_of(request)
    except BaseException as error:  # a plugin that is asked about its settings may raise anything
        if asked_to_stop(error):
            raise
        return Standing(request, "failed", why=brief(error if isinstance(error, DfrdBenchError) else in_a_line(error)))
    found = [_in_folder(request, identity, folder, outcome) for folder in identity.folders(Path(request.results))]
    others = [one for one in found if one is not None and one.code not in (None, identity.spec.code)]
    mine = [one for one in found if one is not None and one not in others]
    begun = sorted(mine, key=lambda one: (STAGES.index(one.stage), one.code is None))
    if begun and begun[0].stage in ("done", "running"):
        return begun[0]
    if outcome is not None and outcome.outcome == RUNNING and is_alive(outcome.host, outcome.process, outcome.at):
        return Standing(request, "running", where=_where(outcome), part="starting")
    if begun:
        return begun[0]
    if outcome is not None and outcome.outcome == FAILED:
        return Standing(request, "failed", where=_where(outcome), why=outcome.why)
    handed = outcome is not None and outcome.outcome == HANDED
    return Standing(request, "missing", where=outcome.where if outcome and handed else "", why=_said_of(others))


def _said_of(others: Sequence[Standing]) -> str:
    """Where a run that is missing was made by other code."""
    if not others:
        return ""
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"by other code than today's there is {others[0].folder}{more}"


def _in_folder(request: Request, identity: Identity, folder: Path, outcome: Outcome | None) -> Standing | None:
    """How the run in a folder stands; None if it is another one."""
    worker = at_work(folder)
    begun = Standing(request, "running" if worker else "stopped", folder, where=_at_work(worker, outcome))
    state = State(folder).read()
    if os.path.lexists(folder / RECORD_FILE):
        try:
            record = load_record(folder)
        except DfrdBenchError as error:
            return replace(begun, stage="failed", why=brief(error))
        if not identity.has_settings_of(record.spec):
            return None
        begun = replace(begun, code=record.spec.code)
        lacking = [name for name in request.attacks if name not in record.evaluation.attacks]
        if not lacking:
            return replace(begun, stage="done", where="")
        begun = replace(begun, part="evaluation", why=f"recorded without {', '.join(lacking)}")
    elif state:
        spec = _spec_in(state)
        if spec is None or not identity.has_settings_of(spec):
            return None
        begun = replace(begun, code=spec.code)
        if spec.code is None:  # which is not gone on with
            return None
        begun = _trained_so_far(begun, state)
    elif worker is None and not (folder / ERROR_LOG).exists():
        return None  # nothing that a run leaves
    if begun.stage == "stopped" and (why := _failure(folder, outcome)):
        return replace(begun, stage="failed", why=why)
    return begun


def _spec_in(state: Mapping[str, Any]) -> ExperimentSpec | None:
    """What the state of a run says that it is; None where that cannot be read."""
    try:
        return ExperimentSpec.model_validate(state.get("spec"))
    except ValidationError:
        return None


def _trained_so_far(begun: Standing, state: Mapping[str, Any]) -> Standing:
    """With what `history.jsonl` says of a training."""
    path, part = Path(str(begun.folder)) / HISTORY_FILE, str(state.get("stage", ""))
    said = state["spec"].get("config", {}).get("epochs")
    epochs = said if isinstance(said, int) else None
    try:
        written = path.stat().st_mtime
        lines = read_file(path, LARGEST_HISTORY).splitlines()
    except (OSError, DfrdBenchError):
        return replace(begun, part=part, epoch=0, epochs=epochs)
    left = None
    if begun.stage == "running" and part == "training" and epochs is not None and len(lines) < epochs:
        took = [_seconds(line) for line in lines]
        known = [seconds for seconds in took if seconds is not None]
        at_its_speed = seconds_left(known, epochs - len(lines), warmup_in(state) if len(known) == len(took) else 0)
        if at_its_speed is not None:
            left = max(0.0, at_its_speed - max(0.0, time.time() - written))
    return replace(begun, part=part, epoch=len(lines), epochs=epochs, left=left)


def _seconds(line: bytes) -> float | None:
    try:
        return float(json.loads(line)["seconds"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _failure(folder: Path, outcome: Outcome | None) -> str:
    """Why the last attempt in a folder where nobody works failed; empty if it did not, but was stopped."""
    begun = max(_written(State(folder).path), _written(folder / HISTORY_FILE))
    if outcome is not None and outcome.outcome == FAILED and outcome.at >= begun:
        return outcome.why
    if _written(folder / ERROR_LOG) >= max(begun, 1.0):
        try:
            lines = read_file(folder / ERROR_LOG, 2 * MIB).decode("utf-8", "replace").split("\n")
        except DfrdBenchError as error:
            return brief(error)
        return brief(next((line for line in reversed(lines) if line.strip()), "an error without a text"))
    return ""


def _written(path: Path) -> float:
    """When a file was written last, in seconds since 1970; 0 if it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _at_work(worker: Worker | None, outcome: Outcome | None) -> str:
    """Who has the folder, and where he says that the work is done, if it was he who said so."""
    if (
        worker
        and outcome
        and (outcome.outcome, outcome.host, outcome.process) == (RUNNING, worker.host, worker.process)
    ):
        return _where(outcome)
    return str(worker or "")


def _where(outcome: Outcome) -> str:
    return f"{outcome.where}, process {outcome.process} on {outcome.host}" if outcome.process else outcome.where
