"""What `--dry-run` prints of a run: its spec, a first estimate at once, then a rehearsal's, and where it would be recorded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.runs.request import Request

UNKNOWN = "????????"
WITHOUT_GPU = 'There is no GPU here: what is planned is what a GPU takes, and "here" is on this CPU.'
BUSY = 0.75  # of the processors taken before a rehearsal begins, from which on its times are doubted
SUITE_SECONDS = 30.0  # that the rehearsals of a suite may take together, about


def rehearse_run(request: Request, quiet: bool) -> None:
    """Print what a run or a teacher's training is and what it takes; nothing is written or downloaded."""
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.registry import ATTACKS
    from dfrd_bench.runs.devices import rate_of
    from dfrd_bench.runs.forecast import (
        Work,
        calls_of,
        describe,
        described,
        elsewhere,
        evaluation_of,
        guessed_seconds,
        timed_passes,
    )
    from dfrd_bench.runs.foresight import said_of_defaults, said_of_rounds, said_of_steps
    from dfrd_bench.runs.guess import evaluation_operations, sizes_of
    from dfrd_bench.runs.preflight import check_recordable
    from dfrd_bench.runs.preparation import prepare
    from dfrd_bench.runs.rehearsal import duration, rehearse, sample_for
    from dfrd_bench.runs.stand_ins import StandIns

    attacks = tuple(ATTACKS.select(request.attacks))
    loading, load = StandIns(), said_of_load()
    with watching(quiet) as observer:
        prepared = prepare(request, observer, loading)
        where, known = _place(request, prepared)
        check_recordable(prepared, known, attacks)
        sizes = sizes_of(prepared, prepared.dataset.count_tested())
    click.echo(prepared.spec.model_dump_json(indent=1))
    rate = rate_of(prepared.problem.device, prepared.spec.precision)
    training, evaluation = guessed_seconds(prepared, attacks, sizes, rate)
    _say("first estimate", f"about {duration(training + evaluation)} here, from operations at {rate.source}")
    with watching(quiet) as observer:
        passes = timed_passes(prepared, sizes, rate)
        cost = rehearse(prepared, observer.on_data, sample_for(prepared.config, sizes, rate))
    for name, text in describe(prepared, cost).items():
        _say(name, text)
    attacked = evaluation_of(attacks, sizes, passes)
    for name, text in described(attacked, sizes.test_images):
        _say(name, text)
    _say("in all", f"about {duration(cost.seconds + attacked.total)} here")
    asked = evaluation_operations(attacks, sizes), calls_of(attacks, sizes)
    there = elsewhere(Work(cost.operations, cost.steps, *asked), prepared.spec.precision)
    _say("on a GPU", f"about {there} for the same run, from operations (docs/papers-setting.md, Before a long run)")
    absent = WITHOUT_GPU if loading.without_gpu else ""
    notes = (
        absent,
        load,
        said_of_defaults(request, prepared),
        said_of_rounds(request, prepared),
        said_of_steps(prepared),
    )
    for note in filter(None, notes):
        _say("note", note)
    _say("folder", where)


