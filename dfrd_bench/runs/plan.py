"""Many requests from one: the runs of a suite with several seeds, checked before the first of them begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dfrd_bench.errors import DfrdBenchError, FailedError, asked_to_stop
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.records.suites import Suite
from dfrd_bench.runs.preparation import SEEDS
from dfrd_bench.runs.request import Request

MANY = 1_000  # seeds that somebody may mean


def planned(suite: Suite, seeds: Sequence[int], request: Request) -> list[Request]:
    """A request for every run of a suite with every seed; seed by seed, so that a first table is there early."""
    return [
        replace(request, method=row.method, settings=row.settings, seed=seed, student=row.student or request.student)
        for seed in seeds
        for row in suite.runs
    ]


def check_suite(suite: Suite, request: Request) -> None:
    """Fail before the first run rather than in the middle of a long night; no file of the dataset is looked at.

    A method whose code fails, when it is imported or asked about itself, fails in its own runs.

    Raises:
        DfrdBenchError: an unknown method, preset, hyper-parameter, teacher, student or attack, or a bad value; or a student is
            asked for where the suite names its own.
    """
    from dfrd_bench.datasets.base import open_dataset
    from dfrd_bench.registry import ATTACKS, METHODS, STUDENTS
    from dfrd_bench.runs.natural_teacher import natural_teacher_of
    from dfrd_bench.runs.preparation import check_training, resolve_config, teacher_of
    from dfrd_bench.teachers.base import teacher_source

    data = open_dataset(**request.images)
    ATTACKS.select(request.attacks)
    students = [run.student for run in suite.runs if run.student is not None]
    if students and request.student is not None:
        raise DfrdBenchError(f"The suite {suite.title!r} names its own students: leave --student out.")
    for name in {request.student or data.default_student, *students}:
        STUDENTS.get(name)
    if any(asked_of_methods(suite, "has_teacher")):
        teacher_source(request.teacher or teacher_of(data), data.task)
    if any(asked_of_methods(suite, "needs_natural_teacher")):
        teacher_source(natural_teacher_of(request, data), data.task)
    check_training(request)
    for run in planned(suite, [request.seed], request):
        with _left_to_its_run():
            resolve_config(run, METHODS.get(str(run.method)), data)


def check_images(suite: Suite, request: Request, observer: Observer = SILENT) -> None:
    """Fail before the first run where images are missing that it needs; they are downloaded now.

    Raises:
        DfrdBenchError: test images cannot be had, or not so many of each class; or training images, where a method sees them.
    """
    from dfrd_bench.datasets.base import open_dataset
    from dfrd_bench.runs.training_split import load_training

    data = open_dataset(**request.images, progress=observer.on_data)
    data.load_tested()
    if "training images" in asked_of_methods(suite, "sees"):
        load_training(data)


@contextmanager
def _left_to_its_run() -> Iterator[None]:
    """What the code of a method raises is not raised here; what is wrong with the request is."""
    try:
        yield
    except BaseException as error:
        wrong_use = isinstance(error, DfrdBenchError) and not isinstance(error, FailedError)
        if wrong_use or asked_to_stop(error):
            raise


def asked_of_methods(suite: Suite, attribute: str) -> list[Any]:
    """What the classes of a suite's methods say; those that cannot be asked are left out."""
    from dfrd_bench.registry import METHODS

    said: list[Any] = []
    for run in suite.runs:
        with _left_to_its_run():
            said.append(getattr(METHODS.get(run.method), attribute))
    return said


def parse_seeds(text: str) -> Sequence[int]:
    """`0,1,2` or `0-2` as numbers.

    Raises:
        DfrdBenchError: anything else.
    """
    seeds: dict[int, None] = {}
    try:
        for part in filter(None, (part.strip() for part in text.split(","))):
            first, _, last = part.partition("-")
            if int(last or first) >= SEEDS:
                raise DfrdBenchError(f"A seed must lie in 0 … {SEEDS - 1}, and {last or first} does not.")
            if int(last or first) - int(first) >= MANY:
                raise DfrdBenchError(
                    f"{part} are {int(last) - int(first) + 1:,} seeds: at most {MANY:,} can be made at once."
                )
            seeds.update(dict.fromkeys(range(int(first), int(last or first) + 1)))
    except ValueError as error:
        raise DfrdBenchError(f"Seeds are numbers like 0,1,2 or a range like 0-2, not {text!r}.") from error
    if not seeds:
        raise DfrdBenchError(f"Seeds are numbers like 0,1,2 or a range like 0-2, not {text!r}.")
    return list(seeds)
