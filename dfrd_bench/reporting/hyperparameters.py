"""A method's hyper-parameters as a person reads them: which values will be used, and how they differ from its parent's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any

from dfrd_bench.registry import METHODS
from dfrd_bench.summaries import first_line

if TYPE_CHECKING:
    from dfrd_bench.method import Method, MethodConfig
    from dfrd_bench.problem import DatasetInfo, ThreatModel

DECLARED = ("has_teacher", "needs_natural_teacher")
DESCRIBING = ("idle", "stands_for", "made", "model_")  # what changes no number


@dataclass(frozen=True)
class Line:
    """One hyper-parameter.

    Attributes:
        default: the method's own, as `--set` takes it, and whether it is of no effect where nobody asked for `used`.
        used: the value that a run would use, and what it comes to where it is null or of no effect; "" if nobody asked.
        changed: whether `used` is not the default.
    """

    name: str
    default: str
    meaning: str
    source: str
    used: str = ""
    changed: bool = False


@dataclass(frozen=True)
class Kin:
    """How a method differs from the registered one that it is built on.

    Attributes:
        parent: that one's name.
        values: hyper-parameters whose default is another: name, here, there, and why (the meaning and the source here).
        added: hyper-parameters that the parent does not have.
        rules: what else is another: a name, and in a sentence what it does here.
    """

    parent: str
    values: tuple[tuple[str, str, str, str], ...]
    added: tuple[str, ...]
    rules: tuple[tuple[str, str], ...]


def shown(value: object) -> str:
    """A value as `--set` takes it, numbers with four digits."""
    if isinstance(value, tuple):
        return ", ".join(map(shown, value))
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def lines(
    config: type[MethodConfig],
    used: MethodConfig | None = None,
    info: DatasetInfo | None = None,
    threat: ThreatModel | None = None,
) -> Iterator[Line]:
    """Every hyper-parameter of a class, and the values of an object of it.

    Args:
        config: a method's class of hyper-parameters.
        used: the values that a run would use; None: say only the defaults.
        info: of the dataset, for what null comes to.
        threat: of the dataset, for the same.
    """
    idle = used.idle() if used is not None else config().idle()
    nulls = used.stands_for(info, threat) if used is not None and info is not None and threat is not None else {}
    for name, field in config.model_fields.items():
        default, said, changed = shown(field.default), "", False
        note = f" (no effect: {idle[name]})" if name in idle else ""
        if used is None:
            default += note
        else:
            value = getattr(used, name)
            note = note or (f" = {shown(nulls[name])}" if name in nulls else "")
            said, changed = shown(value) + note, value != field.default
        yield Line(name, default, field.description or "", _source(field), said, changed)


def kin(method: type[Method]) -> Kin | None:
    """What tells a method from the nearest registered one that its class is built on; None where there is none."""
    above = list(method.__mro__[1:])
    parent: Any = next((other for other in above if METHODS.name_of(other) is not None), None)
    if parent is None:
        return None
    mine, theirs = method.Config.model_fields, parent.Config.model_fields
    values = tuple(
        (name, shown(field.default), shown(theirs[name].default), f"{field.description} ({_source(field)})")
        for name, field in mine.items()
        if name in theirs and field.default != theirs[name].default
    )
    classes = [*_between(method, parent), *_between(method.Config, parent.Config)]
    rules = dict(rule for part in classes for rule in _rules(part, parent))
    return Kin(
        parent=str(METHODS.name_of(parent)),
        values=values,
        added=tuple(name for name in mine if name not in theirs),
        rules=tuple(rules.items()),
    )


def _between(young: type, old: type) -> list[type]:
    """The classes of one line of descent that the other is not made of."""
    return [part for part in young.__mro__ if part not in old.__mro__]


def _rules(part: type, parent: type) -> Iterator[tuple[str, str]]:
    """The functions that a class has of its own, in their first lines' words, and what it declares otherwise."""
    for name, member in vars(part).items():
        called = getattr(member, "__func__", member)
        if name in DECLARED and member != getattr(parent, name):
            yield name, f"{shown(member)}, there {shown(getattr(parent, name))}"
        elif isinstance(called, (FunctionType, property)) and not name.startswith(("_", *DESCRIBING)):
            yield name, first_line(called) or "another function"


def _source(field: Any) -> str:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return str(extra.get("source", ""))
