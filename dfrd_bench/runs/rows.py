"""What the methods of a suite's rows say of themselves, and whether rows name what there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dfrd_bench.errors import DfrdBenchError, FailedError, asked_to_stop
from dfrd_bench.records.suites import Suite, SuiteRun
from dfrd_bench.settings import check_names


def check_rows(suite: Suite, name: str) -> None:
    """Refuse a method that there is not, or a hyper-parameter that it has not, and say in which row."""
    from dfrd_bench.registry import METHODS

    for number, row in enumerate(suite.runs, start=1):
        try:
            check_names("method", [METHODS.parse(row.method)[0]], METHODS.names())
            check_names(f"hyper-parameter of {row.method}", row.settings, fields_of(row) or row.settings)
        except DfrdBenchError as error:
            raise DfrdBenchError(f"{name}, row {number}: {error}") from error


@contextmanager
def left_to_its_run() -> Iterator[None]:
    """What the code of a method raises is not raised here; what is wrong with the request is."""
    try:
        yield
    except BaseException as error:
        wrong_use = isinstance(error, DfrdBenchError) and not isinstance(error, FailedError)
        if wrong_use or asked_to_stop(error):
            raise


def _asked(method: str, attribute: str) -> Any:
    """What a method's class says; None if it cannot be asked."""
    from dfrd_bench.registry import METHODS

    with left_to_its_run():
        return getattr(METHODS.get(method), attribute)
    return None


def asked_of_row(row: SuiteRun, attribute: str, unknown: Any) -> Any:
    """What the class of a row's method says; `unknown` where it cannot be asked."""
    said = _asked(row.method, attribute)
    return unknown if said is None else said


def asked_of_methods(suite: Suite, attribute: str) -> list[Any]:
    """What the classes of a suite's methods say; those that cannot be asked are left out."""
    return [said for row in suite.runs if (said := asked_of_row(row, attribute, None)) is not None]


def fields_of(row: SuiteRun) -> set[str] | None:
    """The hyper-parameters of a row's method; None where it cannot be asked."""
    config = asked_of_row(row, "Config", None)
    return None if config is None else set(config.model_fields)


def takes(row: SuiteRun, name: str) -> bool:
    """Whether a hyper-parameter that is given for all rows is for this one: its method has it, and it does not set it itself.

    A method that cannot be asked is taken to have it, and fails in its own run.
    """
    fields = fields_of(row)
    return name not in row.settings and (fields is None or name in fields)
