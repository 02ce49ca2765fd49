"""From what a user typed to validated hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from dfrd_bench.errors import DfrdBenchError, unknown_name

M = TypeVar("M")
LONGEST = 160  # characters of a value that a message repeats
WHOLE_BITS = 32  # that a whole number may have: products of two still fit where they are used


def from_yaml(text: str, where: str) -> Any:
    """What a text says in YAML: plain values, lists and mappings, without anchors, which could make it endless.

    Args:
        text: YAML; JSON is such text.
        where: whose it is, for the message.

    Raises:
        DfrdBenchError: it cannot be read.
    """
    import yaml

    class Plain(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("anchors and aliases are not taken")
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Plain)
    except yaml.YAMLError as error:
        raise DfrdBenchError(f"{where} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise DfrdBenchError(f"{where} is not YAML that can be read: it is nested too deeply.") from error
    except Exception as error:  # a date that is none, `!!bool x`, a number of 5,000 digits
        reason = " ".join(str(error).split())[:100].rstrip(".")
        raise DfrdBenchError(f"{where} is not YAML that can be read: {type(error).__name__}: {reason}.") from error


def number(value: Any) -> Any:
    """What YAML 1.1 made of a user's value: it reads 1e-3 as text, and a user means a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def names(text: Any) -> Any:
    """A comma-separated text, or a list of texts, as its parts, without blanks and repetitions; anything else as it is."""
    parts = text.split(",") if isinstance(text, str) else text
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        return text
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


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


def validated(model: type[M], values: Mapping[str, Any], owner: str, kind: str = "hyper-parameter") -> M:
    """Build a pydantic model or a dataclass, turning what is wrong with the values into one line.

    Args:
        model: the class.
        values: its fields by name.
        owner: whose they are, for the message ("ferd").
        kind: what they are, for the message.

    Raises:
        DfrdBenchError: a name the model does not have (the nearest are named), or a value of the wrong type or range.
    """
    known = getattr(model, "model_fields", None) or getattr(model, "__dataclass_fields__", {})
    check_names(f"{kind} of {owner}", values, known)
    for name, value in values.items():
        if isinstance(value, int) and value.bit_length() > WHOLE_BITS:
            raise DfrdBenchError(f"Bad value for {owner}: {name} has more than {WHOLE_BITS} bits.")
    try:
        return TypeAdapter(model).validate_python(dict(values))
    except ValidationError as error:
        problems = [_describe(detail) for detail in error.errors()]
        raise DfrdBenchError(f"Bad value for {owner}: {'; '.join(problems)}.") from error


def _describe(detail: Any) -> str:
    name = ".".join(str(part) for part in detail["loc"]) or "value"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    if not detail["loc"] and detail["type"] == "value_error":  # of several values together: the message names them
        return str(message)
    return f"{name} = {_shown(detail['input'])} {message}"


def _shown(value: Any) -> str:
    """A value for a message, however large it is."""
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits somewhere in it
        text = f"a {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
