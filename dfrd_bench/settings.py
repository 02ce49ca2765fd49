"""From what a user typed to validated hyper-parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dfrd_bench.errors import DfrdBenchError, unknown_name

M = TypeVar("M", bound=BaseModel)


def number(value: Any) -> Any:
    """What YAML 1.1 made of a user's value: it reads 1e-3 as text, and a user means a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def check_names(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a name that is not known.

    Args:
        kind: what the names are, for the message ("hyper-parameter of ferd").
        given: the names that were given.
        known: those that would have worked.

    Raises:
        DfrdBenchError: one is unknown; the nearest are named.
    """
    known = list(known)
    for name in given:
        if name not in known:
            raise unknown_name(kind, name, known)


def check_arguments(function: str, given: Iterable[str], known: type) -> None:
    """Refuse a keyword that no field of a dataclass has.

    Raises:
        DfrdBenchError: it is unknown.
    """
    check_names(f"argument of {function}", given, [field.name for field in dataclasses.fields(known)])


def validated(model: type[M], values: Mapping[str, Any], owner: str) -> M:
    """Build a pydantic model, turning what is wrong with the values into one line.

    Args:
        model: the class.
        values: its fields by name.
        owner: whose they are, for the message ("ferd").

    Raises:
        DfrdBenchError: a name the model does not have (the nearest are named), or a value of the wrong type or range.
    """
    check_names(f"hyper-parameter of {owner}", values, model.model_fields)
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        problems = [_describe(detail) for detail in error.errors()]
        raise DfrdBenchError(f"Bad value for {owner}: {'; '.join(problems)}.") from error


def _describe(detail: Any) -> str:
    name = ".".join(str(part) for part in detail["loc"]) or "value"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    return f"{name} = {detail['input']!r} {message}"