def rehearse_suite(wanted: Sequence[Request], quiet: bool, jobs: int | None = None) -> None:
    """Print every run of a suite with what it takes, and all of them together; nothing is written or downloaded.

    Runs that differ in their seed alone are rehearsed once. One that is recorded is named as done and not counted. With `jobs`
    it also says what they take so many at once.
    """
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.cli.streams import one_line
    from dfrd_bench.execution.status import standing
    from dfrd_bench.runs.forecast import Forecast, elsewhere, side_by_side, together
    from dfrd_bench.runs.plan import named
    from dfrd_bench.runs.rehearsal import duration

    rows, names = {_row_of(one): one for one in wanted}, [one_line(name) for name in named(wanted)]
    load = said_of_load()
    found: dict[str, Forecast | str] = {}
    with watching(quiet) as observer:
        for number, (row, one) in enumerate(rows.items()):
            observer.on_data("rehearsing", number, len(rows))
            found[row] = _forecast(one, SUITE_SECONDS / len(rows))
        observer.on_data("rehearsing", len(rows), len(rows))
    width, left, done = max(map(len, names)), [], 0
    for one, name in zip(wanted, names, strict=True):
        result = found[_row_of(one)]
        if isinstance(result, str):
            said = ""
        elif standing(one).stage == "done":
            said, done = "done", done + 1
        else:
            left.append(result)
            how = "timed" if result.rehearsed else "from operations"
            said = (
                f"{duration(result.seconds)} here: training {duration(result.training)}, {how}, "
                f"evaluation {duration(result.evaluation.total)}; on a GPU {elsewhere(result.work, result.precision)}"
            )
        click.echo(f"{name:{width}}  {said}".rstrip())
    for why in dict.fromkeys(result for result in found.values() if isinstance(result, str)):
        click.echo(f"Not estimated: {one_line(why)}", err=True)
    if not left:
        return
    seconds, there = together(left)
    recorded = f", {done} done" if done else ""
    click.echo(f"{len(left)} of {len(wanted)} runs to make{recorded}: {duration(seconds)} here, one after another.")
    if jobs is not None and jobs > 1:
        wall = side_by_side([one.seconds for one in left], jobs)
        click.echo(
            f"{min(jobs, len(left))} at once: {duration(wall)} here, where each is as quick as it would be alone."
        )
    click.echo(f"On one GPU instead, the same runs one after another: {there}.")
    for note in dict.fromkeys(filter(None, (load, *(one.note for one in left)))):
        click.echo(note)
    for assumed in dict.fromkeys(text for one in left for text in one.evaluation.assumes):
        click.echo(
            f"Evaluation is from timed passes, with {assumed}; GPUs are from operations (docs/papers-setting.md)."
        )


def said_of_load() -> str:
    """That other work keeps this machine's processors busy, of which timed steps do not know; empty where it does not.

    Call before anything is timed: the system's load is of the last minute.
    """
    processors = os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < BUSY * processors:
        return ""
    of = f"load {load:.1f} on {processors} processor{'s' * (processors > 1)}"
    return f"Other work keeps this machine busy ({of}): times here may be several times too long."


def _row_of(request: Request) -> str:
    return repr(replace(request, seed=0))


def _forecast(request: Request, seconds: float) -> Any:
    """A run's forecast, or why there is none."""
    from dfrd_bench.cli.session import show_traceback
    from dfrd_bench.errors import asked_to_stop, in_a_line
    from dfrd_bench.registry import ATTACKS
    from dfrd_bench.runs.devices import rate_of
    from dfrd_bench.runs.forecast import forecast
    from dfrd_bench.runs.foresight import said_of_defaults, said_of_rounds
    from dfrd_bench.runs.preparation import prepare
    from dfrd_bench.runs.stand_ins import StandIns

    try:
        loading = StandIns(missing_files=True)
        prepared = prepare(request, loading=loading)
        if said := said_of_rounds(request, prepared):
            click.echo(f"{request.method}: {said}", err=True)
        rate = rate_of(prepared.problem.device, prepared.spec.precision)
        found = forecast(prepared, tuple(ATTACKS.select(request.attacks)), rate, seconds)
        return replace(found, note=WITHOUT_GPU if loading.without_gpu else said_of_defaults(request, prepared))
    except BaseException as error:  # a plugin may raise anything
        if asked_to_stop(error):
            raise
        show_traceback()
        return str(error) if isinstance(error, DfrdBenchError) else in_a_line(error)


def _place(request: Request, prepared: object) -> tuple[str, Path]:
    """Where the run would be recorded, in words and as far as it is known."""
    from dfrd_bench.runs.place import is_finished, place_of
    from dfrd_bench.runs.preparation import Prepared
    from dfrd_bench.runs.twins import recorded_at, said_of_twins, twins_of

    assert isinstance(prepared, Prepared)
    spec, results = prepared.spec, Path(request.results)
    place = place_of(request, spec)
    if spec.kind == "teacher":
        return f"{place.weights}{' (already trained)' if is_finished(place, spec) else ''}", place.folder
    if prepared.stood_in:
        name = place.folder.name[: -len(UNKNOWN)] + UNKNOWN
        return f"{place.folder.with_name(name)} (its hash depends on what is not here)", place.folder
    folder = recorded_at(spec, results)
    if os.path.exists(folder / "record.json"):  # noqa: PTH110  (whose path may be too long to be asked about)
        code = "" if folder == place.folder else "; its record does not say by which code"
        return f"{folder} (already run{code})", folder
    said = said_of_twins([*twins_of(spec, results)], spec)
    return str(folder) + (f" ({said})" if said else ""), folder


def _say(name: str, text: str) -> None:
    click.echo(f"{name + ':':18} {text}")
