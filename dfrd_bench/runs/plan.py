"""Many requests from one: the runs of a suite with what they differ in, checked before the first of them begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from typing import TYPE_CHECKING

from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.records.suites import Exclusion, Suite, SuiteRun
from dfrd_bench.runs.preparation import check_training
from dfrd_bench.runs.request import Request
from dfrd_bench.runs.rows import asked_of_row, check_rows, fields_of, left_to_its_run, takes

if TYPE_CHECKING:
    from dfrd_bench.datasets.base import Dataset


@dataclass(frozen=True)
class Choices:
    """What every row of a suite is run on and with; where one is empty, what the suite lists or else what the request says."""

    datasets: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()
    students: tuple[str, ...] = ()


def planned(
    suite: Suite,
    seeds: Sequence[int],
    request: Request,
    choices: Choices = Choices(),  # it is frozen
) -> list[Request]:
    """A request for every run of a suite; seed by seed, so that a first table is there early.

    The request's settings and epochs are for the rows whose methods have them; a row's own go before.

    Raises:
        DfrdBenchError: the suite excludes all of them, or a run that it does not have.
    """
    every = _grid(suite, seeds, request, choices)
    wanted = [one for one in every if not any(_is_excluded(one, exclusion) for exclusion in suite.exclude)]
    for exclusion in suite.exclude:
        if not any(
            _is_excluded(one, exclusion) for one in [*every, *_grid(suite, suite.seeds or seeds, request, Choices())]
        ):
            raise DfrdBenchError(f"The suite {suite.title!r} excludes what it does not have: {exclusion}.")
    if not wanted:
        raise DfrdBenchError(f"The suite {suite.title!r} excludes all of its runs.")
    return wanted


def _grid(suite: Suite, seeds: Sequence[int], request: Request, choices: Choices) -> list[Request]:
    """All runs of a suite, whether excluded or not."""
    datasets = choices.datasets or suite.datasets or (request.dataset,)
    teachers = choices.teachers or suite.teachers or (request.teacher,)
    students = choices.students or suite.students or (request.student,)
    found: dict[int, Request] = {}
    for seed, dataset, teacher, student, row in product(seeds, datasets, teachers, students, suite.runs):
        again = row.student is not None and student != students[0]
        again = again or (teacher != teachers[0] and not asked_of_row(row, "has_teacher", True))
        if again:  # the row does not differ in this
            continue
        given = {name: value for name, value in request.settings.items() if takes(row, name)}
        found[len(found)] = replace(
            request,
            method=row.method,
            dataset=dataset,
            teacher=teacher,
            student=row.student or student,
            seed=seed,
            settings={**given, **row.settings},
            epochs=request.epochs if request.epochs and takes(row, "epochs") else None,
        )
    return list(found.values())


def named(requests: Sequence[Request]) -> list[str]:
    """What to call each request of a plan, where several differ in their dataset or teacher only."""
    several = [name for name in ("dataset", "teacher") if len({getattr(one, name) for one in requests}) > 1]
    return [" ".join([str(one), *(f"{name}={getattr(one, name)}" for name in several)]) for one in requests]


def _is_excluded(request: Request, exclusion: Exclusion) -> bool:
    """Whether all holds of a request that an exclusion names; what is not asked for is what belongs to the dataset."""
    named = exclusion.model_dump(exclude_unset=True, exclude={"settings"})
    data = _opened(request)
    values = {
        "method": request.method,
        "dataset": request.images["name"],
        "teacher": request.teacher or data.default_teacher,
        "student": request.student or data.default_student,
        "seed": request.seed,
    }
    said = all(request.settings.get(name) == value for name, value in exclusion.settings.items())
    return said and all(values[name] == value for name, value in named.items())


def _opened(request: Request) -> Dataset:
    from dfrd_bench.datasets.base import open_dataset

    return open_dataset(**request.images)


def check_suite(
    suite: Suite,
    request: Request,
    choices: Choices = Choices(),  # it is frozen
    seeds: Sequence[int] = (),
    name: str = "",
) -> None:
    """Fail before the first run rather than in the middle of a long night; no file of the dataset is looked at.

    A method whose code fails, when it is imported or asked about itself, fails in its own runs.

    Args:
        suite: the rows.
        request: what the command asks for beside them.
        choices: see `planned`.
        seeds: of every row.
        name: the suite's, or its file's, for messages about one of its rows; its title by default.

    Raises:
        DfrdBenchError: an unknown method, preset, hyper-parameter, teacher, student, attack or observer, or a bad value; a
            teacher of another dataset; two rows that are the same run; or a student is asked for where the suite names its own.
    """
    from dfrd_bench.registry import ATTACKS

    ATTACKS.select(request.attacks)
    if any(row.student is not None for row in suite.runs) and (request.student is not None or choices.students):
        raise DfrdBenchError(f"The suite {suite.title!r} names its own students: leave --student out.")
    check_training(request)
    _check_observers(request.observers)
    check_rows(suite, name or repr(suite.title))
    _check_settings(suite, request)
    plan = planned(suite, seeds or suite.seeds or [request.seed], request, choices)
    apart: list[
        Request
    ] = []  # of each seed what those before do not have; of one seed all, so that rows can be compared
    for _, group in groupby(plan, key=lambda one: one.seed):
        known = [*apart]
        apart += [again for one in group if (again := replace(one, seed=request.seed)) not in known]
    for one in apart:
        _check_names(one)
    _check_differences(apart)


def _check_observers(asked: Sequence[str]) -> None:
    """Refuse an observer that does not exist, or one place for what many runs tell it, some of them at once."""
    from dfrd_bench.registry import OBSERVERS

    for text in asked:
        name, _, place = text.partition("=")
        OBSERVERS.get(name)
        if place:
            raise DfrdBenchError(
                f"--observer {text}: in a suite each run has {name} in its own folder: leave out ={place}."
            )


def _check_settings(suite: Suite, request: Request) -> None:
    """Refuse a hyper-parameter that no row has, unless some cannot be asked."""
    known = [fields for row in suite.runs if (fields := fields_of(row)) is not None]
    for name in [*request.settings, *(["epochs"] if request.epochs is not None else [])]:
        if len(known) == len(suite.runs) and not any(name in fields for fields in known):
            raise unknown_name(
                f"hyper-parameter of {suite.title!r}", name, {name for fields in known for name in fields}
            )


def _check_names(request: Request) -> None:
    """Refuse names and values that do not exist or do not go together."""
    from dfrd_bench.registry import METHODS, STUDENTS
    from dfrd_bench.runs.natural_teacher import natural_teacher_of
    from dfrd_bench.runs.preparation import resolve_config, teacher_of
    from dfrd_bench.teachers.base import teacher_source

    data, row = _opened(request), SuiteRun(method=str(request.method))
    STUDENTS.get(request.student or data.default_student)
    if asked_of_row(row, "has_teacher", False):
        name = request.teacher or teacher_of(data)
        if not (source := teacher_source(name, data.task)).fits(data.task):
            raise DfrdBenchError(
                f"Teacher {name} is of {source.dataset}, not of {data.task}: leave it out, or exclude the pair."
            )
    if asked_of_row(row, "needs_natural_teacher", False):
        teacher_source(natural_teacher_of(request, data), data.task)
    with left_to_its_run():
        resolve_config(request, METHODS.get(str(request.method)), data)


def _check_differences(plan: Sequence[Request]) -> None:
    """Refuse two rows that are the same run, though they may be written in two ways."""
    from dfrd_bench.runs.identity import identity_of

    seen: dict[tuple[str, str | None], Request] = {}
    for request in plan:
        with left_to_its_run():
            key = (identity_of(request).spec.digest(), request.teacher)  # of whose weights the digest knows nothing
            if (other := seen.setdefault(key, request)) is not request:
                raise DfrdBenchError(f"Two rows are the same run: {other}, and {request}.")


def check_images(requests: Sequence[Request], observer: Observer = SILENT) -> None:
    """Fail before the first run where images are missing that it needs; they are downloaded now.

    Raises:
        DfrdBenchError: test images cannot be had, or not so many of each class; or training images, where a method sees them.
    """
    from dfrd_bench.datasets.base import open_dataset
    from dfrd_bench.runs.training_split import load_training

    for name in dict.fromkeys(request.dataset for request in requests):
        on_it = [request for request in requests if request.dataset == name]
        data = open_dataset(**on_it[0].images, progress=observer.on_data)
        data.load_tested()
        methods = dict.fromkeys(str(request.method) for request in on_it)
        if any(asked_of_row(SuiteRun(method=method), "sees", "") == "training images" for method in methods):
            load_training(data)
